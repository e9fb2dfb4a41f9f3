package server

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/ban"
	"peal/server/control"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/revoke"
	"peal/server/session"
	"peal/server/upgrade"
)

// What a server hands over to the process that goes on for it: a value of gob for each part,
// and for each batch of connections.

// Rooms of parts.
const (
	roomHub         = "hub"         // hub.Part
	roomEntries     = "entries"     // log.Packed
	roomOffered     = "offered"     // nothing: all up to the head of the offer is there
	roomPaused      = "paused"      // log.Handover
	roomCaughtUp    = "caught-up"   // nothing: all is there
	roomIdempotency = "idempotency" // idempotency.Part
	roomBans        = "bans"        // ban.Part
	roomRevocations = "revocations" // revoke.Part
	roomControl     = "control"     // control.Handover
	roomSessions    = "sessions"    // sessions
	roomRests       = "rests"       // rests
)

// first is what the new process must know before all parts.
type first struct {
	Log log.Handover
}

// sessions are the numbers of connections.
type sessions struct {
	IDs     session.Handover
	Counter uint64
	Stays   map[string]int // connections that are not handed over, by why
}

// rests are those of the connections of a loop, which follow.
type rests struct {
	Loop     int
	Rests    [][]byte
	Exported int64 // the monotonic clock of the machine, in nanoseconds
}

// conns are some connections of a loop.
type conns struct {
	Loop  int
	Conns []loop.ConnState
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decode(data []byte, to any) error { return gob.NewDecoder(bytes.NewReader(data)).Decode(to) }

// monotonic is the clock that all processes of the machine share, in nanoseconds.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0 // it cannot fail on Linux
	}
	return now.Nano()
}

// carriers name what connections refer to by numbers.
type carriers struct {
	*dialect.Table
	*httpapi.Origins
}

// handing hands a Server over. It implements upgrade.Old.
type handing struct {
	server  *Server
	log     log.Outgoing
	hub     *hub.Handing
	offered log.Handover
	paused  log.Handover
	names   carriers
	state   loop.GroupState
}

// errBusy says that one upgrade at a time is enough.
var errBusy = errors.New("an upgrade is under way")

// Upgrade hands the server over to the process at the other end of the link: see
// upgrade.Offer. Behind the commit, Run returns nil.
func (s *Server) Upgrade(ctx context.Context, l *upgrade.Link, limits upgrade.Limits) (o upgrade.Outcome, err error) {
	out, ok := s.log.(log.Outgoing)
	switch {
	case !ok:
		return o, errors.New("this log cannot be handed over: restart the server instead")
	case s.draining.Load():
		return o, errors.New("the server is draining, and ends")
	case !s.upgrading.CompareAndSwap(false, true):
		return o, errBusy
	}
	defer s.upgrading.Store(false)
	h := &handing{server: s, log: out, hub: s.hub.HandOver(), names: s.carriers()}
	if h.offered, err = out.Offer(); err != nil {
		return o, err
	}
	data, err := encode(first{h.offered})
	if err == nil {
		m := upgrade.Manifest{Format: upgrade.Format, Version: s.config.Version, Data: data}
		descriptors := make([]int, len(s.doors))
		for i, d := range s.doors {
			m.Listeners, descriptors[i] = append(m.Listeners, upgrade.Listener{Purpose: d.purpose, Address: d.address}), d.fd
		}
		o, err = upgrade.Offer(ctx, l, m, descriptors, h, limits)
	}
	if !o.Committed {
		out.Resume()
	}
	return o, err
}

func (s *Server) carriers() carriers {
	return carriers{s.dialects, s.origins}
}

func send[T any](room string, to func(upgrade.Part) error) func(*T) error {
	return func(v *T) error {
		data, err := encode(v)
		if err != nil {
			return fmt.Errorf("%s: %w", room, err)
		}
		return to(upgrade.Part{Room: room, Data: data})
	}
}

func (h *handing) entries(after, upto uint64, to func(upgrade.Part) error) error {
	give := send[log.Packed](roomEntries, to)
	return h.log.EachRetained(after, upto, func(batch []*log.Entry) error {
		p := log.Pack(batch)
		return give(&p)
	})
}

// Retained implements upgrade.Old.
func (h *handing) Retained(_ context.Context, to func(upgrade.Part) error) error {
	if err := h.hub.Changes(send[hub.Part](roomHub, to)); err != nil {
		return err
	}
	if err := h.entries(0, h.offered.Head, to); err != nil {
		return err
	}
	return to(upgrade.Part{Room: roomOffered})
}

// Freeze implements upgrade.Old.
func (h *handing) Freeze(ctx context.Context) (head uint64, err error) {
	if err := h.server.loops.Freeze(ctx); err != nil {
		return 0, err
	}
	if h.paused, err = h.log.Pause(ctx); err != nil {
		return 0, err
	}
	return h.paused.Head, h.server.loops.Settle(ctx)
}

// Rest implements upgrade.Old.
func (h *handing) Rest(ctx context.Context, to func(upgrade.Part) error) error {
	s := h.server
	paused := h.paused
	if err := send[log.Handover](roomPaused, to)(&paused); err != nil {
		return err
	}
	if err := h.hub.Changes(send[hub.Part](roomHub, to)); err != nil {
		return err
	}
	if err := h.entries(h.offered.Head, h.paused.Head, to); err != nil {
		return err
	}
	if err := to(upgrade.Part{Room: roomCaughtUp}); err != nil {
		return err
	}
	if err := s.keys.HandOver(send[idempotency.Part](roomIdempotency, to)); err != nil {
		return err
	}
	if err := s.bans.HandOver(send[ban.Part](roomBans, to)); err != nil {
		return err
	}
	if err := s.revoked.HandOver(send[revoke.Part](roomRevocations, to)); err != nil {
		return err
	}
	orders, err := s.orders.HandOver()
	if err != nil {
		return err
	}
	if err := send[control.Handover](roomControl, to)(&orders); err != nil {
		return err
	}
	return h.export(ctx, to)
}

// export exports the connections, and sends what they have in common.
func (h *handing) export(ctx context.Context, to func(upgrade.Part) error) (err error) {
	s := h.server
	if h.state, err = s.loops.Export(ctx, h.names); err != nil {
		return err
	}
	numbers := sessions{IDs: s.sessions.HandOver(), Counter: h.state.Sessions, Stays: map[string]int{}}
	for i := range h.state.Loops {
		for why, n := range h.state.Loops[i].Stay {
			numbers.Stays[why] += n
		}
	}
	if err := send[sessions](roomSessions, to)(&numbers); err != nil {
		return err
	}
	now := monotonic()
	for i := range h.state.Loops {
		if err := send[rests](roomRests, to)(&rests{i, h.state.Loops[i].Rests, now}); err != nil {
			return err
		}
	}
	return nil
}

// Connections implements upgrade.Old.
func (h *handing) Connections(_ context.Context, to func(upgrade.Batch) error) error {
	for i := range h.state.Loops {
		for batch := range slices.Chunk(h.state.Loops[i].Conns, upgrade.MostDescriptors) {
			data, err := encode(conns{i, batch})
			if err != nil {
				return err
			}
			b := upgrade.Batch{Data: data}
			for j := range batch {
				b.Descriptors = append(b.Descriptors, int(batch[j].Socket))
			}
			if err := to(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// Thaw implements upgrade.Old.
func (h *handing) Thaw() {
	h.log.Resume()
	h.server.loops.Thaw()
}

// Leave implements upgrade.Old.
func (h *handing) Leave() {
	if err := h.log.Release(); err != nil {
		h.server.config.Log.Error("the log was not closed", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	h.server.loops.Abandon(ctx)
	close(h.server.left)
}
