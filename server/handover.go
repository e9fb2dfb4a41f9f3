package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/ban"
	"peal/server/cluster"
	"peal/server/control"
	"peal/server/counts"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/presence"
	"peal/server/revoke"
	"peal/server/session"
	"peal/server/upgrade"
	"peal/server/webhook"
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
	roomWebhooks    = "webhooks"    // webhook.Part
	roomPresence    = "presence"    // presence.Part
	roomMembers     = "members"     // presence.ClusterPart
	roomCounts      = "counts"      // counts.Part
	roomNode        = "node"        // cluster.Handover

	// No parts, but batches: for each loop its number, how many there are, and a length (all uvarint), and then conns.
	roomConnections = "connections"
)

// first is what the new process must know before all parts.
type first struct {
	Log      log.Handover
	Sessions session.Handover // entries leave sessions out; the numbers come once more, behind them
	Past     past
}

// sessions are the numbers of connections.
type sessions struct {
	IDs     session.Handover
	Counter uint64
	Stayed  int   // connections that are not handed over
	Frozen  int64 // since when clients wait: the monotonic clock of the machine, in nanoseconds
}

// rests are those of the connections of a loop, which follow.
type rests struct {
	Loop     int
	Rests    [][]byte
	Exported int64 // the monotonic clock of the machine, in nanoseconds
	Life     loop.LifeState
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

// stream is the values of one room: gob describes their types in the first one only.
type stream struct {
	buffer  bytes.Buffer
	encoder *gob.Encoder
	decoder *gob.Decoder
}

// encode returns the next value; its memory is the caller's.
func (s *stream) encode(v any) ([]byte, error) {
	if s.encoder == nil {
		s.encoder = gob.NewEncoder(&s.buffer)
	}
	s.buffer.Reset()
	if err := s.encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.Clone(s.buffer.Bytes()), nil
}

// decode reads the next value.
func (s *stream) decode(data []byte, to any) error {
	if s.decoder == nil {
		s.decoder = gob.NewDecoder(&s.buffer)
	}
	s.buffer.Write(data)
	if err := s.decoder.Decode(to); err != nil {
		return err
	}
	if s.buffer.Len() > 0 {
		return fmt.Errorf("%d bytes too many", s.buffer.Len())
	}
	return nil
}

// streams are those of all rooms.
type streams map[string]*stream

func (s streams) of(room string) *stream {
	if s[room] == nil {
		s[room] = &stream{}
	}
	return s[room]
}

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
	streams streams
	offered log.Handover
	paused  log.Handover
	names   carriers
	state   loop.GroupState
	batches [][]uint64          // sessions, in the order in which they were sent
	stay    map[uint64]struct{} // sessions that the new process cannot go on with
	frozen  int64               // monotonic
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

// describing begins the names of rooms with an empty value, which is not to be taken: gob describes and compiles the types of
// a stream with the first value, and clients do not have to wait for that.
const describing = "describing "

func (h *handing) warm(to func(upgrade.Part) error) error {
	values := map[string]any{
		roomPaused: &log.Handover{}, roomEntries: &log.Packed{}, roomIdempotency: &idempotency.Part{}, roomBans: &ban.Part{}, roomRevocations: &revoke.Part{},
		roomControl: &control.Handover{}, roomWebhooks: &webhook.Part{}, roomPresence: &presence.Part{}, roomSessions: &sessions{}, roomRests: &rests{},
	}
	if h.server.cluster != nil {
		values[roomMembers], values[roomCounts], values[roomNode] = &presence.ClusterPart{}, &counts.Part{}, &cluster.Handover{}
	}
	for i := range h.server.config.Loop.Loops {
		values[roomOfLoop(i)] = &conns{}
	}
	for _, room := range slices.Sorted(maps.Keys(values)) {
		data, err := h.streams.of(room).encode(values[room])
		if err != nil {
			return fmt.Errorf("%s: %w", room, err)
		}
		if err := to(upgrade.Part{Room: describing + room, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// Freeze implements upgrade.Old.
func (h *handing) Freeze(ctx context.Context) (head uint64, err error) {
	h.frozen = monotonic()
	h.server.shutGates()
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

// tables sends what is not in the log.
func (h *handing) tables(ctx context.Context, to func(upgrade.Part) error) error {
	s := h.server
	steps := []func() error{
		func() error { return s.keys.HandOver(send[idempotency.Part](h, roomIdempotency, to)) },
		func() error { return s.bans.HandOver(send[ban.Part](h, roomBans, to)) },
		func() error { return s.revoked.HandOver(send[revoke.Part](h, roomRevocations, to)) },
		func() error {
			orders, err := s.orders.HandOver()
			if err != nil {
				return err
			}
			return send[control.Handover](h, roomControl, to)(&orders)
		},
		func() error { return s.hooks.HandOver(ctx, send[webhook.Part](h, roomWebhooks, to)) },
		func() error { return s.presence.HandOver(send[presence.Part](h, roomPresence, to)) },
		func() error {
			if s.cluster == nil {
				return nil
			}
			return h.node(to)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// node sends what a node knows of the others, and they of it.
func (h *handing) node(to func(upgrade.Part) error) error {
	s := h.server
	if err := s.presence.Cluster().HandOver(send[presence.ClusterPart](h, roomMembers, to)); err != nil {
		return err
	}
	if err := s.counts.HandOver(send[counts.Part](h, roomCounts, to)); err != nil {
		return err
	}
	node := s.cluster.HandOver()
	return send[cluster.Handover](h, roomNode, to)(&node)
}

// export exports the connections, and sends what they have in common.
func (h *handing) export(ctx context.Context, to func(upgrade.Part) error) (err error) {
	s := h.server
	if h.state, err = s.loops.Export(ctx, h.names); err != nil {
		return err
	}
	if err := send[sessions](h, roomSessions, to)(&sessions{s.sessions.HandOver(), h.state.Sessions, h.stays(), h.frozen}); err != nil {
		return err
	}
	now := monotonic()
	for i := range h.state.Loops {
		if err := send[rests](h, roomRests, to)(&rests{i, h.state.Loops[i].Rests, now, h.state.Loops[i].Life}); err != nil {
			return err
		}
	}
	return nil
}

// Connections implements upgrade.Old.
func (h *handing) Connections(_ context.Context, to func(upgrade.Batch) error) error {
	left := make([][]loop.ConnState, len(h.state.Loops))
	more := false
	for i := range left {
		left[i] = h.state.Loops[i].Conns
		more = more || len(left[i]) > 0
	}
	for more {
		more = false
		room := upgrade.MostDescriptors
		var batch []conns
		for i := range left {
			n := min(len(left[i]), room/(len(left)-i)) // what a loop does not need is for the others
			room -= n
			if n > 0 {
				batch = append(batch, conns{i, left[i][:n]})
			}
			left[i] = left[i][n:]
			more = more || len(left[i]) > 0
		}
		if err := h.sendBatch(batch, to); err != nil {
			return err
		}
	}
	return nil
}

// sendBatch sends connections of several loops, which are encoded at a time.
func (h *handing) sendBatch(batch []conns, to func(upgrade.Batch) error) error {
	var all sync.WaitGroup
	parts, errs := make([][]byte, len(batch)), make([]error, len(batch))
	for i := range batch {
		of := h.streams.of(roomOfLoop(batch[i].Loop))
		all.Go(func() { parts[i], errs[i] = of.encode(&batch[i]) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var b upgrade.Batch
	var sent []uint64
	for i := range batch {
		b.Data = binary.AppendUvarint(b.Data, uint64(batch[i].Loop))
		b.Data = binary.AppendUvarint(b.Data, uint64(len(batch[i].Conns)))
		b.Data = binary.AppendUvarint(b.Data, uint64(len(parts[i])))
		b.Data = append(b.Data, parts[i]...)
		for j := range batch[i].Conns {
			b.Descriptors = append(b.Descriptors, int(batch[i].Conns[j].Socket))
			sent = append(sent, batch[i].Conns[j].Session)
		}
	}
	h.batches = append(h.batches, sent)
	return to(b)
}

// roomOfLoop is the stream of the connections of a loop.
func roomOfLoop(loop int) string { return roomConnections + strconv.Itoa(loop) }

// Left implements upgrade.Old.
func (h *handing) Left(batch int, places []int) {
	for _, place := range places {
		if all := h.batches[batch]; place >= 0 && place < len(all) {
			h.stay[all[place]] = struct{}{}
		}
	}
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
	h.log.Resume()
	h.server.loops.Thaw()
	h.server.reopenGates()
}

// Leave implements upgrade.Old.
func (h *handing) Leave() {
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

// part says good-bye to the connections that stay, when another process has taken over: they are told to come back there,
// at the rate of a drain.
func (s *Server) part() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.drainNs.Load()))
	defer cancel()
	s.loops.Drain(ctx)
}
