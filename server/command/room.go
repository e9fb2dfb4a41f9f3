package command

import (
	"bytes"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/look"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/share"
	"peal/server/subscribe"
	"peal/server/tally"
	"peal/server/wsproto"
)

// parseWork is what one command costs a loop beside what it does, in units of
// loop.Call.Work: it is parsed and answered.
const parseWork = 6

// Room carries out what the WebSocket clients of one loop send. It implements the
// part of loop.Front that is about them.
type Room struct {
	// Fixed before the first use. What they point to may change.
	Gate   *permit.Gate
	Names  *names.Cache
	Guests *subscribe.Guests
	Desk   *look.Desk
	Target *publish.Target
	Starts subscribe.Resolver
	Counts *tally.Counts

	// Loop-owned: used only during a call.
	parser   wsproto.Parser
	reader   ijson.Reader
	channels names.Set // of the command or message
	has      []string  // channels of its client
}

// Open implements loop.Front for a peal.v1 connection: the greeting, and the
// channels that its URL named.
func (r *Room) Open(c loop.Client, s *loop.Subscription) {
	start, from := r.Desk.Hub.Head(), s.From
	if len(s.Channels) > 0 {
		start = c.Subscribe(s)
	}
	at := r.cursor(start)
	if from == loop.FromGap {
		at = log.Cursor{} // no cursor before the gap
	}
	c.Write(wsproto.AppendConnected(nil, at, r.Gate.ChannelLimit, r.Gate.MessageBytes))
	r.tellForeign(c, from, s.Channels, start)
}

// Message implements loop.Front: what a raw WebSocket client sends is published
// as it is, on the channel of its connection; a peal.v1 client sends commands.
func (r *Room) Message(c loop.Client, binary bool, payload []byte) (code uint16, reason string) {
	if c.Commands() {
		r.command(c, binary, payload)
		return 0, ""
	}
	return r.raw(c, binary, payload)
}

func (r *Room) cursor(sequence uint64) log.Cursor { return r.Desk.Lineage.Cursor(sequence) }

// tellForeign says gap for a cursor that meant nothing here; the loop knows all
// other gaps itself.
func (r *Room) tellForeign(c loop.Client, from loop.From, channels []string, start uint64) {
	if from != loop.FromGap {
		return
	}
	var frames []byte // in one piece: each Write is a system call
	for _, name := range channels {
		_, discarded, _ := r.Desk.Hub.Read(nil, name, start, start, 1, 1) // the gap ends with what was dropped
		frames = wsproto.AppendGap(frames, ring.Gap{Channel: name, To: max(start, discarded), Foreign: true}, r.Desk.Lineage)
	}
	c.Spend(len(channels))
	c.Write(frames)
}

// command carries out one message of a peal.v1 client.
func (r *Room) command(c loop.Client, binary bool, payload []byte) {
	c.Spend(parseWork)
	var cmd wsproto.Command
	if err := r.parseAndCarryOut(c, &cmd, binary, payload); err != nil {
		r.Counts.Refuse(err)
		c.Write(wsproto.AppendError(nil, cmd.ID, err.Code, err.Message))
	}
}

func (r *Room) parseAndCarryOut(c loop.Client, cmd *wsproto.Command, binary bool, payload []byte) *refusal.Error {
	if err := r.parser.Parse(cmd, binary, payload); err != nil {
		return err
	}
	return r.carryOut(c, cmd)
}

// carryOut does what the command says and replies, or returns why not.
func (r *Room) carryOut(c loop.Client, cmd *wsproto.Command) *refusal.Error {
	if cmd.Name == "ping" {
		c.Write(wsproto.AppendReply(nil, cmd.ID, r.covered(c)))
		return nil
	}
	r.channels.Reset(r.Names, r.Gate.ChannelLimit)
	if err := r.channels.AddJSON(&r.reader, cmd.Value("channel")); err != nil {
		return err
	}
	r.channels.AddDefault()
	switch cmd.Name {
	case "subscribe":
		return r.subscribe(c, cmd)
	case "unsubscribe":
		r.unsubscribe(c, cmd)
		return nil
	case "publish":
		return r.publish(c, cmd)
	case "history":
		return r.history(c, cmd)
	case "presence":
		return r.presence(c, cmd)
	}
	panic("command: wsproto knows it and nobody carries it out: " + cmd.Name)
}

// covered is the cursor up to which the client has all of its channels; none
// while more is on the way.
func (r *Room) covered(c loop.Client) log.Cursor {
	sequence, ok := c.Position()
	if !ok {
		return log.Cursor{}
	}
	return r.cursor(sequence)
}

// request is what the client asks for with its channels, as package permit
// decides it.
func (r *Room) request(c loop.Client, a permit.Action) permit.Request {
	return permit.Request{
		Action:   a,
		Who:      permit.Principal{Session: c.Session(), Share: share.Of(c.Peer().Addr(), c.Session())},
		From:     permit.From{Peer: c.Peer(), Transport: permit.WebSocket},
		Channels: r.channels.List(),
	}
}

// reply writes what becomes of the command of that id. It implements
// publish.Reply and look.Reply.
type reply struct{ id []byte }

func replyTo(cmd *wsproto.Command) *reply { return &reply{bytes.Clone(cmd.ID)} }

func (r *reply) AppendResults(dst []byte, l *log.Lineage, results []publish.Result) []byte {
	sequence, _, err := results[0].Outcome()
	if err != nil {
		return r.AppendError(dst, err)
	}
	return wsproto.AppendReply(dst, r.id, l.Cursor(sequence))
}

func (r *reply) AppendBody(dst, body []byte) []byte {
	return wsproto.AppendReplyWith(dst, r.id, body)
}

func (r *reply) AppendError(dst []byte, err *refusal.Error) []byte {
	return wsproto.AppendError(dst, r.id, err.Code, err.Message)
}
