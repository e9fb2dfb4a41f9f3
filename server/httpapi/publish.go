package httpapi

import (
	"bytes"
	"slices"
	"sync"

	"peal/server/ascii"
	"peal/server/log"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/response"
	"peal/server/tally"
	"peal/server/tracecontext"
	"peal/server/workers"
)

// publishing serves POST /publish and POST /publish/batch. What is the same on
// other transports is in package publish.
type publishing struct {
	*shared
	free *single // for the next message; nil while the log has it
}

// single is one message on its way, and how its publisher receives the
// response. It is used again unless the log is done with it later.
type single struct {
	publish.Append
	pendingReply
}

func (r *single) AppendResults(dst []byte, l *log.Lineage, results []publish.Result) []byte {
	sequence, replayed, err := results[0].Outcome()
	if err != nil {
		return r.AppendError(dst, err)
	}
	extra := ""
	if replayed {
		extra = "Idempotency-Replayed: true\r\n"
	}
	var text [len(`{"cursor":""}`) + log.MaxCursorBytes]byte
	body := append(text[:0], `{"cursor":"`...)
	body = l.Cursor(sequence).Append(body)
	body = append(body, `"}`...)
	return r.shape.append(dst, r.clock.Date(), 200, response.JSON, extra, body)
}

// message appends the body, or the data field of a form or JSON object in it, to
// each of the channels.
func (p *publishing) message(x *exchange) {
	d, err := x.draft()
	if err != nil {
		x.refuse(err)
		return
	}
	x.channels.AddDefault()
	q := x.request()
	q.Data, q.Binary, q.Event = d.Data, d.Binary, d.Event
	if !x.permits(q) {
		return
	}
	d.Data, d.Binary = q.Data, q.Binary
	if len(d.Key) > 0 {
		d.Publisher = p.gate.Publisher(&q.Who)
	}
	x.call.Work += publish.EntryWork * x.channels.Len()
	a := p.free
	if a == nil {
		a = &single{Append: publish.Append{To: &p.target, Way: tally.HTTP, Counter: p.counts}}
		a.Reply = a
		p.free = a
	}
	a.Ref, a.By, a.pendingReply = x.call.Conn, x.by, x.pendingReply()
	out, later := a.Publish(x.call.Out, &d, x.channels.List())
	if later {
		p.free = nil
		x.later()
		return
	}
	x.call.Out, x.call.Verdict = out, x.shape().verdict()
}

// draft reads a request to publish, from its query, header and body, with its
// channels; none where it is for the default one.
func (x *exchange) draft() (publish.Draft, *refusal.Error) {
	if err := x.query(); err != nil {
		return publish.Draft{}, err
	}
	if x.params.user != nil {
		if err := x.channels.AddUser(x.params.user); err != nil {
			return publish.Draft{}, err
		}
	}
	d := publish.Draft{Data: x.body, Event: x.params.event, Key: x.params.key, Exclude: x.params.exclude}
	d.SetTraceparent(x.rareOne(tracecontext.Header))
	for _, key := range x.rare("Idempotency-Key") {
		if len(key) == 0 {
			continue
		}
		if err := setOnce(&d.Key, "idempotency_key", key); err != nil {
			return d, err
		}
	}
	media := mediaType(x.contentType())
	if x.channels.Len() == 0 || ascii.EqualFold(media, "multipart/form-data") {
		var err *refusal.Error
		if d, err = x.fields(d, media); err != nil {
			return d, err
		}
	}
	if err := x.stray(publishParameters, false); err != nil {
		return d, err
	}
	d.Binary = d.Binary || ascii.EqualFold(media, "application/octet-stream")
	return d, d.Check()
}

// mediaType cuts the parameters off a Content-Type.
func mediaType(contentType []byte) []byte {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	return bytes.Trim(media, " \t")
}

// batchReply writes the results of a batch.
type batchReply struct{ pendingReply }

// replyBodies has the memory in which bodies of batches' replies are made: they are copied
// behind their heads, which have their lengths.
var replyBodies = sync.Pool{New: func() any { return new([]byte) }}

// keptReply is up to which length such memory is used again.
const keptReply = 256 << 10

func (r *batchReply) AppendResults(dst []byte, l *log.Lineage, results []publish.Result) []byte {
	kept := replyBodies.Get().(*[]byte)
	body := append((*kept)[:0], `{"results":[`...)
	for i := range results {
		if i > 0 {
			body = append(body, ',')
		}
		sequence, replayed, err := results[i].Outcome()
		if err != nil {
			body = err.AppendJSON(body)
			continue
		}
		body = append(body, `{"cursor":"`...)
		body = l.Cursor(sequence).Append(body)
		body = append(body, '"')
		if replayed {
			body = append(body, `,"replayed":true`...)
		}
		body = append(body, '}')
	}
	body = append(body, "]}"...)
	dst = r.shape.append(slices.Grow(dst, headRoom+len(body)), r.clock.Date(), 200, response.JSON, "", body)
	if cap(body) <= keptReply {
		*kept = body
		replyBodies.Put(kept)
	}
	return dst
}

// headRoom is room for the head of most responses.
const headRoom = 256

// batch has a worker append many messages. Channel, event and key belong to each
// message: in the URL or a header they could only be ignored.
func (p *publishing) batch(x *exchange) {
	if err := x.query(); err != nil {
		x.refuse(err)
		return
	}
	if x.channels.Len() > 0 || x.params.event != nil || x.params.key != nil || x.params.exclude != nil || len(x.rare("Idempotency-Key")) > 0 {
		x.refuse(errBatchHead)
		return
	}
	q := x.request()
	if err := p.gate.Site(q); err != nil {
		x.refuse(err)
		return
	}
	pool, by, session := p.deps.Workers, x.by, x.call.Session
	var b *publish.Batch
	b = &publish.Batch{
		Append:  publish.Append{To: &p.target, Reply: &batchReply{x.pendingReply()}, Ref: x.call.Conn, By: x.by, Way: tally.Batch, Counter: p.target.Tally},
		Gate:    p.gate,
		Request: *q,
		Rules:   p.deps.Rules,
		User:    q.Who.User(),
		Stray:   x.stray(nil, false),
		Resume: func(run func()) *refusal.Error {
			return pool.Try(&workers.Job{Share: by, Session: session, Run: run, Refuse: b.Refuse})
		},

		MaxMessages: p.deps.BatchMessages,
		MaxEntries:  p.deps.BatchEntries,
	}
	b.Head.SetTraceparent(x.rareOne(tracecontext.Header))
	b.Request.From.Host, b.Request.From.Origin, b.Request.From.Site = nil, nil, nil // they end with this call, and were judged when the head came
	b.Keep(x.body)
	if err := p.deps.Workers.Try(&workers.Job{Share: x.by, Session: x.call.Session, Bytes: len(x.body), Run: b.Run, Refuse: b.Refuse}); err != nil {
		x.refuse(err)
		return
	}
	x.later()
}
