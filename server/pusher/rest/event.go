package rest

import (
	"bytes"
	"strings"

	"peal/server/app"
	"peal/server/ijson"
	"peal/server/publish"
	"peal/server/pusher"
	"peal/server/refusal"
	"peal/server/session"
)

// Limits of requests.
const (
	maxChannels = 100 // of one event
	maxBatch    = 10  // events
)

// Event is what a backend triggers. Its slices alias the body.
type Event struct {
	Channels [][]byte // names, as clients of the app have them
	Draft    publish.Draft
	Wish     Wish

	exclude [session.TextBytes]byte // memory of Draft.Exclude
}

// fields are the members of an event, as they were read.
type fields struct{ name, data, channel, channels, socketID, info ijson.Value }

// read reads the object that comes next. Members that it does not know are passed over.
func (f *fields) read(r *ijson.Reader) {
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		value := r.Value()
		if value.IsNull() {
			value = nil
		}
		switch name {
		case "name":
			f.name = value
		case "data":
			f.data = value
		case "channel":
			f.channel = value
		case "channels":
			f.channels = value
		case "socket_id":
			f.socketID = value
		case "info":
			f.info = value
		}
	}
}

// ParseEvent reads the body of POST /events.
func ParseEvent(r *ijson.Reader, body []byte) (*Event, *refusal.Error) {
	var f fields
	r.Start(body)
	f.read(r)
	if err := r.End(); err != nil {
		return nil, refusal.OfJSON(err)
	}
	e := &Event{}
	return e, f.event(e, r)
}

// ParseBatch reads the body of POST /batch_events.
func ParseBatch(r *ijson.Reader, body []byte) ([]*Event, *refusal.Error) {
	var all []fields
	found := false
	r.Start(body)
	for r.Enter('{'); r.More(); {
		if string(r.Name()) != "batch" || r.Kind() != '[' {
			r.Value()
			continue
		}
		found = true
		for r.Enter('['); r.More(); {
			if len(all) == maxBatch || r.Kind() != '{' {
				return nil, errBatch
			}
			all = append(all, fields{})
			all[len(all)-1].read(r)
		}
	}
	if err := r.End(); err != nil {
		return nil, refusal.OfJSON(err)
	}
	if !found || len(all) == 0 {
		return nil, errBatch
	}
	events := make([]*Event, len(all))
	for i := range all {
		events[i] = &Event{}
		if all[i].channels != nil {
			return nil, errBatch
		}
		if err := all[i].event(events[i], r); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// event checks f and makes e of it. r is used for an array.
func (f *fields) event(e *Event, r *ijson.Reader) (err *refusal.Error) {
	name, ok := f.name.Text()
	if !ok || len(name) == 0 || bytes.HasPrefix(name, []byte("pusher:")) || bytes.HasPrefix(name, []byte("pusher_internal:")) {
		return errEventName
	}
	if err := f.readChannels(e, r); err != nil {
		return err
	}
	data, ok := f.data.Text()
	if !ok {
		return errData
	}
	e.Draft = publish.Draft{Data: data, Event: name}
	if err := e.Draft.Check(); err != nil {
		return errEventName
	}
	if f.socketID != nil {
		text, _ := f.socketID.Text()
		id, ok := pusher.ParseSocketID(text)
		if !ok {
			return errSocketID
		}
		e.Draft.Exclude = id.Append(e.exclude[:0])
		if err := e.Draft.Check(); err != nil {
			return errSocketID
		}
	}
	info, ok := f.info.Text()
	if f.info != nil && !ok {
		return errInfo
	}
	if e.Wish, err = ParseWish(info); err != nil {
		return err
	}
	return nil
}

func (f *fields) readChannels(e *Event, r *ijson.Reader) *refusal.Error {
	value := f.channels
	switch {
	case f.channel != nil && f.channels != nil:
		return errBoth
	case f.channel != nil && !f.channel.IsString():
		return errChannel
	case value == nil:
		value = f.channel
	}
	if value == nil {
		return errNone
	}
	texts, err := ijson.AppendTexts(nil, r, value)
	switch {
	case err == ijson.ErrNoTexts:
		return errNone
	case err != nil:
		return errChannel
	case len(texts) > maxChannels:
		return errTooMany
	}
	encrypted := false
	for _, text := range texts {
		if !app.IsName(text) {
			return errChannel
		}
		encrypted = encrypted || strings.HasPrefix(string(text), app.Encrypted)
	}
	if encrypted && len(texts) > 1 {
		return errEncrypted
	}
	e.Channels = texts
	return nil
}
