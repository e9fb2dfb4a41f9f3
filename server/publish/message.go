package publish

import (
	"encoding/base64"

	"peal/server/ijson"
	"peal/server/names"
	"peal/server/refusal"
)

// Fields are those of a publication in JSON and in a form.
var Fields = []string{"channel", "data", "data_base64", "event", "idempotency_key", "exclude", "traceparent"}

// Found in messages.
var (
	ErrNoData   = &refusal.Error{Status: 400, Code: "no_data", Message: "the field data is missing: add it, or name the channel in the query and send the data as the body"}
	errChannels = &refusal.Error{Status: 400, Code: "bad_channel", Message: `put several channels into the field channel: "channel":["a","b"]`}
	errBase64   = &refusal.Error{Status: 400, Code: "bad_base64", Message: "data_base64 must be a string of base64 with padding"}
)

// Message is a publication as publishers write it in JSON or in a form. Its
// slices alias the request; nil is what it does not have.
type Message struct {
	Data    []byte // as it is published, but for the base64
	fresh   bool   // Data is no part of the request, and nobody else has it
	Base64  []byte
	Event   []byte
	Key     []byte
	Exclude []byte
	Trace   []byte // traceparent
	Stray   []byte // the first field that is none of Fields

	channel ijson.Value    // JSON: a string or an array of them; see AddChannels
	plural  bool           // JSON: it has "channels", which is refused, not guessed at
	err     *refusal.Error // of the first value of a wrong kind
}

// Read reads the object that comes next. What is wrong with the JSON itself is
// the Reader's to say, at its end.
func (m *Message) Read(r *ijson.Reader) {
	for r.Enter('{'); r.More(); {
		name := r.Name()
		switch string(name) {
		case "channel":
			m.channel = r.Value()
		case "channels":
			m.plural = true
			r.Value()
		default:
			if !m.Set(string(name), r.Value()) && m.Stray == nil {
				m.Stray = name
			}
		}
	}
}

// Set sets a field other than the channel from JSON; it reports false for a field
// that a message does not have.
func (m *Message) Set(name string, v ijson.Value) bool {
	switch name {
	case "data":
		m.Data = Text(v)
		m.fresh = len(m.Data) > 0 && !v.Aliases(m.Data)
	case "data_base64":
		m.Base64 = m.text("data_base64", v)
	case "event":
		m.Event = m.text("event", v)
	case "idempotency_key":
		m.Key = m.text("idempotency_key", v)
	case "exclude":
		m.Exclude = m.text("exclude", v)
	case "traceparent":
		m.Trace = m.text("traceparent", v)
	default:
		return false
	}
	return true
}

// Text is a value as it is published: a text, or JSON as its text.
func Text(v ijson.Value) []byte {
	if v.IsString() {
		text, _ := v.Text()
		return text
	}
	return v.Compact()
}

// text returns the text of a string, nil for null: most encoders write that for a
// field that is not set.
func (m *Message) text(name string, v ijson.Value) []byte {
	if v.IsNull() {
		return nil
	}
	text, ok := v.Text()
	if !ok && v != nil && m.err == nil {
		m.err = &refusal.Error{Status: 400, Code: "bad_field", Message: name + " must be a string"}
	}
	return text
}

// HasData reports whether there is something to publish.
func (m *Message) HasData() bool { return m.Data != nil || m.Base64 != nil }

// Fault is what is wrong with the fields as JSON.
func (m *Message) Fault() *refusal.Error {
	switch {
	case !m.HasData() && m.err == nil:
		return ErrNoData
	case m.plural:
		return errChannels
	}
	return nil
}

// AddChannels adds the channels that a message in JSON names. r is used for an
// array.
func (m *Message) AddChannels(s *names.Set, r *ijson.Reader) *refusal.Error {
	return s.AddJSON(r, m.channel)
}

// Draft is m as a publication. Its slices alias the request unless the data is
// of base64.
func (m *Message) Draft() (Draft, *refusal.Error) {
	d := Draft{Data: m.Data, Event: m.Event, Key: m.Key, Exclude: m.Exclude, Traceparent: m.Trace}
	switch {
	case m.err != nil:
		return d, m.err
	case m.Base64 == nil && m.Data == nil:
		return d, ErrNoData
	case m.Base64 == nil:
		if m.fresh {
			d.fresh = d.Data
		}
		return d, nil
	case m.Data != nil && string(m.Data) != "null":
		return d, refusal.Contradiction("data and data_base64", "send one of them")
	}
	d.Binary = true
	d.Data = make([]byte, base64.StdEncoding.DecodedLen(len(m.Base64)))
	n, err := base64.StdEncoding.Decode(d.Data, m.Base64)
	if err != nil {
		return d, errBase64
	}
	d.Data = d.Data[:n]
	d.fresh = d.Data
	return d, nil
}
