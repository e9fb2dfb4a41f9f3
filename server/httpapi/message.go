package httpapi

import (
	"bytes"
	"encoding/base64"
	"errors"

	"peal/server/ijson"
)

// messageFields are those of a publication in JSON and in a form.
var messageFields = []string{"channel", "data", "data_base64", "event", "idempotency_key"}

// message is a publication as publishers write it in JSON or in a form. Its
// slices alias the request; nil is what was not said.
type message struct {
	data   []byte // as it is published, but for the base64
	base64 []byte
	event  []byte
	key    []byte

	channel ijson.Value // JSON: a string or an array of them; of a form the Front picks at once
	plural  bool        // JSON: it has "channels", a slip that is told, not guessed at
	stray   []byte      // the first field that is none of these
	err     error       // of the first value of a wrong kind
}

// read reads the object that comes next. What is wrong with the JSON itself is
// the Reader's to say, at its end.
func (m *message) read(r *ijson.Reader) {
	for r.Enter('{'); r.More(); {
		name := r.Name()
		switch string(name) {
		case "channel":
			m.channel = r.Value()
		case "channels":
			m.plural = true
			r.Value()
		case "data":
			m.setData(r.Value())
		case "data_base64":
			m.base64 = m.text("data_base64", r.Value())
		case "event":
			m.event = m.text("event", r.Value())
		case "idempotency_key":
			m.key = m.text("idempotency_key", r.Value())
		default:
			if m.stray == nil {
				m.stray = name
			}
			r.Value()
		}
	}
}

// setData takes the data, a text, or JSON that is published as its text.
func (m *message) setData(v ijson.Value) {
	if v.IsString() {
		m.data, _ = v.Text()
	} else {
		m.data = v.Compact()
	}
}

// text returns what a string says, nil for null: most encoders write that for a
// field that is not set.
func (m *message) text(name string, v ijson.Value) []byte {
	if v.IsNull() {
		return nil
	}
	text, ok := v.Text()
	if !ok && v != nil && m.err == nil {
		m.err = &Error{Status: 400, Code: "bad_field", Message: name + " must be a string"}
	}
	return text
}

func (m *message) hasData() bool { return m.data != nil || m.base64 != nil }

// draft is m as a publication. Its slices alias the request unless the data is
// of base64.
func (m *message) draft() (d draft, err error) {
	d = draft{data: m.data, event: m.event, key: m.key}
	switch {
	case m.err != nil:
		return d, m.err
	case m.base64 == nil:
		if m.data == nil {
			return d, errNoData
		}
		return d, nil
	case m.data != nil && string(m.data) != "null":
		return d, contradiction("data and data_base64", "send one of them")
	}
	d.binary = true
	d.data = make([]byte, base64.StdEncoding.DecodedLen(len(m.base64)))
	n, err := base64.StdEncoding.Decode(d.data, m.base64)
	if err != nil {
		return d, errBase64
	}
	d.data = d.data[:n]
	return d, nil
}

// Found by appendTexts.
var (
	errNotTexts = errors.New("neither a string nor an array of strings")
	errNoTexts  = errors.New("an empty array")
)

// appendTexts appends what v says, a string or an array of strings; nothing if v
// is not there. r is used for an array.
func appendTexts(dst [][]byte, r *ijson.Reader, v ijson.Value) ([][]byte, error) {
	if v == nil {
		return dst, nil
	}
	if text, ok := v.Text(); ok {
		return append(dst, text), nil
	}
	if v[0] != '[' {
		return dst, errNotTexts
	}
	before := len(dst)
	r.Start(v)
	for r.Enter('['); r.More(); {
		text, ok := r.Value().Text()
		if !ok {
			return dst, errNotTexts
		}
		dst = append(dst, text)
	}
	if len(dst) == before {
		return dst, errNoTexts
	}
	return dst, nil
}

// appendChannels is appendTexts for the field channel.
func appendChannels(dst [][]byte, r *ijson.Reader, v ijson.Value) ([][]byte, error) {
	dst, err := appendTexts(dst, r, v)
	switch err {
	case errNoTexts:
		return dst, errNoChannels
	case errNotTexts:
		return dst, errChannelName
	}
	return dst, nil
}

// setOnce sets a field that has one value. The same again does no harm, and what
// is empty says nothing beside another; two values leave open which was meant.
func setOnce(field *[]byte, name string, value []byte) error {
	switch {
	case len(*field) == 0:
		if *field = value; value == nil {
			*field = empty
		}
	case len(value) > 0 && !bytes.Equal(*field, value):
		return contradiction(name, "it is there twice with different values: send it once")
	}
	return nil
}

// empty is a value that was said and is empty.
var empty = []byte{}
