package wsproto

import (
	"fmt"
	"strings"

	"peal/server/ijson"
	"peal/server/refusal"
	"peal/server/talk"
)

// maxID bounds the id of a command, which is repeated as it was sent. It counts the
// bytes of a number, and of a string those between the quotes, an escape as it was
// written.
const maxID = 64

// Parser takes messages apart. Its zero value is ready; one goroutine at a time.
type Parser struct{ reader ijson.Reader }

// NewParser returns a parser for talk.Language.
func NewParser() talk.Parser { return new(Parser) }

// Parse implements talk.Parser: a message is a JSON object with an id, the command's
// name, and its fields. The ID of a command is a JSON string or number as it was sent,
// null if there was none.
func (p *Parser) Parse(c *talk.Command, binary bool, payload []byte) *refusal.Error {
	c.Reset()
	c.ID = null
	if binary {
		return refusal.Bad("bad_command", "commands of peal.v1 are text frames; to publish bytes use data_base64")
	}
	var id, name ijson.Value
	stray := "" // the first field that no command has
	r := &p.reader
	r.Start(payload)
	for r.Enter('{'); r.More(); {
		field := r.Name()
		switch string(field) {
		case "id":
			id = r.Value()
		case "command":
			name = r.Value()
		default:
			if value := r.Value(); !c.Set(field, value) && stray == "" {
				stray = short(string(field))
			}
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
	return check(c, text, stray)
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
func check(c *talk.Command, name []byte, stray string) *refusal.Error {
	for i := range talk.Kinds {
		k := &talk.Kinds[i]
		if k.Name != string(name) {
			continue
		}
		c.Name = k.Name
		if field := c.Stray(k); field != "" {
			stray = short(field)
		}
		if stray != "" {
			return refusal.Bad("unknown_field", c.Name+" has no field "+stray+"; it has id, command"+list(k.Fields))
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
	for _, k := range talk.Kinds {
		all = append(all, k.Name)
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
