package publish

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"peal/server/log"
	"peal/server/names"
	"peal/server/refusal"
	"peal/server/session"
)

// Limits of what goes with a publication.
const (
	maxEvent          = 200 // bytes
	maxIdempotencyKey = 200 // bytes
)

// EntryWork is what one channel of a publication costs a loop: it is numbered,
// kept, and handed to the loops. In units of loop.Call.Work.
const EntryWork = 2

// Found in what goes with the data.
var (
	errEvent          = &refusal.Error{Status: 400, Code: "bad_event", Message: "an event name has at most 200 bytes of UTF-8 without control characters; open, error, gap and names that begin with peal are reserved for the server"}
	errExclude        = &refusal.Error{Status: 400, Code: "bad_exclude", Message: "exclude must be the session id of one client, 22 characters of base64url: Peal-Session, or session in its first message"}
	errIdempotencyKey = &refusal.Error{Status: 400, Code: "bad_idempotency_key", Message: "an idempotency key has at most 200 bytes"}
)

// Draft is a publication that was asked for. Its slices are lent.
type Draft struct {
	Data   []byte
	Binary bool // as the publisher says; Check sets it for data that is no text
	Event  []byte
	Key    []byte // idempotency key; empty for none

	// Publisher is whose Key it is: see permit.Gate.Publisher.
	Publisher string

	// Joined: all channels are those of one entry, which a subscriber of several of them
	// receives once. Private marks it; Retry is the decimal number of milliseconds after
	// which clients should reconnect, empty for none; Open is how many of the channels behind the
	// first one any client may subscribe to (log.AlsoTag): they come before the others. Of Joined only.
	Joined, Private bool
	Retry           []byte
	Open            int
	// Tags go with the message; nil for none. They are kept.
	Tags map[string]string

	// Exclude is the id of the session that does not receive it, as text; empty for none.
	Exclude []byte
	exclude *[16]byte // read by Check
}

// Check finds out whether d may be published as it is, apart from its size, and
// whether its data is text.
func (d *Draft) Check() *refusal.Error {
	if !isEventName(d.Event) {
		return errEvent
	}
	if len(d.Key) > maxIdempotencyKey {
		return errIdempotencyKey
	}
	if len(d.Exclude) > 0 {
		id, ok := session.Parse(d.Exclude)
		if !ok {
			return errExclude
		}
		d.exclude = (*[16]byte)(&id)
	}
	d.Binary = d.Binary || !utf8.Valid(d.Data)
	return nil
}

// AppendEntries appends the entries of d, one for each channel. They share one
// copy of the data, which must not change.
func (d *Draft) AppendEntries(dst []*log.Entry, channels []*names.Name) []*log.Entry {
	data, event, key, publisher := bytes.Clone(d.Data), string(d.Event), string(d.Key), ""
	if key != "" {
		publisher = d.Publisher
	}
	if d.Joined {
		e := &log.Entry{Channel: channels[0].Text(), Event: event, Data: data, Binary: d.Binary, Publisher: publisher, IdempotencyKey: key, Exclude: d.exclude, Private: d.Private}
		for _, n := range channels[1:] {
			e.Also = append(e.Also, n.Text())
		}
		if len(d.Retry) > 0 || d.Open > 0 {
			e.Tags = map[string]string{}
		}
		if len(d.Retry) > 0 {
			e.Tags[log.RetryTag] = string(d.Retry)
		}
		if d.Open > 0 {
			e.Tags[log.AlsoTag] = strconv.Itoa(d.Open)
		}
		return append(dst, e)
	}
	from := len(dst)
	for _, n := range channels {
		dst = append(dst, &log.Entry{Channel: n.Text(), Event: event, Data: data, Binary: d.Binary, Publisher: publisher, IdempotencyKey: key, Exclude: d.exclude, Tags: d.Tags})
	}
	log.Share(dst[from:])
	return dst
}

// isEventName reports whether a publisher may use that name. EventSource fires
// open and error itself, so a page could not tell them apart.
func isEventName(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(b) > maxEvent || bytes.HasPrefix(b, []byte("peal")) || !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c < ' ' || c == 0x7F {
			return false
		}
	}
	switch string(b) {
	case "open", "error", "gap":
		return false
	}
	return true
}
