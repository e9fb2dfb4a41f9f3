package command

import (
	"bytes"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/ask"
	"peal/server/dialect"
	"peal/server/identity"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/look"
	"peal/server/names"
	"peal/server/parking"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/session"
	"peal/server/share"
	"peal/server/subscribe"
	"peal/server/talk"
	"peal/server/tally"
)

// parseWork is what one command costs a loop beside what it does, in units of
// loop.Call.Work: it is parsed and answered.
const parseWork = 6

// Room carries out what the WebSocket clients of one loop send. It implements the
// part of loop.Front that is about them.
type Room struct {
	// Fixed before the first use. What they point to may change.
	Identity *identity.Identity
	Door     Door
	Dialects *dialect.Table
	Gate     *permit.Gate
	Names    *names.Cache
	Guests   *subscribe.Guests
	Desk     *look.Desk
	Target   *publish.Target
	Starts   subscribe.Resolver
	Sessions *session.IDs
	Counts   *tally.Counts
	Lot      *parking.Lot

	// Loop-owned: used only during a call.
	parsers  []talk.Parser // by dialect; nil for those that nobody has spoken yet
	parsed   talk.Command
	reader   ijson.Reader
	channels names.Set    // of the command or message
	has      []string     // channels of its client
	free     *publication // for the next one; nil while the log has it
	out      []byte       // the reply to a publish
	call     *ask.Call    // what must be asked before the message can be decided
}

// Open implements loop.Front for a connection with commands: the greeting, and the
// channels that its URL named.
func (r *Room) Open(c loop.Client, s *loop.Subscription) {
	subscribes, start := len(s.Channels) > 0, r.Desk.Hub.Head()
	var at log.Cursor
	if s.From != fanout.Foreign { // else no cursor before the gap
		if subscribes {
			start = c.Subscribe(s)
		}
		at = r.cursor(start)
	}
	c.Write(r.language(c).Connected(nil, at, r.session(c, s), r.Gate.ChannelLimit, r.Gate.MessageBytes))
	if s.From == fanout.Foreign && subscribes {
		c.Subscribe(s)
	}
}

// session is the id of the client's session.
func (r *Room) session(c loop.Client, s *loop.Subscription) session.ID {
	if s.Adopt != nil {
		return session.ID(*s.Adopt)
	}
	return r.Sessions.Of(c.Session())
}

// Message implements loop.Front: what a client sends is a command, or is published
// as it is; its dialect says which.
func (r *Room) Message(c loop.Client, binary bool, payload []byte) (code uint16, reason string) {
	if l := r.language(c); l != nil {
		r.command(c, l, binary, payload)
		return 0, ""
	}
	return r.raw(c, binary, payload)
}

// language is that of a client's commands, nil if it has none.
func (r *Room) language(c loop.Client) *talk.Language { return r.Dialects.At(c.Dialect()).Commands }

// parser is the one of the client's language.
func (r *Room) parser(c loop.Client, l *talk.Language) talk.Parser {
	if r.parsers == nil {
		r.parsers = make([]talk.Parser, r.Dialects.Len())
	}
	p := &r.parsers[r.Dialects.PlainOf(c.Dialect())]
	if *p == nil {
		*p = l.NewParser()
	}
	return *p
}

func (r *Room) cursor(sequence uint64) log.Cursor { return r.Desk.Lineage.Cursor(sequence) }

// command carries out one message of a client with commands.
func (r *Room) command(c loop.Client, l *talk.Language, binary bool, payload []byte) {
	c.Spend(parseWork)
	cmd := &r.parsed
	if err := r.parseAndCarryOut(c, l, cmd, binary, payload); err != nil && !r.parks(err, c, binary, payload) {
		r.Counts.Refuse(err)
		c.Write(l.Refused(nil, cmd.ID, err))
	}
}

func (r *Room) parseAndCarryOut(c loop.Client, l *talk.Language, cmd *talk.Command, binary bool, payload []byte) *refusal.Error {
	if err := r.parser(c, l).Parse(cmd, binary, payload); err != nil {
		return err
	}
	return r.carryOut(c, l, cmd)
}

// carryOut does what the command says and replies, or returns why not.
func (r *Room) carryOut(c loop.Client, l *talk.Language, cmd *talk.Command) *refusal.Error {
	switch cmd.Name {
	case "ping":
		c.Write(l.Done(nil, cmd.ID, r.covered(c)))
		return nil
	case "token":
		return r.token(c, l, cmd)
	}
	r.channels.Reset(r.Names, r.Gate.ChannelLimit)
	r.channels.Of(r.user(c))
	if err := r.channels.AddJSON(&r.reader, cmd.Value("channel")); err != nil {
		return err
	}
	r.channels.AddDefault()
	switch cmd.Name {
	case "subscribe":
		return r.subscribe(c, l, cmd)
	case "unsubscribe":
		r.unsubscribe(c, l, cmd)
		return nil
	case "publish":
		return r.publish(c, l, cmd)
	case "history":
		return r.history(c, l, cmd)
	case "presence":
		return r.presence(c, l, cmd)
	}
	panic("command: no room carries out " + cmd.Name)
}

// user is the sub of the token that the client has, "" if it has none.
func (r *Room) user(c loop.Client) string {
	who := permit.Principal{Grant: r.Guests.Grant(c.Session())}
	return who.User()
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
	q := permit.Request{
		Action:   a,
		Who:      permit.Principal{Grant: r.Guests.Grant(c.Session()), Session: c.Session(), Share: share.Of(c.Peer().Addr(), c.Session())},
		From:     permit.From{Peer: c.Peer(), Transport: permit.WebSocket},
		Channels: r.channels.List(),
	}
	if r.Gate.Ask.IsActive() {
		b := r.Guests.Brought(c.Session())
		q.Via, q.Headers, q.Proven, q.Answers = "websocket", b.Headers, b.User, r.Lot.Answers()
	}
	return q
}

// decide has package permit decide.
func (r *Room) decide(q *permit.Request) *refusal.Error {
	err := r.Gate.Decide(q)
	r.call = q.Call
	return err
}

// parks reports whether the backend must be asked about the message under way: it is then
// carried out later.
func (r *Room) parks(err *refusal.Error, c loop.Client, binary bool, payload []byte) bool {
	if err != permit.ErrAsk || r.call == nil {
		return false
	}
	r.Lot.Park(c, r.call, r.again, binary, payload)
	return true
}

// again carries out a message that was parked.
func (r *Room) again(c loop.Client, binary bool, payload []byte) {
	if code, reason := r.Message(c, binary, payload); code != 0 {
		c.Close(code, reason)
	}
}

// reply writes what becomes of the command of that id. It implements
// publish.Reply and look.Reply.
type reply struct {
	language *talk.Language
	id       []byte
}

func replyTo(l *talk.Language, cmd *talk.Command) *reply { return &reply{l, bytes.Clone(cmd.ID)} }

func (r *reply) AppendResults(dst []byte, l *log.Lineage, results []publish.Result) []byte {
	sequence, _, err := results[0].Outcome()
	if err != nil {
		return r.AppendError(dst, err)
	}
	return r.language.Done(dst, r.id, l.Cursor(sequence))
}

func (r *reply) AppendBody(dst, body []byte) []byte { return r.language.Result(dst, r.id, body) }

func (r *reply) AppendError(dst []byte, err *refusal.Error) []byte {
	return r.language.Refused(dst, r.id, err)
}
