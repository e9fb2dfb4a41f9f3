package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"

	"peal/server/ijson"
)

// fields takes channel, data and the rest from a form or a JSON object, if the
// body is one. Else d stays as it is: the body is the data, for curl -d calls
// anything a form. d has what the query and the header say.
func (f *Front) fields(d draft, media, body []byte) (draft, error) {
	var m message
	var err error
	switch {
	case equalFold(media, "application/x-www-form-urlencoded"):
		err = f.formFields(&m, body)
	case equalFold(media, "application/json"):
		err = f.jsonFields(&m, body)
	case equalFold(media, "multipart/form-data"):
		err = f.multipartFields(&m, body)
	default:
		return d, textSlip(&f.json, body)
	}
	switch {
	case err != nil:
		return d, err
	case !m.hasData(): // text that curl calls a form
		return d, textSlip(&f.json, body)
	case len(f.picked) == 0 && m.stray != nil:
		return d, strayField(m.stray)
	}
	said, err := m.draft()
	if err == nil {
		err = said.join(&d)
	}
	return said, err
}

// join takes from other what d does not say, and refuses what both say in
// different ways. What is empty says nothing.
func (d *draft) join(other *draft) error {
	switch {
	case len(d.event) == 0:
		d.event = other.event
	case len(other.event) > 0 && !bytes.Equal(d.event, other.event):
		return contradiction("event", "the body and the URL say different ones: say it once")
	}
	switch {
	case len(d.key) == 0:
		d.key = other.key
	case len(other.key) > 0 && !bytes.Equal(d.key, other.key):
		return contradiction("idempotency_key", "the body and the URL or the header Idempotency-Key say different ones: say it once")
	}
	return nil
}

// formFields reads a form. Without data it is either one for us, with a slip, or
// text.
func (f *Front) formFields(m *message, body []byte) error {
	f.form.ParseBytes(body)
	ours := false
	for key, value := range f.form.All() {
		ours = ours || isMessageField(key)
		if ours || f.form.Has("data") {
			if err := f.field(m, key, value); err != nil {
				return err
			}
		}
	}
	switch {
	case m.hasData():
		return nil
	case ours:
		return errNoData // not a message for the default channel
	}
	return formSlip(body)
}

func isMessageField(key []byte) bool {
	for _, known := range messageFields {
		if string(key) == known {
			return true
		}
	}
	return isChannelKey(key)
}

// multipartFields reads what PHP's curl makes of an array, and fetch of FormData.
func (f *Front) multipartFields(m *message, body []byte) error {
	inURL := len(f.picked)
	err := f.eachPart(body, func(name, value []byte) error { return f.field(m, name, value) })
	switch {
	case err != nil:
		return err
	case !m.hasData():
		return errNoData
	case inURL > 0 && len(f.picked) > inURL:
		return contradiction("channel", "the form and the URL name different ones: name them in one place")
	}
	return nil
}

// eachPart calls take with each part of a multipart body, until it returns an error.
func (f *Front) eachPart(body []byte, take func(name, value []byte) error) error {
	_, attributes, err := mime.ParseMediaType(string(f.header.ContentType()))
	if err != nil || attributes["boundary"] == "" {
		return errForm
	}
	parts := multipart.NewReader(bytes.NewReader(body), attributes["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errForm
		}
		value, err := io.ReadAll(part) // bounded by the body's limit
		if err != nil {
			return errForm
		}
		if err := take([]byte(part.FormName()), value); err != nil {
			return err
		}
	}
}

// field takes one field of a form.
func (f *Front) field(m *message, key, value []byte) error {
	switch string(key) {
	case "data":
		return setOnce(&m.data, "data", value)
	case "data_base64":
		return setOnce(&m.base64, "data_base64", value)
	case "event":
		return setOnce(&m.event, "event", value)
	case "idempotency_key":
		return setOnce(&m.key, "idempotency_key", value)
	case "channel":
		return f.pick(value)
	}
	if isChannelKey(key) {
		return f.pick(value)
	}
	if m.stray == nil {
		m.stray = append([]byte{}, key...)
	}
	return nil
}

// jsonFields reads a JSON object. Any other JSON needs a channel in the query:
// then it is published as it is, and does not come here.
func (f *Front) jsonFields(m *message, body []byte) error {
	r := &f.json
	r.Start(body)
	m.read(r)
	switch err := r.End(); {
	case err == ijson.ErrKind:
		return errNotMessage
	case err != nil:
		return jsonError(err)
	case !m.hasData() && m.err == nil:
		return errNoData
	case m.plural:
		return errChannels
	}
	return f.pickJSON(m.channel)
}

// pickJSON picks the channels that the field of that name has.
func (f *Front) pickJSON(v ijson.Value) (err error) {
	if f.texts, err = appendChannels(f.texts[:0], &f.json, v); err != nil {
		return err
	}
	for _, text := range f.texts {
		if err := f.pick(text); err != nil {
			return err
		}
	}
	return nil
}
