package publish

import (
	"bytes"
	"maps"
	"strconv"
	"unicode/utf8"

	"peal/server/log"
	"peal/server/names"
	"peal/server/refusal"
	"peal/server/session"
	"peal/server/tracecontext"
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
	errTraceparent    = &refusal.Error{Status: 400, Code: "bad_field", Message: "traceparent must be that of W3C Trace Context, as in 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	errIdempotencyKey = &refusal.Error{Status: 400, Code: "bad_idempotency_key", Message: "an idempotency key has at most 200 bytes"}
)

// Draft is a publication that was asked for. Its slices are lent.
type Draft struct {
	Data   []byte
	fresh  []byte // if it is Data: nobody else has its memory, so an entry may keep it
	Binary bool   // as the publisher says; Check sets it for data that is no text
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

	// Traceparent is that of the publisher, as text, which Check reads; empty for none. See also SetTraceparent.
	Traceparent []byte
	parent      string // with which subscribers receive it

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
	if len(d.Traceparent) > 0 {
		p, ok := tracecontext.Parse(d.Traceparent)
		if !ok {
			return errTraceparent
		}
		d.parent = p.String()
	}
	d.Binary = d.Binary || !utf8.Valid(d.Data)
	return nil
}

// SetTraceparent takes the header of that name. An invalid one is ignored: a program between may have
// added it.
func (d *Draft) SetTraceparent(header []byte) {
	if p, ok := tracecontext.Parse(header); ok {
		d.parent = p.String()
	}
}

// Inherit takes the traceparent of other if d has none.
func (d *Draft) Inherit(other *Draft) {
	if len(d.Traceparent) == 0 && d.parent == "" {
		d.Traceparent, d.parent = other.Traceparent, other.parent
	}
}

// tags are those of the entries of d; nil for none.
func (d *Draft) tags() map[string]string {
	if d.parent == "" && (!d.Joined || len(d.Retry) == 0 && d.Open == 0) {
		return d.Tags
	}
	tags := map[string]string{}
	maps.Copy(tags, d.Tags)
	if d.parent != "" {
		tags[log.TraceTag] = d.parent
	}
	if d.Joined && len(d.Retry) > 0 {
		tags[log.RetryTag] = string(d.Retry)
	}
	if d.Joined && d.Open > 0 {
		tags[log.AlsoTag] = strconv.Itoa(d.Open)
	}
	return tags
}

// AppendEntries appends the entries of d, one for each channel. They share one
// copy of the data, which must not change.
func (d *Draft) AppendEntries(dst []*log.Entry, channels []*names.Name) []*log.Entry {
	event, key, publisher := string(d.Event), string(d.Key), ""
	if key != "" {
		publisher = d.Publisher
	}
	if len(channels) == 1 && !d.Joined && !d.isFresh() { // most publications: one object
		e := log.EntryBeside(d.Data)
		e.Channel, e.Event, e.Binary, e.Publisher, e.IdempotencyKey, e.Exclude, e.Tags = channels[0].Text(), event, d.Binary, publisher, key, d.exclude, d.tags()
		return append(dst, e)
	}
	data := d.keptData()
	if d.Joined {
		e := &log.Entry{Channel: channels[0].Text(), Event: event, Data: data, Binary: d.Binary, Publisher: publisher, IdempotencyKey: key, Exclude: d.exclude, Private: d.Private}
		for _, n := range channels[1:] {
			e.Also = append(e.Also, n.Text())
		}
		e.Tags = d.tags()
		return append(dst, e)
	}
	from, tags := len(dst), d.tags()
	for _, n := range channels {
		dst = append(dst, &log.Entry{Channel: n.Text(), Event: event, Data: data, Binary: d.Binary, Publisher: publisher, IdempotencyKey: key, Exclude: d.exclude, Tags: tags})
	}
	log.Share(dst[from:])
	return dst
}

// keptData returns the data in memory that entries may keep: once copied, unless it was made for
// this draft. Then it was not rewritten since, and its memory has little room behind it.
func (d *Draft) keptData() []byte {
	if d.isFresh() {
		return d.Data
	}
	return bytes.Clone(d.Data)
}

func (d *Draft) isFresh() bool {
	n := len(d.Data)
	return n > 0 && n == len(d.fresh) && &d.Data[0] == &d.fresh[0] && cap(d.fresh) <= n+n/4
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
