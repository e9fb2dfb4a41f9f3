package control

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"peal/server/ban"
	"peal/server/log"
	"peal/server/revoke"
	"peal/server/share"
)

// Appender takes entries: a log.Log. See there.
type Appender interface {
	Append(batch []*log.Entry, done func(error)) error
}

// Control gives orders and follows them. It is a log.Tail and a log.State.
type Control struct {
	// Fixed at New.
	log     Appender
	bans    *ban.Table
	revoked *revoke.Table
	now     func() time.Time
	report  *slog.Logger
	node    uint64 // names its own orders in the log: they have their effect already

	// Fixed before the start of the log; nil for a log that is this server's own.
	onClients func(clients []string)
	onTokens  func()

	// Of the log.
	began  bool   // a state was loaded: another one is of orders that this node has missed
	loaded uint64 // orders up to here are in the state that was loaded; also of mu

	// Fixed after the start of the log.
	lost string // why the state may be incomplete, "" if it is not

	// order makes the order of orders in the tables that of the log. The append lock of
	// the log is taken with it held, and never the other way round.
	order sync.Mutex

	mu      sync.Mutex       // locked behind the append lock, and before those of the tables
	pending []*disconnection // this node's, in their order, that are not in the log yet
	missed  uint64           // orders up to here that have not come will not come any more
	apart   map[string]apart // clients about which the log has, or may have, said something else than the table has
}

// New returns a Control of those bans and revocations. now is the clock, time.Now
// outside tests; report is where orders go that cannot be read.
func New(l Appender, bans *ban.Table, revoked *revoke.Table, now func() time.Time, report *slog.Logger) *Control {
	return &Control{log: l, bans: bans, revoked: revoked, now: now, report: report, node: rand.Uint64(), apart: map[string]apart{}}
}

// Share says that other nodes append to the log, too. Their orders end connections here: clients is
// called with those that an order names, and tokens when there are more tokens that are revoked. Both run under
// the append lock, after the tables have changed, and must be quick. Call it before the log is started.
func (c *Control) Share(clients func(clients []string), tokens func()) {
	c.onClients, c.onTokens = clients, tokens
}

func (c *Control) shared() bool { return c.onClients != nil }

// KeepAway keeps clients away for that long from now on, whatever was ordered about
// them before; zero or less lets them in again. by is the share that asks. It has its
// effect when KeepAway returns. For those in refused there is no room: see ban.Table.
//
// done is called once, perhaps before KeepAway returns, and must not block: with nil
// when the order is as durable as the log promises, or with the reason why it is
// not, and lasts until a restart.
func (c *Control) KeepAway(by share.Key, clients []string, length time.Duration, done func(error)) (refused []string) {
	c.order.Lock()
	defer c.order.Unlock()
	orders, refused := c.ban(by, clients, length)
	if len(orders) == 0 {
		done(nil)
		return refused
	}
	var batch []*log.Entry
	for _, o := range orders {
		batch = append(batch, entry(eventDisconnect, appendDisconnection(nil, o)))
	}
	c.append(batch, func(err error) {
		for i, o := range orders {
			if err != nil {
				c.forget(o)
			} else {
				c.appended(o, batch[i].Sequence)
			}
		}
		done(err)
	})
	return refused
}

// Revoke revokes the tokens of o, which are refused when it returns; connections that
// have one are the caller's to end. It reports false, and does nothing, when the table
// has no room. done is as for KeepAway, and is not called after false.
func (c *Control) Revoke(o *revoke.Order, done func(error)) (ok bool) {
	c.order.Lock()
	defer c.order.Unlock()
	given, ok := c.revoked.Revoke(o)
	if !ok {
		return false
	}
	r := revocation{node: c.node, given: given, Order: *o}
	c.append([]*log.Entry{entry(eventRevoke, appendRevocation(nil, &r))}, done)
	return true
}

func entry(event string, data []byte) *log.Entry {
	return &log.Entry{Kind: log.KindControl, Event: event, Data: data}
}

// append appends orders. Whatever keeps one from a log that nodes share, the others do
// not know of it: then done has log.ErrUnavailable.
func (c *Control) append(orders []*log.Entry, done func(error)) {
	ended := func(err error) {
		if err != nil && c.shared() {
			err = errors.Join(log.ErrUnavailable, err)
		}
		done(err)
	}
	if err := c.log.Append(orders, ended); err != nil {
		ended(err)
	}
}

// Room is always there; see log.Tail.
func (c *Control) Room(int, int) bool { return true }

// Wake does nothing: Control has no readers.
func (c *Control) Wake() {}

// Apply follows the orders of others; see log.Tail. It takes as long as their names
// take in the tables.
func (c *Control) Apply(batch []*log.Entry) {
	if log.IsControl(batch) {
		c.follow(batch, false)
	}
}

// Restore follows orders that the log has kept: all of them, in order, before
// anything is appended.
func (c *Control) Restore(batch []*log.Entry) { c.follow(batch, true) }

func (c *Control) follow(batch []*log.Entry, old bool) {
	for _, e := range batch {
		if e.Kind != log.KindControl || old && e.Sequence <= c.loaded {
			continue
		}
		var err error
		switch e.Event {
		case eventDisconnect:
			err = c.followDisconnection(e.Data, old)
		case eventRevoke:
			err = c.followRevocation(e.Data, old)
		}
		if err != nil {
			c.report.Error("an entry of the log was skipped", "sequence", e.Sequence, "error", err)
		}
	}
}

func (c *Control) followDisconnection(data []byte, old bool) error {
	o, err := parseDisconnection(data)
	if err != nil || !old && c.arrived(&o) {
		return err
	}
	if !old {
		c.overrule(&o)
		if c.shared() {
			c.onClients(o.clients)
		}
		return nil
	}
	c.overrule(&o)
	return nil
}

// followRevocation revokes what the order says. One that cannot be read may be about
// any token that was issued up to now.
func (c *Control) followRevocation(data []byte, old bool) error {
	o, err := parseRevocation(data)
	switch {
	case err != nil:
		c.revoked.Raise(c.now().Unix())
	case old || o.node != c.node:
		c.revoked.Restore(&o.Order, o.given)
	default:
		return nil
	}
	if !old && c.shared() {
		c.onTokens()
	}
	return err
}
