package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"unicode/utf8"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/log"
	"peal/server/publication"
)

// Limits of what goes with a publication.
const (
	maxEvent          = 200 // bytes
	maxIdempotencyKey = 200 // bytes
)

// servePublish appends the body, or the data field of a form or JSON object in
// it, to each of the channels.
func (f *Front) servePublish(c *loop.Call, r *routed) {
	d, err := f.publication(r.body)
	if err == nil {
		err = d.check(f.deps.MessageLimit, f.deps.WireLimit)
	}
	f.pickDefault()
	if err == nil {
		err = f.fitsPicked(len(d.data))
	}
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	f.append(c, &d)
}

// publication reads a request to publish, from its query, header and body, and
// picks its channels; none where it is for the default one.
func (f *Front) publication(body []byte) (draft, error) {
	p, err := f.query()
	d := draft{data: body, event: p.event, key: p.key}
	for _, key := range f.header.PeekAll("Idempotency-Key") {
		if err == nil && len(key) > 0 {
			err = setOnce(&d.key, "idempotency_key", key)
		}
	}
	media := mediaType(f.header.ContentType())
	if err == nil && (len(f.picked) == 0 || equalFold(media, "multipart/form-data")) {
		d, err = f.fields(d, media, body)
	}
	if err == nil {
		err = f.stray(publishParameters, false)
	}
	d.binary = d.binary || equalFold(media, "application/octet-stream")
	return d, err
}

// draft is a publication that was asked for. Its slices are lent.
type draft struct {
	data   []byte
	binary bool
	event  []byte
	key    []byte // idempotency key; empty for none
}

// check tells whether d may be published, and finds out whether it is text.
func (d *draft) check(limit, wire int) error {
	switch {
	case len(d.data) > limit:
		return errMessageTooLarge
	case !isEventName(d.event):
		return errEvent
	case len(d.key) > maxIdempotencyKey:
		return errIdempotencyKey
	}
	d.binary = d.binary || !utf8.Valid(d.data)
	return deliverable(d.data, d.binary, wire)
}

// deliverable refuses a message that is longer than limit as it is sent to some
// subscriber: it would be cut off in the middle of it.
func deliverable(data []byte, binary bool, limit int) error {
	if publication.FitsAnyway(len(data), limit) {
		return nil
	}
	most := publication.MostBytes(data, binary)
	if most <= limit {
		return nil
	}
	return &Error{
		Status:  errMessageTooLarge.Status,
		Code:    errMessageTooLarge.Code,
		Message: fmt.Sprintf("the encoded message may take %d bytes, and the server can hold at most %d for one subscriber (half of held-bytes): publish a shorter message, or a link to the data", most, limit),
		close:   frame.CloseTooBig,
	}
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

// mediaType cuts the parameters off a Content-Type.
func mediaType(contentType []byte) []byte {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	return bytes.Trim(media, " \t")
}

// pending is one append under way. Its answer is written by the loop if the
// log is done with it before Append returns, else by the log's goroutine.
type pending struct {
	// Fixed.
	lineage *log.Lineage
	door    Answerer
	clock   *clock
	tally   *tally
	done    func(error) // p.finish, made once

	// Written before Append, and by the log.
	batch []*log.Entry
	ref   loop.Ref
	shape shape

	// Shared. err is written before the exchange in finish and read after the
	// one that failed because of it.
	err   error
	state atomic.Uint32 // 0, then what came first: finished or abandoned
}

const (
	finished  = 1 // the log is done: the loop answers
	abandoned = 2 // Append returned before: finish answers
)

func (f *Front) newPending() *pending {
	p := &pending{lineage: f.deps.Log.Lineage(), door: f.deps.Door, clock: &f.clock, tally: &f.deps.Workers.tally}
	p.done = p.finish
	return p
}

// finish is called by the log, on any goroutine, when it is done with the batch.
func (p *pending) finish(err error) {
	p.err = err
	if p.state.CompareAndSwap(0, finished) {
		return
	}
	p.door.Answer(p.ref, p.appendAnswer(nil))
}

// appendAnswer appends the response to a publish request.
func (p *pending) appendAnswer(dst []byte) []byte {
	if p.err != nil {
		err := lossRefusal(p.err)
		p.tally.refuse(err) // rare enough for its lock, also on the loop
		return appendError(dst, p.shape, p.clock.date(), err, retryLine(err))
	}
	c := p.lineage.Cursor(p.batch[len(p.batch)-1].Sequence)
	return appendCursorAnswer(dst, p.shape, p.clock.date(), "", c)
}

// append hands d to the log, an entry for each picked channel, and answers.
func (f *Front) append(c *loop.Call, d *draft) {
	if len(d.key) > 0 && f.deps.Keys != nil {
		f.appendOnce(c, d)
		return
	}
	p := f.pending
	if p == nil {
		p = f.newPending()
		f.pending = p
	}
	// One copy of the data serves all entries: nobody may change it.
	data, event, key := bytes.Clone(d.data), string(d.event), string(d.key)
	p.batch = p.batch[:0]
	for _, n := range f.picked {
		p.batch = append(p.batch, &log.Entry{
			Channel: n.text(), Event: event, Data: data, Binary: d.binary, IdempotencyKey: key,
		})
	}
	log.Share(p.batch)
	c.Work += workEntry * len(p.batch)
	p.ref, p.shape = c.Conn, f.shape()
	p.state.Store(0)

	if err := f.deps.Log.Append(p.batch, p.done); err != nil {
		clear(p.batch) // not accepted: done is never called, p is still ours
		f.refuse(c, appendRefusal(err), "")
		return
	}
	f.counts.accept(overHTTP, len(p.batch))
	if p.state.CompareAndSwap(0, abandoned) {
		f.pending = nil // it is the log's now
		f.later(c)
		return
	}
	c.Out = p.appendAnswer(c.Out)
	c.Verdict = replyVerdict(p.shape)
	clear(p.batch) // p lives on: it must not hold entries that the history drops
}

// appendRefusal says why the log did not accept.
func appendRefusal(err error) *Error {
	switch {
	case errors.Is(err, log.ErrClosed):
		return errDraining
	case errors.Is(err, log.ErrStorage):
		return errLogFull
	}
	return errOverloaded
}

// lossRefusal says why a batch that the log had accepted was lost.
func lossRefusal(err error) *Error {
	if errors.Is(err, log.ErrStorage) {
		return errLogFull
	}
	return errLost
}
