package webhook

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// duty is what one node does under one lease: deliver to an endpoint, or observe.
type duty struct {
	name    string // of its lease: that of the endpoint, observing for the observer
	line    *line  // of the endpoint, nil for the observer
	run     func(ctx, soft context.Context, lease uint64)
	holding *atomic.Uint64 // the lease under which it runs, 1 beyond its number; 0: it does not

	// While it runs, and until it has ended.
	number     uint64
	leave, end context.CancelFunc // finish what is on its way; stop at once
	done       chan struct{}

	vacant    time.Time // since when nobody holds the lease, zero if somebody does
	preferred time.Time // since when another node holds it, and it should be this one
	tried     time.Time // when it last appended an entry about the lease
}

// observing is the name of the observer's lease. No endpoint has it.
const observing = ""

// Run delivers and observes until ctx ends, as far as this node holds the leases.
func (h *Hooks) Run(ctx context.Context) { h.RunUntil(ctx, ctx) }

// RunUntil is Run that finishes requests which are under way when soft ends, as long as ctx does not. It may be called
// again when it has returned.
func (h *Hooks) RunUntil(ctx, soft context.Context) {
	tick := time.NewTicker(min(100*time.Millisecond, h.config.Every))
	defer tick.Stop()
	duties := map[string]*duty{}
	for {
		wanted := h.wantedDuties(duties)
		for name, k := range duties {
			if h.tend(ctx, k, wanted[name]) {
				delete(duties, name)
			}
		}
		h.flushMisses()
		if !wanted[observing] && h.config.Changed != nil {
			h.config.Changed(mostTouched)
		}
		select {
		case <-soft.Done():
			for _, k := range duties {
				if k.done != nil {
					k.leave()
				}
			}
			for _, k := range duties {
				if k.done != nil {
					<-k.done
					k.holding.Store(0)
				}
			}
			return
		case <-tick.C:
			h.trim()
			h.state.settle()
		}
	}
}

// wantedDuties adds the duties of the endpoints as they are configured now to all, and returns
// their names.
func (h *Hooks) wantedDuties(all map[string]*duty) map[string]bool {
	wanted := map[string]bool{}
	for _, p := range h.endpoints() {
		l := p.line
		if all[p.Name] == nil {
			all[p.Name] = &duty{name: p.Name, line: l, holding: &l.holding, run: func(ctx, soft context.Context, lease uint64) {
				(&deliverer{hooks: h, line: l, lease: lease}).run(ctx, soft)
			}}
		}
		wanted[p.Name] = all[p.Name].line == l // else one that was removed and has come back: the old one must end
	}
	if h.look.wanted() {
		wanted[observing] = true
		if all[observing] == nil {
			all[observing] = &duty{name: observing, holding: &h.look.holding, run: func(_, soft context.Context, lease uint64) { h.look.run(soft, lease) }}
		}
	}
	return wanted
}

// tend starts and ends a duty as its lease says, and takes the lease, gives it up, or asks for it. gone: it is
// over, and nobody wants it.
func (h *Hooks) tend(ctx context.Context, k *duty, wanted bool) (gone bool) {
	at := h.state.lease(k.name)
	held := h.shared == nil || at.Node == h.config.Node && h.alive() && slices.Contains(h.config.Nodes(), at.Node)
	if k.done != nil {
		select {
		case <-k.done:
			k.leave()
			k.end()
			k.done = nil
			k.holding.Store(0)
		default:
			switch {
			case !held || at.Number != k.number:
				k.end()
			case !wanted || h.asked(at):
				k.leave()
			}
			return false
		}
	}
	switch {
	case !wanted && h.shared != nil && at.Node == h.config.Node && h.alive(): // another node may have it in its configuration
		h.claim(k, claim{Name: k.name, Lease: at.Number + 1})
		return false
	case !wanted:
		return true
	case held && h.asked(at):
		h.claim(k, claim{Name: k.name, Node: at.Asked, Lease: at.Number + 1})
	case held:
		h.begin(ctx, k, at.Number)
	case h.alive():
		h.seek(k, at)
	}
	return false
}

// begin begins a duty under a lease.
func (h *Hooks) begin(ctx context.Context, k *duty, number uint64) {
	hard, end := context.WithCancel(ctx)
	soft, leave := context.WithCancel(hard)
	done := make(chan struct{})
	k.number, k.end, k.leave, k.done = number, end, leave, done
	k.vacant, k.preferred = time.Time{}, time.Time{}
	k.holding.Store(number + 1)
	switch {
	case h.shared == nil:
	case k.name == observing:
		h.config.Report.Info("this node observes channels and members for the webhooks", "lease", number)
	default:
		h.config.Report.Info("this node delivers a webhook", "webhook", k.name, "lease", number)
	}
	go func() {
		defer close(done)
		k.run(hard, soft, number)
	}()
}

// asked reports whether another node that lives asks for a lease that this one has.
func (h *Hooks) asked(at lease) bool {
	return h.shared != nil && at.Asked != 0 && at.Asked != h.config.Node && slices.Contains(h.config.Nodes(), at.Asked)
}

// alive reports whether this node has read enough of the log to know whether it lives.
func (h *Hooks) alive() bool {
	return h.shared != nil && h.config.Now().Sub(h.shared.Progress().Current) < h.config.Alive
}

// seek takes a lease that nobody holds: nodes do so in an order that differs from name to name, with a pause
// between them, because one may not have the endpoint in its configuration. The first in that order asks for the
// lease if another one holds it, so that leases are spread over the nodes.
func (h *Hooks) seek(k *duty, at lease) {
	live, self, now := h.config.Nodes(), h.config.Node, h.config.Now()
	if !slices.Contains(live, self) {
		return
	}
	rank := 0
	for _, id := range live {
		if id != self && isBefore(k.name, id, self) {
			rank++
		}
	}
	since := func(t *time.Time, is bool) time.Duration {
		switch {
		case !is:
			*t = time.Time{}
		case t.IsZero():
			*t = now
		}
		return now.Sub(cmp.Or(*t, now))
	}
	held := at.Node != 0 && slices.Contains(live, at.Node)
	vacant, preferred := since(&k.vacant, !held), since(&k.preferred, held && rank == 0)
	switch {
	case vacant > time.Duration(1+rank)*h.config.Every:
		h.claim(k, claim{Name: k.name, Node: self, Lease: at.Number + 1})
	case preferred > h.config.Spread && at.Asked != self:
		h.claim(k, claim{Name: k.name, Node: self, Lease: at.Number, Ask: true})
	}
}

// isBefore reports whether node a comes before node b for the lease of that name.
func isBefore(name string, a, b uint64) bool {
	weight := func(node uint64) uint64 {
		f := fnv.New64a()
		f.Write(binary.BigEndian.AppendUint64([]byte(name), node))
		n := f.Sum64() // whose high bits hardly differ between similar texts
		n = (n ^ n>>33) * 0xff51afd7ed558ccd
		n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
		return n ^ n>>33
	}
	return cmp.Or(cmp.Compare(weight(a), weight(b)), cmp.Compare(a, b)) < 0
}

// claimPause is the least time between two entries about one lease.
const claimPause = time.Second

// claim appends what it says, unless it has just done so. It does not wait: the state says what came of it.
func (h *Hooks) claim(k *duty, c claim) {
	now := h.config.Now()
	if pause := min(claimPause, h.config.Every); now.Sub(k.tried) < pause {
		return
	}
	k.tried = now
	report := func(err error) {
		if err != nil {
			h.config.Report.Warn("the lease of a webhook cannot be changed: trying again", "webhook", c.Name, "error", err)
		}
	}
	report(h.config.Log.Append([]*log.Entry{entry(eventLease, c)}, report))
}
