package wsproto

import (
	"fmt"
	"slices"
	"strings"

	"peal/server/ijson"
	"peal/server/refusal"
)

// Commands of peal.v1, and the fields that each of them may have beside id and
// command.
var commands = []struct {
	name   string
	fields []string
}{
	{"subscribe", []string{"channel", "cursor", "last", "client", "info", "presence"}},
	{"unsubscribe", []string{"channel"}},
	{"publish", []string{"channel", "data", "data_base64", "event", "idempotency_key"}},
	{"history", []string{"channel", "cursor", "last", "limit"}},
	{"presence", []string{"channel", "after", "limit"}},
	{"ping", nil},
}

// fields are those of all commands.
var fields = [...]string{"channel", "data", "data_base64", "event", "idempotency_key", "cursor", "last", "limit", "client", "info", "presence", "after"}

// maxID bounds the id of a command, which is repeated as it was sent. It counts the
// bytes of a number, and of a string those between the quotes, an escape as it was
// written.
const maxID = 64

// Command is one message of a peal.v1 client: a JSON object with an id, the
// command's name, and its fields, which are not looked into here. All of it but
// the name aliases the message.
type Command struct {
	ID   []byte // a JSON string or number as it was sent, null if there was none
	Name string

	values [len(fields)]ijson.Value
}

// Parser takes messages apart. Its zero value is ready; one goroutine at a time.
type Parser struct{ reader ijson.Reader }

// Parse reads one message into c. With an error the command has the ID, as far as
// it was found before, and must not be carried out.
func (p *Parser) Parse(c *Command, binary bool, payload []byte) *refusal.Error {
	*c = Command{ID: null}
	if binary {
		return refusal.Bad("bad_command", "commands of peal.v1 are text frames; to publish bytes use data_base64")
	}
	var id, name ijson.Value
	stray := "" // the first field that no command has
	r := &p.reader
	r.Start(payload)
	for r.Enter('{'); r.More(); {
		field := r.Name()
		var value ijson.Value
		switch i := slices.Index(fields[:], string(field)); {
		case i >= 0:
			value = r.Value()
			c.values[i] = value
		case string(field) == "id":
			id = r.Value()
		case string(field) == "command":
			name = r.Value()
		default:
			if stray == "" {
				stray = short(string(field))
			}
			r.Value()
		}
	}
	hasID := isID(id)
	if hasID {
		c.ID = id
	}
	if err := r.End(); err != nil {
		example := `a command is one JSON object, as in {"id":1,"command":"subscribe","channel":"news"}`
		if err != ijson.ErrKind {
			example = fmt.Sprintf("%s; this is not (RFC 7493): %v", example, err)
		}
		return refusal.Bad("bad_json", example)
	}
	if !hasID {
		return refusal.Bad("bad_id", "id must be a string or a number of at most 64 bytes: the reply repeats it")
	}
	text, ok := name.Text()
	if !ok {
		return refusal.Bad("unknown_command", "command must be one of "+names())
	}
	return c.check(text, stray)
}

var null = []byte("null")

func isID(b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case b[0] == '"':
		return len(b) <= len(`""`)+maxID
	}
	return (b[0] == '-' || '0' <= b[0] && b[0] <= '9') && len(b) <= maxID
}

// check finds unknown names; stray is a quoted field that no command has, or "".
func (c *Command) check(name []byte, stray string) *refusal.Error {
	for _, known := range commands {
		if known.name != string(name) {
			continue
		}
		c.Name = known.name
		for i, v := range c.values {
			if v != nil && !slices.Contains(known.fields, fields[i]) {
				stray = short(fields[i])
			}
		}
		if stray != "" {
			return refusal.Bad("unknown_field", c.Name+" has no field "+stray+"; it has id, command"+list(known.fields))
		}
		return nil
	}
	return refusal.Bad("unknown_command", "there is no command "+short(string(name))+"; there are "+names())
}

func list(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return ", " + strings.Join(fields, ", ")
}

func names() string {
	var all []string
	for _, c := range commands {
		all = append(all, c.name)
	}
	return strings.Join(all, ", ")
}

// short quotes what a client sent, cut to a length that fits a sentence.
func short(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return `"` + s + `"`
}

// Value returns the field of that name, nil if there is none.
func (c *Command) Value(name string) ijson.Value {
	i := slices.Index(fields[:], name)
	if i < 0 {
		panic("wsproto: no command has the field " + name)
	}
	return c.values[i]
}

// Text returns the string field of that name, nil if there is none; null counts
// as none.
func (c *Command) Text(name string) ([]byte, *refusal.Error) {
	v := c.Value(name)
	if v == nil || v.IsNull() {
		return nil, nil
	}
	text, ok := v.Text()
	if !ok {
		return nil, refusal.Bad("bad_field", name+" must be a string")
	}
	return text, nil
}

// Switch returns the field of that name, false if there is none; null counts as
// none.
func (c *Command) Switch(name string) (on bool, _ *refusal.Error) {
	switch v := c.Value(name); {
	case v == nil, v.IsNull(), v[0] == 'f':
		return false, nil
	case v[0] == 't':
		return true, nil
	}
	return false, refusal.Bad("bad_field", name+" must be true or false")
}

// Digits returns the text of the number field of that name, nil if there is
// none; whether it is one that makes sense is the reader's to find out.
func (c *Command) Digits(name string) []byte {
	v := c.Value(name)
	if v == nil || v.IsNull() {
		return nil
	}
	return v
}
