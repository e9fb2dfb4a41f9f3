package webhook

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"peal/server/log"
)

// Limits of a batch. An entry is in one batch: one that is larger is alone. The bytes are those of
// the body: a proxy before an endpoint refuses what is too long for it, and then nothing that comes
// behind would be delivered for as long as RetryFor.
const (
	MostEvents = 100
	MostBytes  = 256 << 10 // of its events in JSON

	// A cursor that has passed that many entries without an event is stored, so that a restart
	// need not read them again, and their removal is no gap.
	passedMost = 1000
	passEvery  = 5 * time.Second // between two looks at how many they are

	lastPause = 10 * time.Minute // between two attempts
	failPause = time.Second      // if the log cannot be read or written
)

// deliverer sends to one endpoint under one lease. Its goroutine owns it.
type deliverer struct {
	hooks    *Hooks
	line     *line
	endpoint *endpoint // as it was defined when the batch was begun
	lease    uint64

	position uint64    // everything up to here is delivered, or no event
	stored   uint64    // position that the log has
	failing  time.Time // since when attempts fail, zero if the last one was a delivery
}

// batch is what one request has.
type batch struct {
	from, upto uint64
	gap        bool
	after      string // cursor that a gap begins with, if it is none of this log
	events     []event
	newest     int64 // time of the last entry, of a gap that of its bounds
	attempts   int
}

// run ends at once with ctx, and with soft when the attempt that is on its way has ended.
func (d *deliverer) run(ctx, soft context.Context) {
	if d.endpoint = d.line.now.Load(); d.endpoint == nil {
		return
	}
	b := d.begin(soft)
	tried := b != nil // b, perhaps
	for soft.Err() == nil {
		if b == nil {
			b = d.next(soft)
			continue
		}
		if !d.note(soft, b) {
			break
		}
		if tried = true; !d.send(ctx, soft, b) {
			return
		}
		d.position, b, tried = b.upto, nil, false
	}
	if at, ok := d.hooks.state.bounds(d.endpoint.Name); ok && !tried && (at.From != at.Upto || at.Gap) {
		d.settle(ctx) // so that nobody sends again what is delivered
	}
}

// begin takes the cursor of the endpoint. It returns the batch that was on its way.
func (d *deliverer) begin(ctx context.Context) *batch {
	h, p := d.hooks, d.endpoint
	at, ok := h.state.bounds(p.Name)
	if !ok { // it is new, and begins now
		if d.position = d.endpoint.since; !d.endpoint.added {
			d.position = h.config.Log.Head()
		}
		d.settle(ctx)
		return nil
	}
	from, known := h.resolve(at.From)
	upto, there := h.resolve(at.Upto)
	if !known || !there { // of a log that has lost its end, or was replaced
		if !at.Gap || !there {
			upto = h.config.Log.Head()
		}
		h.config.Report.Warn("the position of a webhook is not in the log any more: it receives a gap", "webhook", p.Name, "cursor", at.From)
		d.position = upto
		return &batch{from: upto, upto: upto, gap: true, after: at.From}
	}
	d.position, d.stored = from, from
	switch {
	case at.Gap:
		return &batch{from: from, upto: upto, gap: true}
	case from == upto:
		return nil
	}
	return d.again(ctx, from, upto)
}

// again makes the batch between two positions once more; nil if it has no events by now.
func (d *deliverer) again(ctx context.Context, from, upto uint64) *batch {
	b := &batch{from: from, upto: upto}
	for at := from; at < upto && ctx.Err() == nil; {
		entries, read, err := d.hooks.read(d.endpoint, at, 1000, 1<<20)
		var missing *log.MissingError
		if errors.As(err, &missing) {
			return &batch{from: from, upto: missing.Upto, gap: true}
		} else if err != nil {
			d.pause(ctx, "the log cannot be read: trying again every second", err)
			continue
		}
		for _, e := range entries {
			if e.Sequence <= upto {
				d.add(b, e)
			}
		}
		at = read
	}
	if len(b.events) == 0 {
		d.position = upto
		return nil
	}
	return b
}

func (d *deliverer) add(b *batch, e *log.Entry) (added int) {
	n := len(b.events)
	b.events = d.endpoint.appendEvents(b.events, e, d.hooks.config.Log.Lineage())
	if added = len(b.events) - n; added > 0 {
		b.newest = e.Time
	}
	return added
}

// next waits until there is a batch; nil when ctx ends.
func (d *deliverer) next(ctx context.Context) *batch {
	waited := false
	for ctx.Err() == nil {
		now := d.line.now.Load()
		if now == nil {
			<-ctx.Done()
			return nil
		}
		d.endpoint = now
		entries, upto, err := d.hooks.read(now, d.position, 1000, 1<<20)
		if d.line.now.Load() != now { // what was read may lack what it wants now
			continue
		}
		var missing *log.MissingError
		if errors.As(err, &missing) {
			return &batch{from: d.position, upto: missing.Upto, gap: true}
		} else if err != nil {
			d.pause(ctx, "the log cannot be read: trying again every second", err)
			continue
		}
		b := &batch{from: d.position, upto: d.position}
		full := d.fill(b, entries)
		switch {
		case len(b.events) > 0 && (full || waited):
			return b
		case len(b.events) > 0: // what comes now is in the same batch
			waited = true
			d.sleep(ctx, d.hooks.config.BatchWait, nil)
		case upto > d.position:
			d.position = upto
			if d.position-min(d.stored, d.position) >= passedMost {
				d.settle(ctx)
			}
		default:
			if at, _ := d.hooks.state.bounds(d.endpoint.Name); at.From != at.Upto || at.Gap {
				d.settle(ctx)
			}
			d.sleep(ctx, passEvery, d.line.wake)
		}
	}
	return nil
}

// fill puts the entries into b that have room there. full reports that there are more.
func (d *deliverer) fill(b *batch, entries []*log.Entry) (full bool) {
	bytes := 0
	for _, e := range entries {
		events, newest := b.events, b.newest
		added := d.add(b, e)
		if added == 0 {
			continue
		}
		for i := len(events); i < len(b.events); i++ {
			bytes += b.events[i].bytes()
		}
		if len(events) > 0 && (len(b.events) > MostEvents || bytes > MostBytes) {
			b.events, b.newest = events, newest
			return true
		}
		b.upto = e.Sequence
	}
	return len(b.events) >= MostEvents || bytes >= MostBytes
}

// note stores the bounds of b before it is sent. false: this node may not send it.
func (d *deliverer) note(ctx context.Context, b *batch) bool {
	if !d.store(ctx, b) {
		return false
	}
	if b.gap {
		at, _ := d.hooks.state.bounds(d.endpoint.Name)
		b.newest = at.Time
		b.events = []event{d.endpoint.gapEvent(at.From, at.Upto, b.newest)}
	}
	return true
}

// settle stores that everything up to the position is delivered.
func (d *deliverer) settle(ctx context.Context) {
	if d.store(ctx, &batch{from: d.position, upto: d.position}) {
		d.stored = d.position
	}
}

func (d *deliverer) store(ctx context.Context, b *batch) bool {
	h := d.hooks
	want := bounds{Endpoint: d.endpoint.Name, Lease: d.lease, From: h.cursor(b.from).String(), Upto: h.cursor(b.upto).String(), Gap: b.gap}
	if b.after != "" {
		want.From = b.after
	}
	for ctx.Err() == nil {
		e := entry(eventBatch, want)
		if err := h.append(ctx, e); err != nil {
			d.pause(ctx, "the position of a webhook cannot be stored in the log: trying again every second", err)
			continue
		}
		at, _ := h.state.bounds(d.endpoint.Name)
		if at.From == want.From && at.Upto == want.Upto && at.Gap == want.Gap {
			d.stored = b.from
			return true
		}
		d.sleep(ctx, failPause, nil) // the lease is another node's by now, which Run finds out
	}
	return false
}

// send sends b until it is delivered, or dead. false when ctx ended, or soft behind an attempt.
func (d *deliverer) send(ctx, soft context.Context, b *batch) bool {
	h, p := d.hooks, d.endpoint
	body := p.body(b.events, b.newest)
	id := p.batchID(h.cursor(b.upto), b.gap)
	p.counts.oldest.Store(b.newest)
	defer p.counts.oldest.Store(0)
	select {
	case <-p.kick: // it was for a request before
	default:
	}
	for {
		if now := d.line.now.Load(); now != nil { // a reload may have changed where to
			p = now
		}
		f := p.once(ctx, id, body, h.config.Now())
		if f == nil {
			d.failing = time.Time{}
			p.counts.failing.Store(false)
			p.counts.delivered.Add(uint64(len(b.events)))
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		b.attempts++
		now := h.config.Now()
		if d.failing.IsZero() {
			d.failing = now
		}
		p.counts.failing.Store(true)
		p.counts.failed.Add(1)
		p.counts.setError(f.what)
		if b.attempts&(b.attempts-1) == 0 {
			h.config.Report.Warn("a webhook was not delivered: trying again", "webhook", p.Name, "id", id, "attempt", b.attempts, "reason", f.what)
		}
		if d.isDead(p, b, now) && h.bury(ctx, p, b, id, body, f.what, now) {
			return true
		}
		p.counts.retried.Add(1)
		d.sleep(soft, max(d.backOff(b.attempts), f.after), p.kick)
		if soft.Err() != nil {
			return false
		}
	}
}

// deadAfter is how long an endpoint must have failed before anything of it is dead, however old
// that is: a server that was down for longer than retry-for gives it another chance.
const deadAfter = time.Minute

func (d *deliverer) isDead(p *endpoint, b *batch, now time.Time) bool {
	return now.UnixMilli()-b.newest >= p.RetryFor.Milliseconds() && now.Sub(d.failing) >= min(deadAfter, p.RetryFor)
}

// backOff is the time before the next attempt: twice as long each time, and between half and all of that.
func (d *deliverer) backOff(attempts int) time.Duration {
	pause := d.hooks.config.FirstPause << min(attempts-1, 20)
	pause = min(pause, lastPause)
	return pause/2 + rand.N(pause/2+1)
}

func (d *deliverer) pause(ctx context.Context, text string, err error) {
	if ctx.Err() == nil {
		d.hooks.config.Report.Warn(text, "webhook", d.endpoint.Name, "error", err)
		d.sleep(ctx, failPause, nil)
	}
}

func (d *deliverer) sleep(ctx context.Context, length time.Duration, kick <-chan struct{}) {
	t := time.NewTimer(length)
	defer t.Stop()
	select {
	case <-t.C:
	case <-kick:
	case <-ctx.Done():
	}
}
