package httpapi

import (
	"bytes"
	"slices"
	"sync/atomic"

	"peal/loop"
	"peal/server/idempotency"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/rules"
	"peal/server/share"
)

// batchGroup is how many messages are appended under one lock, and groupEntries
// after how many entries no further message joins them: a large batch must not
// wait for a whole ring to be free, nor others for a long append.
const (
	batchGroup   = 64
	groupEntries = 256
)

// serveBatch appends many messages. Decoding a megabyte of JSON takes longer
// than a loop may stand still, so a worker does it. What is said of one message
// is said in it: in the URL or a header it could only be passed over.
func (f *Front) serveBatch(c *loop.Call, r *routed) {
	p, err := f.query()
	if err == nil && (len(f.picked) > 0 || p.event != nil || p.key != nil || len(f.header.PeekAll("Idempotency-Key")) > 0) {
		err = errBatchHead
	}
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	b := &batch{
		log: f.deps.Log, door: f.deps.Door, clock: &f.clock, tally: &f.deps.Workers.tally, ref: c.Conn, shape: f.shape(),
		stray: f.stray(nil, false), share: f.by, keys: f.deps.Keys, rules: f.deps.Rules, messageLimit: f.deps.MessageLimit, wireLimit: f.deps.WireLimit, limits: f.deps.Limits,
	}
	copied := bytes.Clone(r.body)
	j := newJob(c.Peer, c.Session)
	j.bytes, j.run, j.refuse = len(copied), func() { b.run(copied) }, b.refuse
	if !f.deps.Workers.try(j) {
		f.refuse(c, errBusy, "")
		return
	}
	f.later(c)
}

// refuse answers that the batch had to make way for others.
func (b *batch) refuse() {
	b.tally.refuse(errBusy)
	b.door.Answer(b.ref, appendError(nil, b.shape, b.clock.date(), errBusy, retryLine(errBusy)))
}

// batch is one batch request on its way through a worker and the log.
type batch struct {
	// Fixed.
	log          Publisher
	door         Answerer
	clock        *clock
	tally        *tally
	ref          loop.Ref
	shape        shape
	share        share.Key
	stray        error // for a message that names no channel: the URL has something unknown
	keys         *idempotency.Table
	rules        *rules.Table
	messageLimit int
	wireLimit    int
	limits       Limits

	// Worker-owned.
	reader ijson.Reader
	texts  [][]byte // channels of one message

	// Worker-owned until the last group is done, whose goroutine then answers.
	results []result
	made    int // entries

	// Shared. Each group's goroutine writes its results before it counts down;
	// who counts to 0 reads them all.
	left atomic.Int32
}

// result is what became of one message: err, or what keyed says, or the cursor
// of last.
type result struct {
	err   *Error
	keyed *keyed
	last  *log.Entry
}

// cursor is what the message is answered with when all is done.
func (r *result) cursor() (sequence uint64, replayed bool, err *Error) {
	switch {
	case r.err != nil:
		return 0, false, r.err
	case r.keyed != nil:
		return r.keyed.result()
	}
	return r.last.Sequence, false, nil
}

// run decodes the batch and appends it group by group, in order. Nothing is
// appended before all of it was read: JSON that ends in rubbish is no batch.
func (b *batch) run(body []byte) {
	messages, err := b.read(body)
	if err != nil {
		e := asError(err)
		b.tally.refuse(e)
		b.door.Answer(b.ref, appendError(nil, b.shape, b.clock.date(), e, ""))
		return
	}
	b.results = make([]result, len(messages))
	b.left.Store(1)
	var full *Error // once the log is full the rest is refused too, or order would break
	for from := 0; from < len(b.results) && full == nil; {
		from, full = b.append(messages, from)
		if full != nil {
			b.fail(from, len(b.results), full)
		}
	}
	b.countDown()
}

// append appends messages from from on as one group, and returns where the next begins.
func (b *batch) append(messages []message, from int) (to int, full *Error) {
	var entries []*log.Entry
	var withKeys []*keyed
	for to = from; to < len(messages) && to-from < batchGroup && len(entries) < groupEntries; to++ {
		es, err := b.entries(&messages[to])
		if b.made += len(es); b.made > b.limits.BatchEntries {
			err = errBatchWide
		}
		if err != nil {
			b.results[to].err = asError(err)
			continue
		}
		r := &b.results[to]
		if es[0].IdempotencyKey != "" && b.keys != nil {
			if r.keyed, r.err = claimKeys(b.keys, b.share, es, &b.left, b.answer); r.err != nil {
				continue
			}
			withKeys = append(withKeys, r.keyed)
			es = r.keyed.fresh()
		} else {
			r.last = es[len(es)-1]
		}
		entries = append(entries, es...)
	}
	if len(entries) == 0 {
		return to, nil
	}
	b.left.Add(1)
	done := func(failed *Error) {
		if failed != nil {
			b.fail(from, to, failed)
		}
		for _, k := range withKeys {
			k.end(failed)
		}
		b.countDown()
	}
	err := b.log.Append(entries, func(err error) {
		var lost *Error
		if err != nil {
			lost = lossRefusal(err)
		}
		done(lost)
	})
	if err != nil {
		full = appendRefusal(err)
		done(full)
	} else {
		b.tally.accept(inBatch, len(entries))
	}
	return to, full
}

// read reads the envelope, {"messages":[…]}, and the messages, which alias body.
func (b *batch) read(body []byte) (messages []message, err error) {
	r, found, strange := &b.reader, false, false
	r.Start(body)
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
			if len(messages) == b.limits.BatchMessages {
				return nil, errBatch
			}
			messages = append(messages, message{})
			if m := &messages[len(messages)-1]; r.Kind() == '{' {
				m.read(r)
			} else {
				r.Value()
				m.err = errJSONObject
			}
		}
	}
	switch err := r.End(); {
	case err == ijson.ErrKind:
		return nil, errBatch
	case err != nil:
		return nil, jsonError(err)
	case strange, !found:
		return nil, errBatch
	}
	return messages, nil
}

// entries makes the entries of one message, one for each of its channels.
func (b *batch) entries(m *message) ([]*log.Entry, error) {
	d, err := m.draft()
	if err == nil && m.plural {
		err = errChannels
	}
	if err == nil {
		err = d.check(b.messageLimit, b.wireLimit)
	}
	if err != nil {
		return nil, err
	}
	channels, err := appendChannels(b.texts[:0], &b.reader, m.channel)
	b.texts = channels
	if err != nil {
		return nil, err
	}
	if len(channels) == 0 {
		if err := strayField(m.stray); err != nil {
			return nil, err
		}
		if b.stray != nil {
			return nil, b.stray
		}
		channels = append(channels, []byte(DefaultChannel))
	}
	if len(channels) > b.limits.ChannelLimit {
		return nil, errTooManyChannels
	}
	entries := make([]*log.Entry, 0, len(channels))
	data, event, key := bytes.Clone(d.data), string(d.event), string(d.key) // the body must not live as long as they
	for _, text := range channels {
		if err := checkName(text); err != nil {
			return nil, err
		}
		channel := string(text)
		if err := fits(b.rules.For(channel), channel, len(data)); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(entries, func(e *log.Entry) bool { return e.Channel == channel }) {
			entries = append(entries, &log.Entry{Channel: channel, Event: event, Data: data, Binary: d.binary, IdempotencyKey: key})
		}
	}
	log.Share(entries)
	return entries, nil
}

// fail gives the messages of a group that have no error yet this one; those
// with keys know better what became of them.
func (b *batch) fail(from, to int, err *Error) {
	for i := from; i < to; i++ {
		if b.results[i].err == nil && b.results[i].keyed == nil {
			b.results[i].err = err
		}
	}
}

// countDown answers when the worker and all groups are through, and all that
// others publish under the same keys.
func (b *batch) countDown() {
	if b.left.Add(-1) == 0 {
		b.answer()
	}
}

func (b *batch) answer() {
	body := append(make([]byte, 0, 64+64*len(b.results)), `{"results":[`...)
	lineage := b.log.Lineage()
	for i := range b.results {
		if i > 0 {
			body = append(body, ',')
		}
		sequence, replayed, err := b.results[i].cursor()
		if err != nil {
			b.tally.refuse(err)
			body = appendErrorBody(body, err)
			continue
		}
		body = append(body, `{"cursor":"`...)
		body = lineage.Cursor(sequence).Append(body)
		body = append(body, '"')
		if replayed {
			body = append(body, `,"replayed":true`...)
		}
		body = append(body, '}')
	}
	body = append(body, "]}"...)
	b.door.Answer(b.ref, appendAnswer(nil, b.shape, b.clock.date(), 200, jsonType, "", body))
}
