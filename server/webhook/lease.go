package webhook

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Run delivers until ctx ends, while this node holds the lease.
func (h *Hooks) Run(ctx context.Context) {
	tick := time.NewTicker(min(100*time.Millisecond, h.config.Every))
	defer tick.Stop()
	now := h.config.Now
	vacant, tried := time.Time{}, time.Time{}
	var end func()
	for {
		number, held := h.held()
		switch {
		case held && end == nil:
			end = h.deliver(ctx, number)
		case end != nil && (!held || h.holding.Load() != number+1):
			end()
			end = nil
		case held:
		default:
			rank, last, free := h.vacancy()
			switch {
			case !free:
				vacant = time.Time{}
			case vacant.IsZero():
				vacant = now()
			case now().Sub(vacant) > time.Duration(1+rank)*h.config.Every && now().Sub(tried) > time.Second:
				tried = now()
				if err := h.append(ctx, entry(eventLease, claim{Node: h.config.Node, Lease: last + 1})); err != nil {
					h.config.Report.Warn("the lease of the webhooks cannot be taken: trying again", "error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			if end != nil {
				end()
			}
			return
		case <-tick.C:
			h.trim()
			h.state.settle()
		}
	}
}

// held reports whether this node delivers, and the number of its lease.
func (h *Hooks) held() (number uint64, ok bool) {
	node, number := h.state.lease()
	if len(h.endpoints) == 0 {
		return number, false
	}
	if h.shared == nil {
		return number, true
	}
	return number, node == h.config.Node && h.alive() && slices.Contains(h.config.Nodes(), node)
}

// alive reports whether this node has read enough of the log to know whether it lives.
func (h *Hooks) alive() bool {
	return h.config.Now().Sub(h.shared.Progress().Current) < h.config.Alive
}

// vacancy reports whether nobody holds the lease, the number of the last one, and how many nodes take it before
// this one: nodes take it in the order of their ids, with a pause between them, because one may have no webhooks.
func (h *Hooks) vacancy() (rank int, last uint64, free bool) {
	if h.shared == nil || len(h.endpoints) == 0 || !h.alive() {
		return 0, 0, false
	}
	node, last := h.state.lease()
	live := h.config.Nodes()
	if slices.Contains(live, node) || !slices.Contains(live, h.config.Node) {
		return 0, 0, false
	}
	for _, id := range live {
		if id < h.config.Node {
			rank++
		}
	}
	return rank, last, true
}

// deliver begins to observe and to deliver under a lease. end waits until all of it has ended.
func (h *Hooks) deliver(ctx context.Context, number uint64) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	h.holding.Store(number + 1)
	h.config.Report.Info("this node delivers the webhooks", "endpoints", len(h.endpoints), "lease", number)
	var parts sync.WaitGroup
	for i, p := range h.endpoints {
		d := &deliverer{hooks: h, endpoint: p, lease: number, wake: h.wakes[i]}
		parts.Go(func() { d.run(ctx) })
	}
	parts.Go(func() { h.look.run(ctx, number) })
	return func() {
		cancel()
		parts.Wait()
		h.holding.Store(0)
	}
}
