package publish

import (
	"runtime"

	"peal/server/ask"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/rules"
)

// batchGroup is how many messages are appended under one lock, and groupEntries
// after how many entries no further message joins them: a large batch must not
// wait for a whole ring to be free, nor others for a long append.
const (
	batchGroup   = 64
	groupEntries = 256
)

// Found in batches.
var (
	errBatch = &refusal.Error{Status: 400, Code: "bad_batch", Message: `the body must be JSON: {"messages":[{"channel":…,"data":…},…]}, with no other field and at most batch-messages messages (1000 by default)`}
	errWide  = &refusal.Error{Status: 413, Code: "batch_too_wide", Message: "the batch exceeds batch-entries (8192 by default; each channel of each message counts): send this message and those after it in another batch"}
)

// Batch is one request with many messages. Decoding a megabyte of JSON takes
// longer than a loop may stand still, so a worker runs it.
type Batch struct {
	// Fixed before Run.
	Append
	Gate    permit.Gate
	Request permit.Request // of all messages; Run sets what differs
	Rules   *rules.Table
	User    string         // whose channel $me is, "" for none
	Head    Draft          // its traceparent goes with messages that have none
	Stray   *refusal.Error // for a message that names no channel: the URL has something unknown

	MaxMessages int
	MaxEntries  int

	// Resume has a worker run the rest when the backend has said what may be published; or it
	// returns why none has time. Any goroutine may call it.
	Resume func(run func()) *refusal.Error

	// Owned by the worker.
	work *workspace // nil before Keep and when all is appended or refused
	made int        // entries

	decided []decided // of a batch about whose messages the backend is asked

	// limited refuses the messages behind the first that came too soon: a token that
	// becomes available meanwhile must not let a later one overtake it.
	limited *refusal.Error
}

// Keep copies the body of the request. Run or Refuse must follow.
func (b *Batch) Keep(body []byte) { b.work = newWorkspace(body) }

// Run decodes the batch and appends it group by group, in order; the reply comes
// through the door. Nothing is appended before all of it was read: JSON that ends
// in rubbish is no batch.
func (b *Batch) Run() {
	if err := b.read(); err != nil {
		b.Refuse(err)
		return
	}
	b.work.use(b.Rules)
	b.work.set.Of(b.User)
	if b.Gate.Ask.IsOn(ask.Publish) && b.asks() {
		return
	}
	b.appendAll()
}

// release gives the memory of the request back. That of a batch about which the backend was
// asked is left to the collector: the question may still be on its way.
func (b *Batch) release() {
	work := b.work
	b.work, b.Request.Channels, b.Request.Data, b.Request.Event = nil, nil, nil, nil
	if work != nil && b.decided == nil {
		work.release()
	}
}

// appendAll appends the messages that may be published, and replies.
func (b *Batch) appendAll() {
	messages := b.work.messages
	b.results = make([]Result, len(messages))
	b.left.Store(1)
	for from := 0; from < len(messages); {
		to, full := b.appendGroup(messages, from)
		if full != nil { // the rest is refused too, or order would break
			for i := to; i < len(messages); i++ {
				b.results[i].err = full
			}
			break
		}
		from = to
		runtime.Gosched() // a loop that has become ready does not wait for the whole batch
	}
	b.release()
	b.countDown()
}

// Refuse replies that nothing of the batch was published.
func (b *Batch) Refuse(err *refusal.Error) {
	b.release()
	b.To.Tally.Refuse(err)
	b.To.Door.Answer(b.Ref, b.Reply.AppendError(nil, err))
}

// appendGroup appends messages from from on as one group, and returns where the
// next begins.
func (b *Batch) appendGroup(messages []Message, from int) (to int, full *refusal.Error) {
	g := &group{of: &b.Append, entries: make([]*log.Entry, 0, min(batchGroup, len(messages)-from))}
	for to = from; to < len(messages) && to-from < batchGroup && len(g.entries) < groupEntries; to++ {
		r := &b.results[to]
		d, channels, err := b.next(messages, to)
		if err != nil {
			r.err = err
			continue
		}
		g.add(r, &d, channels)
	}
	g.results = b.results[from:to]
	return to, g.append()
}

// draft reads one message and asks whether it may be published on its channels,
// which are then in b.work.set.
func (b *Batch) draft(m *Message) (Draft, *refusal.Error) {
	d, err := m.Draft()
	if err != nil {
		return d, err
	}
	if m.plural {
		return d, errChannels
	}
	if err := d.Check(); err != nil {
		return d, err
	}
	d.Inherit(&b.Head)
	b.work.set.Reset(b.work.cache, b.Gate.ChannelLimit)
	if err := m.AddChannels(&b.work.set, &b.work.reader); err != nil {
		return d, err
	}
	if b.work.set.Len() == 0 {
		if m.Stray != nil {
			return d, names.StrayField(m.Stray, Fields)
		}
		if b.Stray != nil {
			return d, b.Stray
		}
		b.work.set.AddDefault()
	}
	b.Request.Channels, b.Request.Data, b.Request.Binary = b.work.set.List(), d.Data, d.Binary
	b.Request.Event, b.Request.Call = d.Event, nil
	if b.limited != nil {
		return d, b.limited
	}
	if err := b.Gate.Decide(&b.Request); err != nil {
		if permit.IsRate(err) {
			b.limited = err
		}
		return d, err
	}
	return d, b.accept(&d)
}

// accept makes the draft what was decided about it.
func (b *Batch) accept(d *Draft) *refusal.Error {
	d.Data, d.Binary = b.Request.Data, b.Request.Binary
	d.Publisher = b.Gate.Publisher(&b.Request.Who)
	if b.made += len(b.Request.Channels); b.made > b.MaxEntries {
		return errWide
	}
	return nil
}

// read reads the envelope, {"messages":[…]}, and the messages.
func (b *Batch) read() *refusal.Error {
	w, found, strange := b.work, false, false
	r := &w.reader
	r.Start(w.body)
	for r.Enter('{'); r.More(); {
		if string(r.Name()) != "messages" {
			strange = true
			r.Value()
			continue
		}
		if found = r.Kind() == '['; !found {
			r.Value()
			continue
		}
		for r.Enter('['); r.More(); {
			if len(w.messages) == b.MaxMessages {
				return errBatch
			}
			w.messages = append(w.messages, Message{})
			if len(w.messages)%batchGroup == 0 {
				runtime.Gosched()
			}
			if m := &w.messages[len(w.messages)-1]; r.Kind() == '{' {
				m.Read(r)
			} else {
				r.Value()
				m.err = refusal.ErrJSONObject
			}
		}
	}
	switch err := r.End(); {
	case err == ijson.ErrKind:
		return errBatch
	case err != nil:
		return refusal.OfJSON(err)
	case strange, !found:
		return errBatch
	}
	return nil
}
