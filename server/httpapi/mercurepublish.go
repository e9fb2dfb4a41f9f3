package httpapi

import (
	"peal/server/ascii"
	"peal/server/log"
	"peal/server/mercure"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/tally"
	"peal/server/tracecontext"
)

// formOverhead is what the fields of an update beside its data may take.
const formOverhead = 8 << 10

// Found in updates.
var (
	errUpdateForm = &refusal.Error{Status: 400, Code: "bad_form", Message: "an update is a form: send the fields topic, data, private, id, type and retry as application/x-www-form-urlencoded"}
	errUpdateID   = &refusal.Error{Status: 400, Code: "bad_id", Message: "the id of an update has at most 200 bytes, no control characters and no # at its beginning, and is not earliest: it is the idempotency key of the update"}
	errRetry      = &refusal.Error{Status: 400, Code: "bad_field", Message: "retry must be a number of milliseconds of at most 9 digits"}
)

// update is one update on its way, and how its publisher receives the response. It is used
// again unless the log is done with it later.
type update struct {
	publish.Append
	pendingReply
	id []byte // as the publisher says, which the response repeats; empty for none
}

func (r *update) AppendResults(dst []byte, l *log.Lineage, results []publish.Result) []byte {
	sequence, replayed, err := results[0].Outcome()
	if err != nil {
		return r.AppendError(dst, err)
	}
	lines := mercureLink
	if replayed {
		lines += "Idempotency-Replayed: true\r\n"
	}
	var text [log.MaxCursorBytes]byte
	body := r.id
	if len(body) == 0 {
		body = l.Cursor(sequence).Append(text[:0])
	}
	return r.shape.append(dst, r.clock.Date(), 200, "text/plain; charset=utf-8", lines, body)
}

// publish appends one entry for all topics of an update.
func (h *mercureHub) publish(x *exchange) {
	d, err := h.readUpdate(x)
	if err != nil {
		x.refuse(err)
		return
	}
	q := x.request()
	q.Action, q.Topics, q.Data, q.Binary, q.Event = permit.Publish, true, d.Data, d.Binary, d.Event
	if !x.permits(q) {
		return
	}
	d.Data, d.Binary = q.Data, q.Binary
	if len(d.Key) > 0 {
		d.Publisher = h.gate.Publisher(&q.Who)
	}
	list := x.channels.List()
	d.Open = h.openFirst(list[1:])
	x.call.Work += publish.EntryWork * len(list)
	a := h.free
	if a == nil {
		a = &update{Append: publish.Append{To: &h.target, Way: tally.HTTP, Counter: h.counts}}
		a.Reply = a
		h.free = a
	}
	a.Ref, a.By, a.pendingReply, a.id = x.call.Conn, x.by, x.pendingReply(), append(a.id[:0], d.Key...)
	out, later := a.Publish(x.call.Out, &d, list)
	if later {
		h.free = nil
		x.later()
		return
	}
	x.call.Out, x.call.Verdict = out, x.shape().verdict()
}

// openFirst moves the alternate topics that every client may subscribe to before the
// others, and returns their number.
func (h *mercureHub) openFirst(list []*names.Name) (n int) {
	for i, name := range list {
		if h.gate.IsOpen(name) {
			list[n], list[i] = list[i], list[n]
			n++
		}
	}
	return n
}

// readUpdate reads the form of an update, and its topics as channels into x.channels.
// Unknown fields are ignored, as by other hubs.
func (h *mercureHub) readUpdate(x *exchange) (d publish.Draft, err *refusal.Error) {
	d.Joined = true
	d.SetTraceparent(x.rareOne(tracecontext.Header))
	if !ascii.EqualFold(mediaType(x.contentType()), "application/x-www-form-urlencoded") {
		return d, errUpdateForm
	}
	x.channels.Reset(x.names, x.deps.ChannelLimit)
	x.form.ParseBytes(x.body)
	d.Private = x.form.Has("private") // whatever its value
	for key, value := range x.form.All() {
		switch string(key) {
		case "topic":
			err = h.addTopicOf(x, value, d.Private)
		case "data":
			err = setOnce(&d.Data, "data", value)
		case "type":
			err = setOnce(&d.Event, "type", value)
		case "id":
			err = setOnce(&d.Key, "id", value)
		case "retry":
			err = setOnce(&d.Retry, "retry", value)
		default:
			if isElementKey(key, "topic[") {
				err = h.addTopicOf(x, value, d.Private)
			}
		}
		if err != nil {
			return d, err
		}
	}
	switch {
	case x.channels.Len() == 0:
		return d, errNoTopics
	case !mercure.IsID(d.Key):
		return d, errUpdateID
	case !mercure.IsRetry(d.Retry):
		return d, errRetry
	}
	return d, d.Check()
}

// addTopicOf adds the channel of a topic of an update.
func (h *mercureHub) addTopicOf(x *exchange, topic []byte, private bool) *refusal.Error {
	n, err := x.names.Topic(topic)
	switch {
	case err != nil:
		return err
	case mercure.IsReserved(n.Text()):
		return permit.ErrTopicOfHub
	case private:
		n = x.names.Private(n)
	}
	return x.channels.AddName(n)
}
