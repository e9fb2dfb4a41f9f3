package talk

import (
	"slices"

	"peal/server/ijson"
	"peal/server/refusal"
)

// Kind is a kind of command.
type Kind struct {
	Name   string
	Fields []string
}

// Kinds are all kinds of commands, with the fields that each may have.
var Kinds = [...]Kind{
	{"subscribe", []string{"channel", "cursor", "last", "client", "info", "presence"}},
	{"unsubscribe", []string{"channel"}},
	{"publish", []string{"channel", "data", "data_base64", "event", "idempotency_key", "exclude", "traceparent"}},
	{"history", []string{"channel", "cursor", "last", "limit"}},
	{"presence", []string{"channel", "after", "limit"}},
	{"token", []string{"token"}},
	{"ping", nil},
}

// fields are those of all commands.
var fields = [...]string{"channel", "data", "data_base64", "event", "idempotency_key", "exclude", "traceparent", "cursor", "last", "limit", "client", "info", "presence", "after", "token"}

// Command is one message of a client. Its fields are not parsed before they are needed.
// All of it except the name aliases the message.
type Command struct {
	ID   []byte // repeated in the reply; its form is that of the language
	Name string // of one of Kinds

	values [len(fields)]ijson.Value
}

// Reset makes c a command without a name and fields.
func (c *Command) Reset() { *c = Command{} }

// Set sets a field, and reports whether some command has one of that name.
func (c *Command) Set(name []byte, v ijson.Value) bool {
	i := slices.Index(fields[:], string(name))
	if i >= 0 {
		c.values[i] = v
	}
	return i >= 0
}

// Stray returns the last field of c that commands of kind k do not have, "" for none.
func (c *Command) Stray(k *Kind) (name string) {
	for i, v := range c.values {
		if v != nil && !slices.Contains(k.Fields, fields[i]) {
			name = fields[i]
		}
	}
	return name
}

// Value returns the field of that name, nil if there is none.
func (c *Command) Value(name string) ijson.Value {
	i := slices.Index(fields[:], name)
	if i < 0 {
		panic("talk: no command has the field " + name)
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
