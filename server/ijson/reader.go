package ijson

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 10_000

// keptLevels is for how many nested arrays and objects memory is kept for the next text.
const keptLevels = 64

// Reader reads one JSON text. The zero value is ready for Start; reuse saves its
// memory. After a fault it reads nothing more: loops over More end, and End returns
// the fault.
//
//	r.Start(text)
//	for r.Enter('{'); r.More(); {
//		switch name := r.Name(); string(name) {
//		…
//		}
//	}
//	err := r.End()
type Reader struct {
	text  []byte
	at    int // the end of what was read
	next  int // where the next token begins, behind a colon or comma; 0: not known
	in    level
	outer []level // around in, the outermost first
	names nameSets
	fault error
	plain *explainer // for the first fault; nil before
}

// level is an array or object that was entered, or the text as a whole.
type level struct {
	open  byte // '{', '[', or 0 for the text
	after part
	names nameSet // of an object
}

// part is what was read last of a level.
type part uint8

const (
	nothingRead part = iota
	nameRead
	valueRead
)

// Start begins with another text, which is kept until the next Start and not
// changed. Values alias it.
func (r *Reader) Start(text []byte) {
	r.text, r.at, r.next, r.fault = text, 0, 0, nil
	r.in, r.outer = level{}, r.outer[:0]
	if cap(r.outer) > keptLevels {
		r.outer = nil
	}
	r.names.reset(text)
}

// Kind is that of the next value: one of { [ " 0 t f n, or } ] at the end of an array or
// object; 0 at the end of the text, at a fault, and if no value begins like this.
func (r *Reader) Kind() byte {
	if !r.find() {
		return 0
	}
	return kinds[r.text[r.next]]
}

// kinds has the kind of each first byte.
var kinds = func() (t [256]byte) {
	for _, c := range []byte("{}[]\"tfn") {
		t[c] = c
	}
	for _, c := range []byte("-0123456789") {
		t[c] = '0'
	}
	return t
}()

// find finds the next token. It reports false at the end of the text, after a fault, and
// if there is not the colon or comma that is required, or one that is not.
func (r *Reader) find() bool {
	if r.fault != nil {
		return false
	}
	if r.next > 0 {
		return true
	}
	text := r.text
	i := skipSpace(text, r.at)
	if i == len(text) {
		return false
	}
	c, separator := text[i], byte(0)
	if c == ',' || c == ':' {
		separator = c
		if i = skipSpace(text, i+1); i == len(text) {
			return false
		}
		c = text[i]
	}
	if separator != r.in.separator(c) {
		return false
	}
	r.next = i
	return true
}

// separator is what must be before a token that begins with c; 0 for nothing.
func (l *level) separator(c byte) byte {
	switch {
	case l.after == nameRead:
		return ':'
	case l.after == valueRead && l.open != 0 && c != '}' && c != ']':
		return ','
	}
	return 0
}

// Enter enters the array ('[') or object ('{') that comes next. More leaves it.
func (r *Reader) Enter(open byte) {
	if !r.find() {
		r.fail(stepToken)
		return
	}
	switch c := r.text[r.next]; c {
	case '{', '[':
		switch {
		case r.in.nameIsNext() || !r.push(c):
			r.fail(stepToken)
		case c != open:
			r.fault = ErrKind
		default:
			r.at, r.next = r.next+1, 0
		}
	case '}', ']':
		if r.leave(c); r.fault == nil {
			r.fault = ErrKind
		}
	default:
		if r.read(stepToken); r.fault == nil {
			r.fault = ErrKind
		}
	}
}

func (l *level) nameIsNext() bool { return l.open == '{' && l.after != nameRead }

// push begins an array or object as a value. It reports false if that is too deep.
func (r *Reader) push(open byte) bool {
	if len(r.outer) == MaxDepth {
		return false
	}
	r.in.after = valueRead
	r.outer = append(r.outer, r.in)
	r.in = level{open: open}
	if open == '{' {
		r.in.names = r.names.begin()
	}
	return true
}

// pop ends the innermost array or object.
func (r *Reader) pop() {
	if r.in.open == '{' {
		r.names.end(r.in.names)
	}
	last := len(r.outer) - 1
	r.in, r.outer = r.outer[last], r.outer[:last]
}

// More reports whether the array or object that was entered last has another
// element or member. If not, it is left.
func (r *Reader) More() bool {
	if !r.find() {
		r.fail(stepToken)
		return false
	}
	switch c := r.text[r.next]; {
	case c == '}' || c == ']':
		r.leave(c)
	case kinds[c] == 0:
		r.fail(stepToken)
	default:
		return true
	}
	return false
}

// leave leaves the array or object that was entered last, at its closing bracket.
func (r *Reader) leave(closing byte) {
	if closing != r.in.open+bracket || r.in.after == nameRead {
		r.fail(stepToken)
		return
	}
	r.pop()
	r.at, r.next = r.next+1, 0
}

// bracket is how far a closing bracket is behind its opening one in ASCII.
const bracket = '}' - '{'

// Name reads the name of the next member; its value must be read before the
// next Name. It aliases the text unless it has escapes.
func (r *Reader) Name() []byte {
	text, _ := r.Value().Text()
	return text
}

// Value reads the next value, whole. After a fault it is nil.
func (r *Reader) Value() Value { return r.read(stepValue) }

func (r *Reader) read(s step) Value {
	if !r.find() {
		r.fail(s)
		return nil
	}
	start, end, nameIsNext, escaped := r.next, 0, r.in.nameIsNext(), false
	switch c := r.text[start]; {
	case c == '"':
		end, escaped = scanString(r.text, start)
		if nameIsNext && end > 0 && !r.names.add(&r.in.names, start, end, escaped) {
			end = -1
		}
	case nameIsNext:
		end = -1
	case c == '{', c == '[':
		end = r.skip(start)
	default:
		end = scanScalar(r.text, start)
	}
	if end < 0 {
		r.fail(s)
		return nil
	}
	r.at, r.next, r.in.after = end, 0, valueRead
	if nameIsNext {
		r.in.after = nameRead
	}
	return Value(r.text[start:end:end])
}

// End returns the fault, if there was one or something follows the value.
func (r *Reader) End() error {
	if r.fault == nil && (len(r.outer) > 0 || skipSpace(r.text, r.at) < len(r.text)) {
		r.fail(stepEnd)
	}
	return r.fault
}

// fail records the fault behind what was read last.
func (r *Reader) fail(s step) {
	if r.fault != nil {
		return
	}
	if r.plain == nil {
		r.plain = new(explainer)
	}
	r.fault = r.plain.explain(r.text, r.at, s)
}
