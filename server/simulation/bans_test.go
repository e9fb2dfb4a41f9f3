package simulation_test

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"peal/server/ban"
	"peal/server/control"
	"peal/server/log"
	"peal/server/revoke"
)

// bans are what the backend has ordered about clients, and what the server must make
// of it: at once, and after a restart as far as the log has kept it, also where
// retention has removed the entries.
type bans struct {
	w      *world
	rnd    *rand.Rand       // of its own: schedules of other things stay as they are
	orders []order          // of all lives, in the order in which they were given
	byData map[string][]int // orders; two that say the same have the same data
	orderly
	may map[string][]time.Time // by client: until when it is kept away, one of these; zero: not
}

// order is one request to disconnect.
type order struct {
	clients []string
	until   time.Time // zero: they may come back
	failed  *node     // of several nodes: the log of that one has not taken it
}

// banned are the clients that orders are about. They never connect: that each
// transport refuses them is tested in server/endtoend.
var banned = []string{"ann", "bob", "cid", "dan", "eve"}

func newBans(w *world) *bans {
	return &bans{w: w, rnd: rand.New(rand.NewPCG(w.seed, 5)), byData: map[string][]int{}, may: map[string][]time.Time{}}
}

// beginLife makes the table of a server that starts.
func (b *bans) beginLife() {
	b.orderly = b.newOrderly()
}

// orderly is what a process has of orders.
type orderly struct {
	table   *ban.Table
	revoked *revoke.Table
	control *control.Control
}

func (b *bans) newOrderly() orderly {
	o := orderly{table: ban.New(100, 100, time.Now), revoked: revoke.New(100, time.Hour, time.Now)}
	o.control = control.New(b, o.table, o.revoked, time.Now, slog.New(slog.DiscardHandler))
	return o
}

// Append notes which entry the newest order is, and gives it to the log.
func (b *bans) Append(batch []*log.Entry, done func(error)) error {
	data := string(batch[0].Data)
	b.byData[data] = append(b.byData[data], len(b.orders)-1)
	return b.w.engine.Append(batch, done)
}

// give gives an order. The log may refuse it: it has its effect all the same.
func (b *bans) give() {
	o := order{}
	for _, client := range banned {
		if b.rnd.IntN(3) == 0 {
			o.clients = append(o.clients, client)
		}
	}
	if len(o.clients) == 0 {
		return
	}
	length := time.Duration(0)
	if b.rnd.IntN(3) > 0 {
		length = time.Duration(1+b.rnd.IntN(120)) * time.Second
		o.until = time.Now().Add(length)
	}
	b.orders = append(b.orders, o)
	for _, client := range o.clients {
		b.may[client] = []time.Time{o.until}
	}
	b.control.KeepAway(1, o.clients, length, func(error) {})
}

// restored works out what the server may have restored: by the newest order about
// each client that is in the log, or by a later one. The state that the log has saved
// may have that where the end of the log is lost.
func (b *bans) restored() {
	for _, client := range banned {
		newest, at, before := -1, uint64(0), -1
		for _, e := range b.w.oracle.truth {
			if e.Kind != log.KindControl {
				continue
			}
			i := b.orderOf(e, before)
			if i >= 0 && slices.Contains(b.orders[i].clients, client) {
				newest, at = i, e.Sequence
			}
			before = max(before, i)
		}
		may := []time.Time{{}}
		if newest >= 0 {
			may[0] = b.orders[newest].until
		}
		for _, later := range b.orders[newest+1:] {
			if b.w.storage.remembers() && slices.Contains(later.clients, client) {
				may = append(may, later.until)
			}
		}
		if at > 0 && at <= b.w.oracle.floor && time.Now().Before(may[0]) {
			b.w.counts[outlasted]++
		}
		b.may[client] = may
	}
}

// orderOf is the first order behind before that e may be, -1 if it is none.
func (b *bans) orderOf(e *log.Entry, before int) int {
	for _, i := range b.byData[string(e.Data)] {
		if i > before {
			return i
		}
	}
	return -1
}

// check: a client is kept away if and only if it must be.
func (b *bans) check() {
	for _, client := range banned {
		right := b.may[client] == nil
		for _, until := range b.may[client] {
			left := time.Until(until)
			edge := left.Abs() <= 2*time.Millisecond // orders are stored to the millisecond
			right = right || edge || b.table.Has([]byte(client)) == (left > 0)
		}
		if !right {
			b.w.fail("client %s is kept away: %v, want one of %v, it is %v", client, b.table.Has([]byte(client)), b.may[client], time.Now())
		}
	}
}
