package room

import (
	"slices"

	"peal/loop"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/dialect"
	"peal/server/log"
	"peal/server/look"
	"peal/server/names"
	"peal/server/parking"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/pusher"
	"peal/server/refusal"
	"peal/server/session"
	"peal/server/share"
	"peal/server/subscribe"
	"peal/server/tally"
)

// What a message costs a loop beside what it does, in units of loop.Call.Work.
const (
	parseWork = 4
	signWork  = 4 // a signature that is verified
)

// Door leads to connections from other goroutines: a loop.Group. See there.
type Door interface {
	Do(ref loop.Ref, f func(c loop.Client))
}

// Room carries out what the clients of one loop send. It implements the part of
// loop.Front that is about them.
type Room struct {
	// Fixed before the first use. What they point to may change.
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
	Missed   func(channel string) // called when a channel with a cache has no event for a new subscriber; nil for none
	Lot      *parking.Lot

	// Loop-owned.
	connections map[uint64]*connection // by session
	plain       map[*app.App]*connection
	counting    counting

	// Used only during a call.
	parser   pusher.Parser
	message  pusher.Message
	channels names.Set
	has      []string  // channels of its client
	text     []byte    // name of a channel
	id       []byte    // of a session, as text
	out      []byte    // frames that most clients receive: see write
	call     *ask.Call // what must be asked before the message can be decided
}

// connection is what a Room knows of one. Those without a user share one for each app.
type connection struct {
	app  *app.App
	user string // that has signed in, with the namespace; "" for none
	gone bool   // the app is no longer served: see Use
}

// Arrive makes the connection of a session one of an app. Left must follow.
func (r *Room) Arrive(session uint64, a *app.App, s *loop.Subscription) {
	if r.connections == nil {
		r.connections, r.plain = map[uint64]*connection{}, map[*app.App]*connection{}
	}
	k := r.plain[a]
	if k == nil {
		k = &connection{app: a}
		r.plain[a] = k
	}
	r.connections[session] = k
	a.Connections.Add(1)
	s.Named = true
}

// Left implements loop.Front: a connection has ended, of this protocol or another.
func (r *Room) Left(session uint64) {
	if k := r.connections[session]; k != nil {
		k.app.Connections.Add(-1)
		delete(r.connections, session)
		r.counting.left(session)
	}
}

// Use replaces the apps. Connections whose app is not there, or not the same, must end:
// see Gone.
func (r *Room) Use(t *app.Table) {
	renew := func(k *connection) {
		if now := t.ByID(k.app.ID); now.IsSame(k.app) {
			k.app = now
		} else {
			k.gone = true
		}
	}
	plain := r.plain
	r.plain = map[*app.App]*connection{}
	for _, k := range plain {
		if renew(k); !k.gone {
			r.plain[k.app] = k
		}
	}
	for _, k := range r.connections {
		if k.user != "" {
			renew(k)
		}
	}
}

// Gone reports whether the connection of a session has an app that is no longer served.
func (r *Room) Gone(session uint64) bool {
	k := r.connections[session]
	return k != nil && k.gone
}

// Has reports whether the connection of a session is one of an app.
func (r *Room) Has(session uint64) bool { return r.connections[session] != nil }

// Open implements loop.Front: the greeting.
func (r *Room) Open(c loop.Client, _ *loop.Subscription) {
	r.write(c, pusher.AppendEstablished(r.out, r.Sessions.Of(c.Session())))
}

// write writes b, which was appended to r.out, and uses its memory again: a burst of connections makes no
// garbage of what each receives first.
func (r *Room) write(c loop.Client, b []byte) {
	c.Write(b)
	if cap(b) <= mostOut {
		r.out = b[:0]
	}
}

// mostOut is the most memory that is used again for frames.
const mostOut = 4 << 10

// Message implements loop.Front. Whatever a client sends, its connection stays: it gets
// pusher:error.
func (r *Room) Message(c loop.Client, binary bool, payload []byte) {
	c.Spend(parseWork)
	if r.Lot.Waits(c.Session()) {
		if !r.Lot.Follow(c.Session(), binary, payload) {
			r.refuse(c, pusher.CodeClientEvent, errBehind)
		}
		return
	}
	m := &r.message
	if fault := r.parser.Parse(m, binary, payload); fault != "" {
		r.fault(c, fault)
		return
	}
	k := r.connections[c.Session()]
	switch event := string(m.Event); {
	case k.gone: // its end is under way
	case event == pusher.EventPing:
		r.write(c, pusher.AppendPong(r.out))
	case event == pusher.EventPong:
	case event == pusher.EventSubscribe:
		if err := r.subscribe(c, k, &m.Subscribe); err == permit.ErrAsk {
			r.Lot.Park(c, r.call, r.Message, binary, payload)
		}
	case event == pusher.EventUnsubscribe:
		r.unsubscribe(c, k, m.Subscribe.Channel)
	case event == pusher.EventSignin:
		r.signIn(c, k, &m.Signin)
	case pusher.IsClientEvent(m.Event):
		switch code, err := r.clientEvent(c, k, m); {
		case err == permit.ErrAsk && r.call != nil:
			r.Lot.Park(c, r.call, r.Message, binary, payload)
		case err != nil:
			r.refuse(c, code, err)
		}
	default:
		r.fault(c, "there is no event of that name for clients: there are pusher:ping, pusher:pong, pusher:subscribe, pusher:unsubscribe, pusher:signin and those that begin with client-")
	}
}

// errBehind refuses what comes while too much waits behind a message about which the backend
// is asked.
var errBehind = &refusal.Error{Status: 503, Code: "ask_busy", Message: "too many messages wait behind one that the backend decides about: send them later"}

// fault answers a message that makes no sense.
func (r *Room) fault(c loop.Client, sentence string) {
	r.Counts.Refuse(errMessage)
	c.Write(pusher.AppendError(nil, pusher.CodeBadMessage, sentence))
}

// errMessage is what faults are counted as.
var errMessage = &refusal.Error{Status: 400, Code: "bad_command", Message: "the message is no event of the Pusher protocol"}

// refuse answers a message that is refused.
func (r *Room) refuse(c loop.Client, code int, err *refusal.Error) {
	r.Counts.Refuse(err)
	c.Write(pusher.AppendError(nil, code, err.Code+": "+err.Message))
}

// name makes the channel that a client names the only one of r.channels.
func (r *Room) name(k *connection, name []byte) (*names.Name, *refusal.Error) {
	r.text = append(append(r.text[:0], k.app.Namespace...), name...)
	r.channels.Reset(r.Names, 1)
	if err := r.channels.Add(r.text); err != nil {
		return nil, err
	}
	return r.channels.List()[0], nil
}

// isOn reports whether the connection has the channel, and fills r.has.
func (r *Room) isOn(c loop.Client, n *names.Name) bool {
	r.has = c.Channels(r.has[:0])
	_, found := slices.BinarySearch(r.has, n.Text())
	return found
}

// request is what the client asks for with r.channels, as package permit decides it.
// granted is permit.Request.Granted.
func (r *Room) request(c loop.Client, a permit.Action, granted bool) permit.Request {
	q := permit.Request{
		Action:   a,
		Who:      permit.Principal{Session: c.Session(), Share: share.Of(c.Peer().Addr(), c.Session())},
		From:     permit.From{Peer: c.Peer(), Transport: permit.WebSocket},
		Channels: r.channels.List(),
		Granted:  granted,
	}
	if r.Gate.Ask.IsActive() {
		b := r.Guests.Brought(c.Session())
		q.Via, q.Headers, q.Proven, q.Answers = "pusher", b.Headers, b.User, r.Lot.Answers()
		if k := r.connections[c.Session()]; k.user != "" {
			q.Proven = k.user
		}
	}
	return q
}

// socketID is that of the connection, as its backend signs it.
func (r *Room) socketID(c loop.Client) []byte {
	r.id = pusher.AppendSocketID(r.id[:0], r.Sessions.Of(c.Session()))
	return r.id
}

// cursor is the position that the client gets: the zero one if it does not know Peal.
func (r *Room) cursor(c loop.Client, sequence uint64) log.Cursor {
	if r.Dialects.PlainOf(c.Dialect()) != dialect.PusherCursors {
		return log.Cursor{}
	}
	return r.Desk.Lineage.Cursor(sequence)
}
