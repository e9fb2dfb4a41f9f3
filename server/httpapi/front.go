package httpapi

import (
	"io"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"peal/loop"
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/auth"
	"peal/server/ban"
	"peal/server/command"
	"peal/server/dialect"
	"peal/server/forwarded"
	"peal/server/grant"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/identity"
	"peal/server/log"
	"peal/server/look"
	"peal/server/mercure/subscription"
	"peal/server/names"
	"peal/server/parking"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/publish"
	"peal/server/pusher"
	"peal/server/pusher/room"
	"peal/server/pusher/xhr"
	"peal/server/rate"
	"peal/server/refusal"
	"peal/server/response"
	"peal/server/revoke"
	"peal/server/rules"
	"peal/server/session"
	"peal/server/share"
	"peal/server/subscribe"
	"peal/server/tally"
	"peal/server/workers"
)

// Publisher accepts publications: a log.Log. See there.
type Publisher interface {
	Lineage() *log.Lineage
	Resolve(c log.Cursor) (sequence uint64, ok bool)
	Append(batch []*log.Entry, done func(error)) error
}

// Directory tells about channels and their history: a hub.Hub. See there.
type Directory interface {
	fanout.Source
	Channel(name string) (hub.Info, bool)
	Channels(prefix, after string, limit int) []hub.Info
}

// Answerer brings a response that was not ready when the request was handled to
// its connection, through the door of the connection's loop. out is a whole
// response and becomes the loop's. Whether the connection ends after it was
// said in loop.Call.Close. Any goroutine may call it, also before
// Front.Request has returned.
type Answerer interface {
	Answer(ref loop.Ref, out []byte)

	// Again has Front.Request asked again about a request that waits (loop.Wait).
	Again(ref loop.Ref)

	// Do runs f on the loop of a WebSocket or event stream, if it is still open.
	Do(ref loop.Ref, f func(c loop.Client))
}

// Dismisser ends connections on all loops: a loop.Group. See there.
type Dismisser interface {
	// Dismiss ends the connections that pick chooses, which is called on their loop. It
	// reports false when too many calls, or too many of that share, are under way.
	// done is called once, on any goroutine, with how many there were.
	Dismiss(by share.Key, pick func(front *Front, session uint64) *loop.Ending, done func(ended int)) bool
}

// Orders decides which clients are kept away, and which tokens are revoked: a
// control.Control. See there.
type Orders interface {
	// KeepAway keeps clients away for that long, or lets them in again. done is called
	// once, on any goroutine, when the log has answered.
	KeepAway(by share.Key, clients []string, length time.Duration, done func(error)) (refused []string)

	// Revoke revokes tokens, or reports false where there is no room. done is as for
	// KeepAway, and is not called after false.
	Revoke(order *revoke.Order, done func(error)) (ok bool)
}

// Deps is what a Front needs. All but the numbers are shared between Fronts.
type Deps struct {
	Log     Publisher
	Hub     Directory
	Door    Answerer
	Workers *workers.Pool

	// Policy says which hosts and origins are served. nil: those of this machine.
	Policy *auth.Policy

	// Identity is how clients prove who they are.
	identity.Identity

	// Proxies are those whose word about clients counts. nil: none; then Call.Trusted must
	// not be set.
	Proxies *forwarded.Proxies

	// Apps are those of the Pusher protocol. nil: none.
	Apps *app.Table

	// CacheMissed is called on any loop when a Pusher channel with a cache has no event for a new subscriber. nil for none.
	CacheMissed func(channel string)

	// Streams are the sessions of Pusher clients over plain HTTP, whose streams Adopter makes.
	// Without it there are none.
	Streams *xhr.Sessions
	Adopter Adopter

	// Subscriptions are those of the Mercure protocol. nil: they are not listed.
	Subscriptions *subscription.Table

	// Origins are those that have asked, by Policy. nil: a table of this Front's own,
	// which an Encoder must have too if it is to answer polls of pages.
	Origins *Origins

	// Keys are the idempotency keys that are remembered. nil: none; they are
	// published with the message and nothing more.
	Keys *idempotency.Table

	// Presence is the members of channels. nil: nobody is listed.
	Presence *presence.Table

	// Dismisser ends the connections of clients. nil: none are found.
	Dismisser Dismisser

	// Bans are the clients that may not come back yet; Orders changes them, and the
	// revocations of Identity. nil: all may.
	Bans   *ban.Table
	Orders Orders

	// Dialects are those that clients may speak, the same that the Encoder has. nil:
	// the standard ones.
	Dialects *dialect.Table

	// Sessions are the session ids of the process. nil: those of a random key.
	Sessions *session.IDs

	// Rules are those of single channels. nil: none.
	Rules *rules.Table

	// Buckets count what clients do, for the rates in Limits and Rules. nil: nothing is
	// limited. Monotonic is a clock that does not go back; nil: that of this process.
	Buckets   *rate.Table
	Monotonic func() time.Duration

	// ConnectionsElsewhere is how many connections an app has on other nodes. nil: there are none.
	ConnectionsElsewhere func(a *app.App) int

	// AddressFull is permit.Gate.AddressFull. nil: no address is limited.
	AddressFull func(netip.Addr) bool

	// Ask asks the backend about clients. nil: it is not asked.
	Ask *ask.Client

	// Users are the connections of users. nil: they are not limited.
	Users *permit.Users

	// Stale is permit.Gate.Stale. nil: never.
	Stale *atomic.Bool

	// NoMemory is set while publications are refused for want of memory. nil: never.
	NoMemory *atomic.Bool

	// Spans are those of publications. nil: there are none.
	Spans publish.Spans

	// Refused is permit.Gate.Refused. nil: nobody hears of it.
	Refused func(r *permit.Request, err *refusal.Error)

	// Access takes the lines of the access log, one a Write, which must not block
	// and keeps nothing. nil: none.
	Access io.Writer

	// Now is the clock by which tokens expire. nil: time.Now.
	Now func() time.Time

	MessageLimit int // bytes of one publication; 0: 64 KiB
	WireLimit    int // bytes of one publication as it is sent; 0: no limit
	Limits
}

// shared is what the rooms of one Front have in common. Fixed at New, except by
// Reload.
type shared struct {
	deps    Deps
	gate    permit.Gate
	names   *names.Cache
	guests  *subscribe.Guests
	target  publish.Target
	desk    look.Desk
	clock   response.Clock
	counts  *tally.Counts // of the loop; what workers count is theirs
	pusher  *room.Room
	lot     *parking.Lot
	streams *streams
}

// Front implements loop.Front for one loop. Requests come in by the exchange, are
// found in the table of routes, and are handled by one of the rooms.
type Front struct {
	shared
	exchange *exchange
	routes   table
	commands command.Room
	access   accessLog
}

// New returns a Front. Each loop needs its own; they share deps.
func New(deps Deps) *Front {
	deps = deps.withDefaults()
	f := &Front{}
	s := &f.shared
	s.deps = deps
	s.gate = permit.Gate{
		Policy: deps.Policy, Bans: deps.Bans, Hub: deps.Hub, Presence: deps.Presence,
		Ask: deps.Ask, Revocations: deps.Revocations, Stale: deps.Stale, NeedsToken: deps.NeedsToken,
		AnonymousTopics: deps.Mercure != nil && deps.Mercure.Anonymous,
		Pace:            permit.Pace{Buckets: deps.Buckets, Limits: deps.Rates, Now: deps.Monotonic},
		Apps:            deps.Apps, AddressFull: deps.AddressFull, Users: deps.Users, UserLimit: deps.UserConnections, NoMemory: deps.NoMemory, Refused: deps.Refused,
		ChannelLimit: deps.ChannelLimit, MessageBytes: deps.MessageLimit, WireBytes: deps.WireLimit,
	}
	s.names = names.NewCache(deps.Rules)
	s.guests = subscribe.NewGuests(&s.gate, deps.Now)
	s.target = publish.Target{Log: deps.Log, Door: deps.Door, Keys: deps.Keys, Tally: deps.Workers.Tally(), Spans: deps.Spans}
	_, s.target.Remote = deps.Log.(log.Distributed)
	s.desk = look.Desk{Hub: deps.Hub, Presence: deps.Presence, Lineage: deps.Log.Lineage(), Door: deps.Door, Workers: deps.Workers}
	s.counts = tally.New()
	s.streams = newStreams(s)

	s.lot = &parking.Lot{Door: frameDoor{s}, Asker: deps.Ask}
	f.commands = command.Room{
		Identity: &s.deps.Identity, Door: deps.Door, Dialects: deps.Dialects, Gate: &s.gate, Names: s.names, Guests: s.guests,
		Desk: &s.desk, Target: &s.target, Starts: deps.Log, Sessions: deps.Sessions, Counts: s.counts, Lot: s.lot,
	}
	s.pusher = &room.Room{
		Door: frameDoor{s}, Dialects: deps.Dialects, Gate: &s.gate, Names: s.names, Guests: s.guests,
		Desk: &s.desk, Target: &s.target, Starts: deps.Log, Sessions: deps.Sessions, Counts: s.counts, Missed: deps.CacheMissed, Lot: s.lot,
	}
	f.access = newAccessLog(deps.Access)
	f.exchange = newExchange(s)
	f.routes = newRoutes(s)
	return f
}

func (d Deps) withDefaults() Deps {
	if d.Policy == nil {
		d.Policy = &auth.Policy{}
	}
	if d.Origins == nil {
		d.Origins = NewOrigins(d.Policy)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.MessageLimit == 0 {
		d.MessageLimit = 64 << 10
	}
	if d.WireLimit == 0 {
		d.WireLimit = math.MaxInt
	}
	if d.Rules == nil {
		d.Rules = rules.New(nil, rules.Rule{})
	}
	if d.Monotonic == nil {
		began := time.Now()
		d.Monotonic = func() time.Duration { return time.Since(began) }
	}
	if d.Dialects == nil {
		d.Dialects = dialect.NewTable(dialect.Standard()...)
	}
	if d.Streams == nil {
		d.Streams = xhr.NewSessions(xhr.Limits{}, d.Door)
	}
	if d.Sessions == nil {
		d.Sessions = session.Random()
	}
	d.Limits = d.Limits.WithDefaults()
	return d
}

var (
	_ loop.Front    = (*Front)(nil)
	_ loop.Observer = (*Front)(nil)
)

// Request implements loop.Front.
func (f *Front) Request(c *loop.Call) {
	if f.access.out == nil {
		f.request(c)
		return
	}
	began := f.access.begin(c)
	f.request(c)
	f.access.end(f.exchange, began)
}

// request handles what is there of a request: it refuses it, waits for more, or
// serves it.
func (f *Front) request(c *loop.Call) {
	x := f.exchange
	x.begin(c)
	ready, err := x.readHead()
	if err != nil {
		x.refuseAndClose(err)
		return
	}
	if !ready {
		return
	}
	if c.Refusal.Reason != admit.None {
		f.refuseConnection(x)
		return
	}
	x.route = f.routes.find(x.head.Path, &x.segments)
	ready, err = x.readBody()
	if err != nil {
		x.refuseAndClose(err)
		return
	}
	if !ready {
		return
	}
	f.routes.serve(x)
	if c.Verdict != loop.Wait {
		x.settle()
	}
	x.shrink()
}

// Open implements loop.Front.
func (f *Front) Open(c loop.Client, s *loop.Subscription) {
	switch {
	case c.Dialect() == dialect.PusherReceiver: // what it is sent comes from its session
		return
	case f.isPusher(c):
		f.pusher.Open(f.clientOf(c), s)
		return
	}
	f.commands.Open(c, s)
}

// isPusher reports whether the messages of a client are those of the Pusher protocol.
func (f *Front) isPusher(c loop.Client) bool {
	return f.deps.Dialects.At(c.Dialect()).Room == pusher.Room
}

// Message implements loop.Front.
func (f *Front) Message(c loop.Client, binary bool, payload []byte) (code uint16, reason string) {
	if f.isPusher(c) {
		f.pusher.Message(f.clientOf(c), binary, payload)
		return 0, ""
	}
	return f.commands.Message(c, binary, payload)
}

// Due implements loop.Front.
func (f *Front) Due(c loop.Client) {
	if f.streams.has(c.Dialect()) {
		f.streams.due(c)
		return
	}
	f.commands.Due(c)
}

// Left implements loop.Front.
func (f *Front) Left(session uint64) {
	f.deps.Streams.Lost(session)
	f.pusher.Left(session)
	f.guests.Left(session)
	f.lot.Left(session)
	f.streams.left(session)
	f.deps.Subscriptions.End(session)
}

// Responded implements loop.Observer.
func (f *Front) Responded(session uint64, response []byte) {
	if response == nil {
		f.deps.Streams.Lost(session)
	}
	f.access.responded(session, response)
}

// Ended implements loop.Forsaken.
func (f *Front) Ended(session uint64) { f.deps.Streams.Ended(session) }

// Dismiss reports whether the connection of that session has one of the names, by its
// token, its URL or for a channel that it has. Then its end must follow, at which it
// leaves without a grace period. On its loop's goroutine.
func (f *Front) Dismiss(session uint64, clients Clients) bool {
	return f.DismissAmong(session, func(client string) bool {
		_, named := clients[client]
		return named
	})
}

// DismissAmong is Dismiss for the names that among picks.
func (f *Front) DismissAmong(session uint64, among func(client string) bool) bool {
	return f.guests.Dismiss(session, among)
}

// Revoke reports whether the connection of that session has a token that the order
// revokes. Then its end must follow, as after Dismiss.
func (f *Front) Revoke(session uint64, order *revoke.Order) bool {
	return f.RevokeAmong(session, order.Covers)
}

// RevokeAmong is Revoke for the tokens that among picks.
func (f *Front) RevokeAmong(session uint64, among func(*grant.Grant) bool) bool {
	if !f.guests.Revoke(session, among) {
		return false
	}
	f.counts.Revoke()
	return true
}

// IsUser reports whether the connection of that session has the token of a user. On its
// loop's goroutine.
func (f *Front) IsUser(session uint64) bool {
	g := f.guests.Grant(session)
	return g != nil && g.Kind == grant.User
}

// Stats is what this Front has counted. On its loop's goroutine only; what
// workers have counted is theirs: see workers.Pool.Tally.
func (f *Front) Stats() tally.Stats { return f.counts.Stats() }

// Reload replaces the limits, except for HeadLimit, the rules, what clients prove, the apps, and
// the policy, which
// the caller gives to Deps.Origins, too. It is called on the goroutine of the Front's
// loop. Connections keep what they have already.
func (f *Front) Reload(limits Limits, t *rules.Table, p *auth.Policy, id identity.Identity, apps *app.Table) {
	limits.HeadLimit = f.deps.HeadLimit
	f.deps.Limits = limits.WithDefaults()
	f.deps.Rules, f.deps.Policy, f.deps.Identity, f.deps.Apps = t, p, id, apps
	f.gate.Policy, f.gate.ChannelLimit, f.gate.Pace.Limits = p, f.deps.ChannelLimit, f.deps.Rates
	f.gate.UserLimit = f.deps.UserConnections
	f.gate.AnonymousTopics = id.Mercure != nil && id.Mercure.Anonymous
	f.gate.Apps = apps
	f.pusher.Use(apps)
	f.names.Use(t)
}
