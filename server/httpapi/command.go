package httpapi

import (
	"bytes"
	"slices"
	"sync/atomic"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/share"
	"peal/server/wsproto"
)

// The commands of peal.v1: what wsproto has read is carried out here, and
// answered by frames to the one client, ahead of what its subscriptions bring.

// Open implements loop.Front for a peal.v1 connection: the greeting, and the
// channels that its URL named.
func (f *Front) Open(c loop.Client, s *loop.Subscription) {
	start, from := f.deps.Hub.Head(), s.From
	if len(s.Channels) > 0 {
		start = c.Subscribe(s)
	}
	at := f.cursor(start)
	if from == loop.FromGap {
		at = log.Cursor{} // no cursor before the gap was told
	}
	c.Write(wsproto.AppendConnected(nil, at, f.deps.ChannelLimit, f.deps.MessageLimit))
	f.tellForeign(c, from, s.Channels, start)
}

func (f *Front) cursor(sequence uint64) log.Cursor {
	return f.deps.Log.Lineage().Cursor(sequence)
}

// tellForeign says gap for a cursor that meant nothing here; the loop knows all
// other gaps itself.
func (f *Front) tellForeign(c loop.Client, from loop.From, channels []string, start uint64) {
	if from != loop.FromGap {
		return
	}
	var frames []byte // in one piece: each Write is a system call
	for _, name := range channels {
		_, discarded, _ := f.deps.Hub.Read(nil, name, start, start, 1, 1) // the gap ends with what was dropped
		frames = wsproto.AppendGap(frames, ring.Gap{Channel: name, To: max(start, discarded), Foreign: true}, f.deps.Log.Lineage())
	}
	c.Spend(len(channels))
	c.Write(frames)
}

// command carries out one message of a peal.v1 client.
func (f *Front) command(c loop.Client, binary bool, payload []byte) {
	c.Spend(workCommand)
	var cmd wsproto.Command
	err := refusalOf(f.parser.Parse(&cmd, binary, payload))
	if err == nil {
		err = f.carryOut(c, &cmd)
	}
	if err != nil {
		f.counts.refuse(err)
		c.Write(wsproto.AppendError(nil, cmd.ID, err.Code, err.Message))
	}
}

// refusalOf is a fault of a command as the refusal it is.
func refusalOf(fault *wsproto.Fault) *Error {
	if fault == nil {
		return nil
	}
	return &Error{Status: 400, Code: fault.Code, Message: fault.Message}
}

// carryOut does what the command says and replies, or returns why not.
func (f *Front) carryOut(c loop.Client, cmd *wsproto.Command) *Error {
	if cmd.Name == "ping" {
		c.Write(wsproto.AppendReply(nil, cmd.ID, f.covered(c)))
		return nil
	}
	f.picked = f.picked[:0]
	if err := f.pickJSON(cmd.Value("channel")); err != nil {
		return asError(err)
	}
	f.pickDefault()
	switch cmd.Name {
	case "subscribe":
		return f.commandSubscribe(c, cmd)
	case "unsubscribe":
		at := f.covered(c) // while it still has them: a client may take it for the cursor of what it leaves
		f.commandUnsubscribe(c)
		c.Write(wsproto.AppendReply(nil, cmd.ID, at))
		return nil
	case "publish":
		return f.commandPublish(c, cmd)
	case "history":
		return f.commandHistory(c, cmd)
	case "presence":
		return f.commandPresence(c, cmd)
	}
	panic("httpapi: a command that wsproto knows and nobody carries out: " + cmd.Name)
}

// covered is the cursor up to which the client has all of its channels; none
// while more is on the way.
func (f *Front) covered(c loop.Client) log.Cursor {
	sequence, ok := c.Position()
	if !ok {
		return log.Cursor{}
	}
	return f.cursor(sequence)
}

// commandStart reads where a subscription or a page of history begins.
func (f *Front) commandStart(cmd *wsproto.Command) (from loop.From, after uint64, last int, err *Error) {
	cursor, fault := cmd.Text("cursor")
	if fault != nil {
		return 0, 0, 0, refusalOf(fault)
	}
	p := params{cursor: cursor, last: cmd.Digits("last")}
	if len(p.cursor) > 0 && len(p.last) > 0 {
		return 0, 0, 0, errCursorAndLast
	}
	from, after, last, e := f.start(&p)
	if e != nil {
		return 0, 0, 0, asError(e)
	}
	return from, after, last, nil
}

func (f *Front) commandSubscribe(c loop.Client, cmd *wsproto.Command) *Error {
	from, after, last, err := f.commandStart(cmd)
	if err != nil {
		return err
	}
	added := f.channels()
	has := c.Channels(f.has[:0])
	f.has = has
	for _, name := range added {
		if _, already := slices.BinarySearch(has, name); already {
			return errAlreadySubscribed
		}
	}
	if countClients(has)+len(added) > f.deps.ChannelLimit {
		return errTooManyChannels
	}
	if err := f.haveRoom(); err != nil {
		return asError(err)
	}
	if added, err = f.commandIntroduce(c, cmd, added); err != nil {
		return err
	}
	c.Spend(workName * (len(has) + len(f.picked)))
	s := &loop.Subscription{Channels: added, Encoding: loop.WSJSON, From: from, Sequence: after, Last: last, Commands: true}
	unlisted, err := f.arrive(c.Session(), share.Of(c.Peer().Addr(), c.Session()), s)
	if err != nil {
		return err
	}
	if s.Named {
		c.Spend(workSeat * len(f.picked))
	}
	start := c.Subscribe(s)
	f.tellForeign(c, from, added, start) // before the cursor that leads past it
	c.Write(wsproto.AppendSubscribed(nil, cmd.ID, f.cursor(start), unlisted))
	return nil
}

// commandHistory has a worker read the history of one channel.
func (f *Front) commandHistory(c loop.Client, cmd *wsproto.Command) *Error {
	if len(f.picked) != 1 {
		return errOneChannel
	}
	from, after, last, err := f.commandStart(cmd)
	if err != nil {
		return err
	}
	h, e := newHistory(f.picked[0].text(), from, after, last, cmd.Digits("limit"))
	if e != nil {
		return asError(e)
	}
	return f.askFor(c, cmd, historyCost+h.limit, func(q *questions) []byte { return q.historyBody(h) })
}

// askFor has a worker make the object of the reply.
func (f *Front) askFor(c loop.Client, cmd *wsproto.Command, cost int, body func(*questions) []byte) *Error {
	if !c.Ask() {
		return errAsking
	}
	q := questions{hub: f.deps.Hub, presence: f.deps.Presence, lineage: f.deps.Log.Lineage(), door: f.deps.Door, ref: c.Ref()}
	q.ref.Asked = true
	id := bytes.Clone(cmd.ID)
	j := newJob(c.Peer(), c.Session())
	j.cost, j.run = cost, func() { q.door.Answer(q.ref, wsproto.AppendReplyWith(nil, id, body(&q))) }
	tally := &f.deps.Workers.tally
	j.refuse = func() {
		tally.refuse(errBusy)
		q.door.Answer(q.ref, wsproto.AppendError(nil, id, errBusy.Code, errBusy.Message))
	}
	if !f.deps.Workers.try(j) {
		c.Unask()
		return errBusy
	}
	return nil
}

// commandPublish appends to each of the channels; the reply has the last cursor.
func (f *Front) commandPublish(c loop.Client, cmd *wsproto.Command) *Error {
	var m message
	m.setData(cmd.Value("data"))
	m.base64 = m.text("data_base64", cmd.Value("data_base64"))
	m.event = m.text("event", cmd.Value("event"))
	m.key = m.text("idempotency_key", cmd.Value("idempotency_key"))
	d, err := m.draft()
	if err == nil {
		err = d.check(f.deps.MessageLimit, f.deps.WireLimit)
	}
	if err == nil {
		err = f.mayPublishPicked()
	}
	if err == nil {
		err = f.fitsPicked(len(d.data))
	}
	if err != nil {
		return asError(err)
	}
	if len(d.key) > 0 && f.deps.Keys != nil {
		return f.commandPublishOnce(c, cmd.ID, &d)
	}
	r := &replyPending{
		lineage: f.deps.Log.Lineage(), door: f.deps.Door, tally: &f.deps.Workers.tally,
		ref: c.Ref(), id: bytes.Clone(cmd.ID), batch: f.entries(&d, bytes.Clone(d.data)),
	}
	c.Spend(workEntry * len(r.batch))
	if err := f.deps.Log.Append(r.batch, r.finish); err != nil {
		return appendRefusal(err)
	}
	f.counts.accept(overWebSocket, len(r.batch))
	if r.state.CompareAndSwap(0, abandoned) {
		c.Owe()
	} else {
		c.Write(r.appendReply(nil))
	}
	return nil
}

// commandPublishOnce is commandPublish for a publication with a key.
func (f *Front) commandPublishOnce(c loop.Client, lent []byte, d *draft) *Error {
	c.Spend(workEntry * len(f.picked))
	id, tally, lineage := bytes.Clone(lent), &f.deps.Workers.tally, f.deps.Log.Lineage()
	out, err := f.publishOnce(overWebSocket, share.Of(c.Peer().Addr(), c.Session()), f.entries(d, bytes.Clone(d.data)), c.Ref(), func(dst []byte, k *keyed) []byte {
		sequence, _, err := k.result()
		if err != nil {
			tally.refuse(err)
			return wsproto.AppendError(dst, id, err.Code, err.Message)
		}
		return wsproto.AppendReply(dst, id, lineage.Cursor(sequence))
	})
	switch {
	case out != nil:
		c.Write(out)
	case err == nil:
		c.Owe()
	}
	return err
}

// replyPending is one append of a peal.v1 client under way; see pending.
type replyPending struct {
	lineage *log.Lineage
	door    Answerer
	tally   *tally
	ref     loop.Ref
	id      []byte
	batch   []*log.Entry

	err   error // as in pending
	state atomic.Uint32
}

func (r *replyPending) finish(err error) {
	r.err = err
	if !r.state.CompareAndSwap(0, finished) {
		r.door.Answer(r.ref, r.appendReply(nil))
	}
}

func (r *replyPending) appendReply(dst []byte) []byte {
	if r.err != nil {
		e := lossRefusal(r.err)
		r.tally.refuse(e)
		return wsproto.AppendError(dst, r.id, e.Code, e.Message)
	}
	return wsproto.AppendReply(dst, r.id, r.lineage.Cursor(r.batch[len(r.batch)-1].Sequence))
}
