package wsproto

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
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

// maxID bounds the id of a command, which is repeated as it was sent.
const maxID = 64

// Command is one message of a peal.v1 client: a JSON object with an id, the
// command's name, and its fields, which are not looked into here.
type Command struct {
	ID     []byte // a JSON string or number as it was sent, null if there was none; aliases nothing of the message
	Name   string
	Fields map[string]json.RawMessage
}

// Fault says what is wrong with a message of a client: a stable code and a
// sentence on what to change.
type Fault struct{ Code, Message string }

// ParseCommand reads one message. With a fault the command has the ID, as far
// as it could be found, and nothing else. payload is not kept.
func ParseCommand(binary bool, payload []byte) (Command, *Fault) {
	c := Command{ID: []byte("null")}
	if binary {
		return c, &Fault{"bad_command", "commands of peal.v1 are text frames; to publish bytes use data_base64"}
	}
	if err := json.Unmarshal(payload, &c.Fields); err != nil || c.Fields == nil {
		return c, &Fault{"bad_json", `a command is one JSON object, as in {"id":1,"command":"subscribe","channel":"news"}`}
	}
	id, ok := c.Fields["id"]
	if !ok || len(id) > maxID || !isID(id) {
		return c, &Fault{"bad_id", "id must be a string or a number of at most 64 bytes: the reply repeats it"}
	}
	c.ID = id
	if json.Unmarshal(c.Fields["command"], &c.Name) != nil {
		return c, &Fault{"unknown_command", "command must be one of " + names()}
	}
	delete(c.Fields, "id")
	delete(c.Fields, "command")
	return c, c.check()
}

func isID(b []byte) bool {
	return b[0] == '"' && utf8.Valid(b) || b[0] == '-' || '0' <= b[0] && b[0] <= '9'
}

// check finds unknown names.
func (c *Command) check() *Fault {
	for _, known := range commands {
		if known.name != c.Name {
			continue
		}
		for field := range c.Fields {
			if !slices.Contains(known.fields, field) {
				return &Fault{"unknown_field", c.Name + " has no field " + short(field) + "; it has id, command" + list(known.fields)}
			}
		}
		return nil
	}
	return &Fault{"unknown_command", "there is no command " + short(c.Name) + "; there are " + names()}
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

// Text returns the string field of that name, "" if there is none; null counts
// as none.
func (c *Command) Text(name string) (string, *Fault) {
	raw := c.Fields[name]
	if raw == nil || bytes.Equal(raw, []byte("null")) {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", &Fault{"bad_field", name + " must be a string"}
	}
	return s, nil
}

// Switch returns the field of that name, false if there is none.
func (c *Command) Switch(name string) (on bool, _ *Fault) {
	raw := c.Fields[name]
	if raw != nil && json.Unmarshal(raw, &on) != nil {
		return false, &Fault{"bad_field", name + " must be true or false"}
	}
	return on, nil
}

// Digits returns the text of the number field of that name, "" if there is
// none; whether it is one that makes sense is the reader's to find out.
func (c *Command) Digits(name string) []byte {
	raw := c.Fields[name]
	if raw == nil || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	return raw
}
