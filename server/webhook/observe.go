package webhook

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// One entry has that many changes at most, and as many bytes of names as one entry may have.
	entryChanges = 100
	entryBytes   = 32 << 10

	// mostTouched is how many channels wait for the next look. Beyond it all are looked at.
	mostTouched = 200_000
)

// observer finds what has changed since it was reported, while this node holds the lease.
type observer struct {
	hooks             *Hooks
	channels, members atomic.Bool   // that any endpoint wants events of
	holding           atomic.Uint64 // as line.holding
	untracked         atomic.Uint64

	mu      sync.Mutex
	active  bool
	touched map[string]struct{}
	all     bool // look at all channels

	// Of the goroutine of run.
	empty map[string]time.Time // reported channels without subscribers, since when
}

func (o *observer) init(h *Hooks) {
	o.hooks = h
	o.touched = map[string]struct{}{}
}

// wanted reports whether there is anything to observe.
func (o *observer) wanted() bool { return o.channels.Load() || o.members.Load() }

// Touch says that the subscribers or members of a channel may have changed. Any goroutine may call it;
// it locks for as long as a map takes.
func (h *Hooks) Touch(channel string) { h.look.touch(channel) }

// TouchAll says so of all channels.
func (h *Hooks) TouchAll() {
	h.look.mu.Lock()
	defer h.look.mu.Unlock()
	h.look.all = true
}

func (o *observer) touch(channel string) {
	if !o.wanted() || strings.HasPrefix(channel, "$") {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.active {
		return
	}
	if len(o.touched) >= mostTouched {
		o.all = true
		clear(o.touched)
	}
	o.touched[channel] = struct{}{}
}

// run looks until ctx ends.
func (o *observer) run(ctx context.Context, lease uint64) {
	o.mu.Lock()
	o.active, o.all = true, true
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		o.active = false
		clear(o.touched)
		o.mu.Unlock()
	}()
	c := &o.hooks.config
	began := c.Now()
	o.empty = map[string]time.Time{}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			o.step(ctx, lease, c.Now().Sub(began) >= c.Settle)
		}
	}
}

// take returns the channels that are to be looked at.
func (o *observer) take() map[string]struct{} {
	o.mu.Lock()
	names, all := o.touched, o.all
	o.touched, o.all = map[string]struct{}{}, false
	o.mu.Unlock()
	c := &o.hooks.config
	if c.Changed != nil {
		for {
			more := c.Changed(10_000)
			for _, name := range more {
				names[name] = struct{}{}
			}
			if len(more) < 10_000 {
				break
			}
		}
	}
	if all {
		c.Each(func(name string) { names[name] = struct{}{} })
		reported, _ := o.hooks.state.reported()
		for _, name := range reported {
			names[name] = struct{}{}
		}
	}
	return names
}

// step looks once. settled: what is gone may be reported.
func (o *observer) step(ctx context.Context, lease uint64, settled bool) {
	names := o.take()
	_, tracked := o.hooks.state.reported()
	var found []change
	bytes := 0
	flush := func() bool {
		if len(found) == 0 {
			return true
		}
		err := o.hooks.append(ctx, entry(eventChanges, changes{Lease: lease, All: found}))
		if err != nil && ctx.Err() == nil {
			o.hooks.config.Report.Warn("events of channels for webhooks cannot be stored in the log: trying again", "error", err)
		}
		found, bytes = nil, 0
		return err == nil
	}
	failed := false
	for name := range names {
		if failed || ctx.Err() != nil {
			o.touch(name)
			continue
		}
		more, again := o.look(name, settled, &tracked)
		if again {
			o.touch(name)
		}
		for i := range more {
			found = append(found, more[i])
			if bytes += len(name) + len(more[i].Member); len(found) >= entryChanges || bytes >= entryBytes {
				if failed = !flush(); failed {
					o.touch(name)
					break
				}
			}
		}
	}
	if !failed && !flush() || failed {
		o.mu.Lock()
		o.all = true // whatever was in an entry that may be there or not
		o.mu.Unlock()
	}
}

// look compares one channel with what was reported of it. again: look once more at the next step.
func (o *observer) look(name string, settled bool, tracked *int) (found []change, again bool) {
	h := o.hooks
	channels, count, members := h.interest(name)
	var clients []string
	complete := true
	if members {
		clients, complete = h.config.Members(name)
	}
	was, added, removed := h.state.compare(name, clients)
	room := func(n int) bool {
		if *tracked+n > h.config.Names {
			o.untracked.Add(1)
			return false
		}
		*tracked += n
		return true
	}
	n := 0
	if channels {
		n = h.config.Subscribers(name)
	}
	if n > 0 {
		delete(o.empty, name)
	}
	if n > 0 && was == 0 && room(1) {
		found = append(found, change{Name: Occupied, Channel: name, Subscribers: n})
	}
	if n > 0 && n != was && count && (was > 0 || len(found) > 0) {
		found = append(found, change{Name: Count, Channel: name, Subscribers: n})
	}
	if complete {
		for _, client := range added {
			if room(1) {
				found = append(found, change{Name: Added, Channel: name, Member: client})
			}
		}
		for _, client := range removed {
			if again = again || !settled; settled {
				found = append(found, change{Name: Removed, Channel: name, Member: client})
			}
		}
	}
	if was > 0 && !channels { // nobody wants to know any more
		found = append(found, change{Name: Vacated, Channel: name})
	} else if n == 0 && was > 0 {
		since, ok := o.empty[name]
		now := h.config.Now()
		switch {
		case !ok:
			o.empty[name] = now
			again = true
		case !settled || now.Sub(since) < h.config.Vacate:
			again = true
		default:
			delete(o.empty, name)
			found = append(found, change{Name: Vacated, Channel: name})
		}
	}
	return found, again || !complete
}

// interest reports which events of a channel any endpoint wants.
func (h *Hooks) interest(name string) (channels, count, members bool) {
	for _, p := range h.endpoints() {
		if _, ok := p.channel(name); ok {
			c, m := p.observes()
			channels, members, count = channels || c, members || m, count || p.events[Count]
		}
	}
	return channels, count, members
}
