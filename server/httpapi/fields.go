package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"

	"peal/server/ascii"
	"peal/server/ijson"
	"peal/server/names"
	"peal/server/publish"
	"peal/server/refusal"
)

// fields takes channel, data and the rest from a form or a JSON object, if the
// body is one. Else d stays as it is: the body is the data, for curl -d calls
// anything a form. d has what the query and the header say.
func (x *exchange) fields(d publish.Draft, media []byte) (publish.Draft, *refusal.Error) {
	var m publish.Message
	var err *refusal.Error
	switch {
	case ascii.EqualFold(media, "application/x-www-form-urlencoded"):
		err = x.formFields(&m)
	case ascii.EqualFold(media, "application/json"):
		err = x.jsonFields(&m)
	case ascii.EqualFold(media, "multipart/form-data"):
		err = x.multipartFields(&m)
	default:
		return d, textSlip(&x.json, x.body)
	}
	switch {
	case err != nil:
		return d, err
	case !m.HasData(): // text that curl calls a form
		return d, textSlip(&x.json, x.body)
	case x.channels.Len() == 0 && m.Stray != nil:
		return d, names.StrayField(m.Stray, publish.Fields)
	}
	said, err := m.Draft()
	if err != nil {
		return said, err
	}
	return said, join(&said, &d)
}

// join takes from other what d does not say, and refuses what both say in
// different ways. What is empty says nothing.
func join(d, other *publish.Draft) *refusal.Error {
	d.Inherit(other)
	switch {
	case len(d.Event) == 0:
		d.Event = other.Event
	case len(other.Event) > 0 && !bytes.Equal(d.Event, other.Event):
		return refusal.Contradiction("event", "the body and the URL say different ones: say it once")
	}
	switch {
	case len(d.Key) == 0:
		d.Key = other.Key
	case len(other.Key) > 0 && !bytes.Equal(d.Key, other.Key):
		return refusal.Contradiction("idempotency_key", "the body and the URL or the header Idempotency-Key say different ones: say it once")
	}
	switch {
	case len(d.Exclude) == 0:
		d.Exclude = other.Exclude
	case len(other.Exclude) > 0 && !bytes.Equal(d.Exclude, other.Exclude):
		return refusal.Contradiction("exclude", "the body and the URL say different ones: say it once")
	}
	return nil
}

// formFields reads a form. Without data it is either one for us, with a slip, or
// text.
func (x *exchange) formFields(m *publish.Message) *refusal.Error {
	x.form.ParseBytes(x.body)
	ours := false
	for key, value := range x.form.All() {
		ours = ours || isMessageField(key)
		if ours || x.form.Has("data") {
			if err := x.field(m, key, value); err != nil {
				return err
			}
		}
	}
	switch {
	case m.HasData():
		return nil
	case ours:
		return publish.ErrNoData // not a message for the default channel
	}
	return formSlip(x.body)
}

func isMessageField(key []byte) bool {
	for _, known := range publish.Fields {
		if string(key) == known {
			return true
		}
	}
	return isChannelKey(key)
}

// multipartFields reads what PHP's curl makes of an array, and fetch of FormData.
func (x *exchange) multipartFields(m *publish.Message) *refusal.Error {
	inURL := x.channels.Len()
	err := x.eachPart(func(name, value []byte) *refusal.Error { return x.field(m, name, value) })
	switch {
	case err != nil:
		return err
	case !m.HasData():
		return publish.ErrNoData
	case inURL > 0 && x.channels.Len() > inURL:
		return refusal.Contradiction("channel", "the form and the URL name different ones: name them in one place")
	}
	return nil
}

// eachPart calls take with each part of a multipart body, until it returns an error.
func (x *exchange) eachPart(take func(name, value []byte) *refusal.Error) *refusal.Error {
	_, attributes, err := mime.ParseMediaType(string(x.contentType()))
	if err != nil || attributes["boundary"] == "" {
		return errForm
	}
	parts := multipart.NewReader(bytes.NewReader(x.body), attributes["boundary"])
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
func (x *exchange) field(m *publish.Message, key, value []byte) *refusal.Error {
	switch string(key) {
	case "data":
		return setOnce(&m.Data, "data", value)
	case "data_base64":
		return setOnce(&m.Base64, "data_base64", value)
	case "event":
		return setOnce(&m.Event, "event", value)
	case "idempotency_key":
		return setOnce(&m.Key, "idempotency_key", value)
	case "exclude":
		return setOnce(&m.Exclude, "exclude", value)
	case "traceparent":
		return setOnce(&m.Trace, "traceparent", value)
	case "channel":
		return x.channels.Add(value)
	}
	if isChannelKey(key) {
		return x.channels.Add(value)
	}
	if m.Stray == nil {
		m.Stray = append([]byte{}, key...)
	}
	return nil
}

// jsonFields reads a JSON object. Any other JSON needs a channel in the query:
// then it is published as it is, and does not come here.
func (x *exchange) jsonFields(m *publish.Message) *refusal.Error {
	r := &x.json
	r.Start(x.body)
	m.Read(r)
	switch err := r.End(); {
	case err == ijson.ErrKind:
		return errNotMessage
	case err != nil:
		return refusal.OfJSON(err)
	}
	if err := m.Fault(); err != nil {
		return err
	}
	return m.AddChannels(&x.channels, r)
}
