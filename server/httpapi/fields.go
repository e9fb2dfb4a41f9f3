package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
)

// fields takes channel, data and event from a form or a JSON object, if the
// body is one that has data. Else d stays as it is: the body is the data, for
// curl -d calls anything a form.
func (f *Front) fields(d draft, media, body []byte) (draft, error) {
	switch {
	case equalFold(media, "application/x-www-form-urlencoded"):
		return f.formFields(d, body)
	case equalFold(media, "application/json"):
		return f.jsonFields(d, body)
	case equalFold(media, "multipart/form-data"):
		return f.multipartFields(d, body)
	}
	return d, nil
}

func (f *Front) formFields(d draft, body []byte) (draft, error) {
	f.form.ParseBytes(body)
	if !f.form.Has("data") {
		for key := range f.form.All() {
			if string(key) == "channel" || isChannelKey(key) {
				return d, errNoData // a form for us, with a slip; not a message for the default channel
			}
		}
		return d, nil
	}
	for key, value := range f.form.All() {
		if err := f.field(&d, key, value); err != nil {
			return d, err
		}
	}
	return d, nil
}

// multipartFields reads what PHP's curl makes of an array, and fetch of FormData.
func (f *Front) multipartFields(d draft, body []byte) (draft, error) {
	found := false
	err := f.eachPart(body, func(name, value []byte) error {
		found = found || string(name) == "data"
		return f.field(&d, name, value)
	})
	if err == nil && !found {
		err = errNoData
	}
	return d, err
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

// field takes one field of a form. Unknown ones are ignored.
func (f *Front) field(d *draft, key, value []byte) error {
	switch string(key) {
	case "data":
		d.data = value
	case "event":
		d.event = value
	case "channel":
		return f.pick(value)
	default:
		if isChannelKey(key) {
			return f.pick(value)
		}
	}
	return nil
}

func (f *Front) jsonFields(d draft, body []byte) (draft, error) {
	if !json.Valid(body) {
		return d, errJSON
	}
	var m messageJSON
	if err := json.Unmarshal(body, &m); err != nil {
		return d, nil // some other JSON: it is the data
	}
	if !m.hasData() {
		if m.Channel != nil || m.Channels != nil {
			return d, errNoData // meant for a channel, not as a message for the default one
		}
		return d, nil
	}
	if m.Channels != nil {
		return d, errChannels
	}
	channels, err := m.channels()
	if err != nil {
		return d, err
	}
	for _, channel := range channels {
		if err := f.pick([]byte(channel)); err != nil {
			return d, err
		}
	}
	fromJSON, err := m.draft()
	if len(fromJSON.event) == 0 {
		fromJSON.event = d.event
	}
	if len(fromJSON.key) == 0 {
		fromJSON.key = d.key
	}
	return fromJSON, err
}

// messageJSON is a publication as publishers write it in JSON.
type messageJSON struct {
	Channel        json.RawMessage `json:"channel"`  // a string or an array of them
	Channels       json.RawMessage `json:"channels"` // a slip that is told, not guessed at
	Data           json.RawMessage `json:"data"`     // a string, or JSON that is published as its text
	DataBase64     *string         `json:"data_base64"`
	Event          string          `json:"event"`
	IdempotencyKey string          `json:"idempotency_key"`
}

func (m *messageJSON) hasData() bool { return m.Data != nil || m.DataBase64 != nil }

// channels returns the channels that m names; none for the default.
func (m *messageJSON) channels() ([]string, error) {
	if m.Channel == nil {
		return nil, nil
	}
	var one string
	if json.Unmarshal(m.Channel, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if json.Unmarshal(m.Channel, &many) != nil {
		return nil, errChannelName
	}
	return many, nil
}

func (m *messageJSON) draft() (draft, error) {
	d := draft{event: []byte(m.Event), key: []byte(m.IdempotencyKey)}
	switch {
	case m.DataBase64 != nil:
		data, err := base64.StdEncoding.DecodeString(*m.DataBase64)
		if err != nil {
			return d, errBase64
		}
		d.data, d.binary = data, true
	case m.Data == nil:
		return d, errNoData
	case m.Data[0] == '"':
		var text string
		if err := json.Unmarshal(m.Data, &text); err != nil {
			return d, errJSON
		}
		d.data = []byte(text)
	default:
		var compact bytes.Buffer
		if err := json.Compact(&compact, m.Data); err != nil {
			return d, errJSON
		}
		d.data = compact.Bytes()
	}
	return d, nil
}
