package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"peal/loop"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/upgrade"
)

// handing hands a Server over. It implements upgrade.Old.
type handing struct {
	server  *Server
	log     log.Outgoing
	hub     *hub.Handing
	streams streams
	offered log.Handover
	paused  log.Handover
	names   carriers
	state   loop.GroupState
	ahead   [][]loop.ConnState  // by loop: what was sent while the server served on
	batches [][]uint64          // sessions, in the order in which they were sent
	stay    map[uint64]struct{} // sessions that the new process cannot go on with
	frozen  int64               // monotonic
	collect int                 // the percentage of debug.SetGCPercent, behind Freeze
}

var (
	errBusy = errors.New("an upgrade or a reload is under way")

	errEnding = errors.New("the server is draining, and ends")
)

// Upgrade hands the server over to the process at the other end of the link: see
// upgrade.Offer. Behind the commit, Run says good-bye to the connections that stay, and returns nil.
func (s *Server) Upgrade(ctx context.Context, l *upgrade.Link, limits upgrade.Limits) (o upgrade.Outcome, err error) {
	out, ok := s.log.(log.Outgoing)
	switch {
	case !ok:
		return o, errors.New("this log cannot be handed over: restart the server instead")
	case s.draining.Load():
		return o, errEnding
	case !s.changing.TryLock():
		return o, errBusy
	}
	defer s.changing.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with ctx
		select {
		case <-s.signalled:
			cancel(errEnding)
		case <-ctx.Done():
		}
	}()
	h := &handing{server: s, log: out, hub: s.hub.HandOver(), names: s.carriers(), streams: streams{}, stay: map[uint64]struct{}{}}
	if h.offered, err = out.Offer(); err != nil {
		return o, err
	}
	m := upgrade.Manifest{Format: upgrade.Format, Version: s.config.Version}
	if m.Data, err = encode(first{h.offered, s.sessions.HandOver(), s.handPast()}); err == nil {
		descriptors := make([]int, len(s.doors))
		for i, d := range s.doors {
			m.Listeners, descriptors[i] = append(m.Listeners, d.Listener), d.fd
		}
		o, err = upgrade.Offer(ctx, l, m, descriptors, h, limits)
	}
	if !o.Committed {
		s.loops.Alone()
		s.upgrades.fail()
		out.Resume()
		s.unquieten()
		return o, limits.Explain(o, context.Cause(ctx), err)
	}
	h.letGo()
	o.Stayed = h.stayed()
	s.reportUpgrade(&o)
	return o, err
}

func (s *Server) carriers() carriers {
	return carriers{s.dialects, s.origins}
}

// send returns what sends a value of a room.
func send[T any](h *handing, room string, to func(upgrade.Part) error) func(*T) error {
	of := h.streams.of(room)
	return func(v *T) error {
		data, err := of.encode(v)
		if err != nil {
			return fmt.Errorf("%s: %w", room, err)
		}
		return to(upgrade.Part{Room: room, Data: data})
	}
}

func (h *handing) entries(after, upto uint64, to func(upgrade.Part) error) error {
	give := send[log.Packed](h, roomEntries, to)
	return h.log.EachRetained(after, upto, func(batch []*log.Entry) error {
		p := log.Pack(batch)
		return give(&p)
	})
}

// Retained implements upgrade.Old. At its end, nothing is appended any more without a request.
func (h *handing) Retained(ctx context.Context, to func(upgrade.Part) error) error {
	if err := h.hub.Changes(send[hub.Part](h, roomHub, to)); err != nil {
		return err
	}
	if err := h.entries(0, h.offered.Head, to); err != nil {
		return err
	}
	if err := to(upgrade.Part{Room: roomOffered}); err != nil {
		return err
	}
	if err := h.warm(to); err != nil {
		return err
	}
	return h.server.quieten(ctx)
}

// Freeze implements upgrade.Old.
func (h *handing) Freeze(ctx context.Context) (head uint64, err error) {
	h.frozen = monotonic()
	h.server.shutGates()
	h.collect = debug.SetGCPercent(-1) // clients wait; what is allocated meanwhile is what the connections have
	soon, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if err := h.server.loops.Freeze(soon); err != nil && ctx.Err() != nil {
		return 0, err
	} // else connections whose response takes so long stay
	if h.paused, err = h.log.Pause(ctx); err != nil {
		return 0, err
	}
	return h.paused.Head, h.server.loops.Settle(ctx)
}

// answerLimit is how long all clients wait for the responses that are being prepared.
const answerLimit = 300 * time.Millisecond

// Rest implements upgrade.Old.
func (h *handing) Rest(ctx context.Context, to func(upgrade.Part) error) error {
	paused := h.paused
	steps := []func() error{
		func() error { return send[log.Handover](h, roomPaused, to)(&paused) },
		func() error { return h.hub.Changes(send[hub.Part](h, roomHub, to)) },
		func() error { return h.entries(h.offered.Head, h.paused.Head, to) },
		func() error { return to(upgrade.Part{Room: roomCaughtUp}) },
		func() error { return h.tables(ctx, to) },
		func() error { return h.export(ctx, to) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// stays is how many connections are not offered to the new process.
func (h *handing) stays() (n int) {
	for i := range h.state.Loops {
		for _, some := range h.state.Loops[i].Stay {
			n += some
		}
	}
	return n
}

// stayed are the connections that stay, by why.
func (h *handing) stayed() map[string]int {
	all := map[string]int{}
	for i := range h.state.Loops {
		for why, n := range h.state.Loops[i].Stay {
			all[why] += n
		}
	}
	if n := len(h.stay); n > 0 {
		all[stayRefused] = n
	}
	return all
}

// reportUpgrade logs what took time, and what stays.
func (s *Server) reportUpgrade(o *upgrade.Outcome) {
	steps := []any{"connections", o.Connections, "bytes", o.Bytes, "frozen", o.Frozen}
	for _, step := range o.Steps {
		steps = append(steps, step.Name+"_took", step.Took)
	}
	s.config.Log.Info("the connections are handed over", steps...)
	if len(o.Stayed) == 0 {
		return
	}
	var why []any
	n := 0
	for _, reason := range slices.Sorted(maps.Keys(o.Stayed)) {
		why = append(why, reason, o.Stayed[reason])
		n += o.Stayed[reason]
	}
	s.config.Log.Info("connections stay with this process, which tells them to come back, at drain-rate, and then ends", "connections", n, slog.Group("because", why...))
}

// stayRefused is why a connection stays that the new process cannot go on with.
const stayRefused = "unknown"

// Thaw implements upgrade.Old.
func (h *handing) Thaw() {
	debug.SetGCPercent(h.collect)
	h.log.Resume()
	h.server.loops.Thaw()
	h.server.reopenGates()
}

// Leave implements upgrade.Old.
func (h *handing) Leave() {
	debug.SetGCPercent(h.collect)
	if err := h.log.Release(); err != nil {
		h.server.config.Log.Error("the log was not closed", "error", err)
	}
}

// letGo follows Leave when the new process serves, so that both do not work at the same time.
func (h *handing) letGo() {
	s := h.server
	ctx, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	if err := s.loops.Leave(ctx, h.stay); err != nil {
		s.config.Log.Error("an event loop does not let go of its connections", "error", err)
	}
	close(s.left)
}

// part says good-bye to the connections that stay, when another process has taken over: it tells them to come back there,
// at the rate of a drain.
func (s *Server) part() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.drainNs.Load()))
	defer cancel()
	s.loops.Drain(ctx)
}
