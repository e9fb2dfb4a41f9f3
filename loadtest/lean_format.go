package loadtest

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// take counts a message of a WebSocket or an event stream.
func (k *epollKind) take(c *leanConn, message []byte, now int64, came form) {
	if k.spec.Format != JSON {
		k.sink.takeLocked(c.sub, message, now, came)
		return
	}
	if k.unwrap(message) && len(k.data) == 1 && k.sink.deliveredLocked(c.sub, k.data[0], now) {
		if cursor := firstCursor(message); k.spec.Resume && cursor != nil {
			c.cursor = append(c.cursor[:0], cursor...)
		}
		return
	}
	w, ok := k.parsed(message)
	switch {
	case !ok:
	case w.Gap != nil:
		k.sink.gaps++
	case w.Data == nil && k.spec.Protocol != "":
	default:
		k.sink.takeLocked(c.sub, w.message(), now, aString)
		if k.spec.Resume && w.Cursor != "" {
			c.cursor = append(c.cursor[:0], w.Cursor...)
		}
	}
}

// wrapper is the JSON around one message, or around those of a poll's response.
type wrapper struct {
	Cursor    string
	Gap, Data json.RawMessage
	Messages  []wrapper
}

// message is the text that Data is; other data is the message itself.
func (w *wrapper) message() []byte {
	var text string
	if json.Unmarshal(w.Data, &text) != nil {
		return w.Data
	}
	return []byte(text)
}

// parsed reads JSON. What is not JSON counts as invalid.
func (k *epollKind) parsed(object []byte) (w wrapper, ok bool) {
	if err := json.Unmarshal(object, &w); err != nil {
		k.sink.damagedLocked(&k.sink.counts.Invalid, "not JSON (%v): %.100q", err, object)
		return w, false
	}
	if !utf8.Valid(object) {
		k.sink.damagedLocked(&k.sink.counts.Invalid, "JSON that is not UTF-8: %.100q", object)
	}
	return w, utf8.Valid(object)
}

// unwrap finds the data of all messages in a JSON text, for k.data. ok is false where the
// rest is no JSON. What was judged once, as for another subscriber, is not judged again.
func (k *epollKind) unwrap(object []byte) (ok bool) {
	k.around, k.data = k.around[:0], k.data[:0]
	for {
		head, rest, found := bytes.Cut(object, dataField)
		if k.around = append(k.around, head...); !found {
			break
		}
		end := k.sink.size
		if end == 0 || end >= len(rest) || rest[end] != '"' {
			end = bytes.IndexByte(rest, '"')
		}
		if end < 0 {
			return false
		}
		k.around = append(append(k.around, dataField...), '"')
		k.data = append(k.data, rest[:end])
		object = rest[end+1:]
	}
	if k.judged[string(k.around)] {
		return true
	}
	if !utf8.Valid(k.around) || !json.Valid(k.around) {
		return false
	}
	if len(k.judged) > 1000 {
		clear(k.judged)
	}
	k.judged[string(k.around)] = true
	return true
}

var (
	dataField   = []byte(`"data":"`)
	cursorField = []byte(`"cursor":"`)
	pollBegin   = []byte(`{"cursor":"`)
	gapField    = []byte(`,"gap":[`) // of a poll's answer, before its messages
)

// firstCursor returns the cursor that an object has before its data, which is the
// object's memory; nil: it has none. Event streams have it in their id too.
func firstCursor(object []byte) []byte {
	_, rest, _ := bytes.Cut(object, cursorField)
	end := bytes.IndexByte(rest, '"')
	if end <= 0 {
		return nil
	}
	return rest[:end]
}

// pollMessages counts the messages of an answer and returns its cursor, which
// may be the answer's memory.
func (k *epollKind) pollMessages(c *leanConn, a answer, now int64) (cursor []byte, err error) {
	switch {
	case k.spec.Format == Raw && a.status == 204: // the time was up
	case a.status != 200:
		return nil, byServer("poll: status %d: %.200s", a.status, a.body)
	case k.spec.Format == Raw:
		k.sink.takeLocked(c.sub, a.body, now, octets)
	case len(a.contentType) > 0 && !isJSON(a.contentType):
		return nil, unreadable("poll: content type %q instead of application/json", a.contentType)
	default:
		if cursor = k.pollObject(c, a.body, now); len(cursor) == 0 {
			err = unreadable("poll: no cursor in %.200q", a.body)
		}
		return cursor, err
	}
	if a.gap {
		k.sink.gaps++
	}
	if len(a.cursor) == 0 {
		return nil, unreadable("poll: no Peal-Cursor with %.200q", a.body)
	}
	return a.cursor, nil
}

// pollObject is pollMessages for a body of JSON.
func (k *epollKind) pollObject(c *leanConn, body []byte, now int64) (cursor []byte) {
	cursor, delivered := firstCursor(body), 0
	known := bytes.HasPrefix(body, pollBegin) && k.unwrap(body)
	for known && delivered < len(k.data) && k.sink.deliveredLocked(c.sub, k.data[delivered], now) {
		delivered++
	}
	if known && delivered == len(k.data) {
		if bytes.HasPrefix(body[len(pollBegin)+len(cursor)+1:], gapField) {
			k.sink.gaps++
		}
		return cursor
	}
	w, ok := k.parsed(body)
	if !ok { // where it goes on may be readable all the same
		return cursor
	}
	if w.Gap != nil {
		k.sink.gaps++
	}
	for i := min(delivered, len(w.Messages)); i < len(w.Messages); i++ {
		k.sink.takeLocked(c.sub, w.Messages[i].message(), now, aString)
	}
	return []byte(w.Cursor)
}
