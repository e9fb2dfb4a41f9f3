package topic

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/yosida95/uritemplate/v3"
)

// Limits of selectors and topics.
const (
	MaxTemplateBytes = 512 // of a template
	MaxVariables     = 16  // in it
	MaxTopicBytes    = 200 // of a topic; longer ones match no template
)

// Errors of Parse.
var (
	ErrLong      = fmt.Errorf("the template is longer than %d bytes: shorten it", MaxTemplateBytes)
	ErrVariables = fmt.Errorf("the template has more than %d variables: use fewer", MaxVariables)
	ErrEmpty     = errors.New("the selector is empty: use a topic, a URI template or *")
	ErrReserved  = errors.New("topics that begin with $ are reserved for the server")
	ErrTopicLong = fmt.Errorf("the topic is longer than %d bytes: shorten it", MaxTopicBytes)
)

// template is a URI template: literals, with an expression between each two of them. The
// parser of the library decides whether a text is one. Its own matching is not used: it
// allocates for each step, and its regular expressions refuse some templates by a panic.
type template struct {
	text        string
	literals    []string // one more than expressions; "" where two expressions follow each other
	expressions []expression
	least       int // bytes that every match has: of the literals
}

// expression is what one pair of braces may expand to: nothing, or first and then
// any number of units, with at most separators separators among them. A unit is a byte that
// allowed has, or % and two hexadecimal digits.
type expression struct {
	allowed    *class
	first      byte // 0 for none
	separator  byte // 0: it is allowed anyway
	separators int
}

// class is a set of bytes.
type class struct {
	members string
	set     [4]uint64
}

func (c *class) has(b byte) bool { return c.set[b>>6]&(1<<(b&63)) != 0 }

func classOf(members string) *class {
	c := &class{members: members}
	for i := range len(members) {
		c.set[members[i]>>6] |= 1 << (members[i] & 63)
	}
	return c
}

const (
	unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	reserved   = ":/?#[]@!$&'()*+,;="
)

// Values are separated by commas, and keys from values by =, in lists and maps.
var (
	plain = classOf(unreserved + ",")
	named = classOf(unreserved + ",=")
	every = classOf(unreserved + reserved)

	// Exploded: any number of separators, too.
	exploded = map[byte]*class{'/': classOf(unreserved + ",=/"), ';': classOf(unreserved + ",=;"), '&': classOf(unreserved + ",=&")}
)

const classes = 6 // of these

// parseTemplate reads a template with at least one expression.
func parseTemplate(text string) (*template, error) {
	if len(text) > MaxTemplateBytes {
		return nil, ErrLong
	}
	if strings.Count(text, "{")+strings.Count(text, ",") > 4*MaxVariables {
		return nil, ErrVariables // before the parser, which keeps all of them
	}
	parsed, err := uritemplate.New(text)
	if err != nil {
		return nil, fmt.Errorf("the template is not a URI template (RFC 6570): %w", err)
	}
	t := &template{text: parsed.Raw()}
	variables := 0
	for rest := t.text; ; {
		literal, after, more := strings.Cut(rest, "{")
		t.literals = append(t.literals, literal)
		t.least += len(literal)
		if !more {
			return t, nil
		}
		body, tail, _ := strings.Cut(after, "}")
		e, n := readExpression(body)
		if variables += n; variables > MaxVariables {
			return nil, ErrVariables
		}
		t.expressions = append(t.expressions, e)
		rest = tail
	}
}

// readExpression reads what is between braces, which the parser has accepted, and
// returns the number of variables.
func readExpression(body string) (e expression, variables int) {
	operator := byte(0)
	if strings.IndexByte("+#./;?&", body[0]) >= 0 {
		operator = body[0]
		body = body[1:]
	}
	variables = 1 + strings.Count(body, ",")
	e.separators = variables - 1
	e.allowed = plain
	switch operator {
	case '+', '#':
		e.allowed = every
	case ';', '?', '&':
		e.allowed = named
	}
	switch operator {
	case '#', '.', '/', ';', '?', '&':
		e.first = operator
	}
	switch operator {
	case '/', ';', '&':
		e.separator = operator
	case '?':
		e.separator = '&'
	}
	if strings.Contains(body, "*") {
		if e.separator != 0 {
			e.allowed, e.separator, e.separators = exploded[e.separator], 0, 0
		} else if e.allowed == plain {
			e.allowed = named
		}
	}
	return e, variables
}

// What a match costs at most, in nanoseconds (BenchmarkMatch): the same for each topic, as
// walker does it.
const (
	costSpan    = 450 // a template with one expression
	costRead    = 800 // what a walker reads of the topic
	costClass   = 120 // the positions of a class
	costExpand  = 130 // an expression, or one separator in it
	costLiteral = 30  // between two expressions, and
	costByte    = 10  // for a byte of it
)

// cost is about how many nanoseconds a match takes at most.
func (t *template) cost() int {
	if len(t.expressions) == 1 {
		return costSpan
	}
	n := costRead
	var seen []*class
	for i, e := range t.expressions {
		if !slices.Contains(seen, e.allowed) {
			seen = append(seen, e.allowed)
		}
		n += costExpand
		if e.separator != 0 {
			n += costExpand * e.separators
		}
		if i > 0 {
			n += costLiteral + costByte*min(len(t.literals[i]), MaxTopicBytes)
		}
	}
	return n + costClass*len(seen)
}

func (t *template) prefix() string { return t.literals[0] }
func (t *template) suffix() string { return t.literals[len(t.literals)-1] }

// matches reports whether topic is an expansion of the template, or its text.
func (t *template) matches(topic string) bool {
	if len(topic) > MaxTopicBytes || !strings.HasPrefix(topic, t.prefix()) {
		return false
	}
	if topic == t.text {
		return true
	}
	if len(topic) < t.least || !strings.HasSuffix(topic, t.suffix()) {
		return false
	}
	rest := topic[len(t.prefix()) : len(topic)-len(t.suffix())]
	last := len(t.expressions) - 1
	if last == 0 {
		return t.expressions[0].spans(rest)
	}
	for _, literal := range t.literals[1 : last+1] { // most of what does not match is found here
		_, after, ok := strings.Cut(rest, literal)
		if !ok {
			return false
		}
		rest = after
	}
	return t.walk(topic[len(t.prefix()) : len(topic)-len(t.suffix())])
}

// walk matches topic, which is without the first and the last literal, item by item: all
// the places where an item can end at once, so that nothing is tried twice.
func (t *template) walk(topic string) bool {
	var w walker
	w.read(topic)
	at := places{1}
	for i := range t.expressions {
		if i > 0 {
			if at = w.skip(t.literals[i], at); at == (places{}) {
				return false
			}
		}
		at = w.expand(&t.expressions[i], at)
	}
	return at.has(len(topic))
}

// spans reports whether the whole of text is one expansion of the expression.
func (e *expression) spans(text string) bool {
	if text == "" {
		return true
	}
	i := 0
	if e.first != 0 {
		if text[0] != e.first {
			return false
		}
		i = 1
	}
	for left := e.separators; i < len(text); i++ {
		switch b := text[i]; {
		case e.allowed.has(b):
		case b == '%' && isTriplet(text[i:]):
			i += 2
		case b == e.separator && b != 0 && left > 0:
			left--
		default:
			return false
		}
	}
	return true
}

func isTriplet(text string) bool {
	return len(text) >= 3 && isHex(text[1]) && isHex(text[2])
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}
