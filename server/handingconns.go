package server

import (
	"context"
	"encoding/binary"
	"strconv"

	"peal/loop"
	"peal/server/upgrade"
)

// Connections go in two rounds. Ahead describes them while the server serves on; behind the freeze most of
// them differ in their positions and times only, and a change of some bytes says that.

// Forms of a segment: what some connections of one loop are.
const (
	formAhead   = iota // conns, as they are while the server serves on
	formChanges        // for each one the place among those ahead, and a loop.ConnState.AppendChange
	formWhole          // conns
	forms
)

// segment is a part of a batch: a form, a loop, how many connections and descriptors there are, and a
// length (all uvarint), and then the data.
type segment struct {
	form, loop  int
	data        []byte
	sessions    []uint64
	descriptors []int
}

// Ahead implements upgrade.Old.
func (h *handing) Ahead(ctx context.Context, to func(upgrade.Batch) error) (err error) {
	h.ahead, err = h.server.loops.Ahead(ctx, h.names, func(i int, some []loop.ConnState, sockets []int) error {
		s, err := h.whole(formAhead, i, some, nil)
		if err != nil {
			return err
		}
		s.descriptors = sockets // some of the connections may have ended
		return to(batchOf([]segment{s}))
	})
	return err
}

// Connections implements upgrade.Old.
func (h *handing) Connections(_ context.Context, to func(upgrade.Batch) error) error {
	loops := h.state.Loops
	for n, more := 0, true; more; n++ {
		var batch []segment
		for i := range loops {
			if n < len(loops[i].Changed) {
				c := &loops[i].Changed[n]
				batch = append(batch, segment{form: formChanges, loop: i, data: c.Data, sessions: c.Sessions})
			}
		}
		if more = len(batch) > 0; more {
			if err := h.sendBatch(batch, to); err != nil {
				return err
			}
		}
	}
	left := make([]int, len(loops)) // where the rest of Conns begins
	for {
		room := upgrade.MostDescriptors
		var batch []segment
		for i := range left {
			l := &loops[i]
			n := min(len(l.Conns)-left[i], room/(len(left)-i)) // what a loop does not need is for the others
			if n == 0 {
				continue
			}
			s, err := h.whole(formWhole, i, l.Conns[left[i]:left[i]+n], l.Ahead[left[i]:left[i]+n])
			if err != nil {
				return err
			}
			room, left[i] = room-n, left[i]+n
			batch = append(batch, s)
		}
		if len(batch) == 0 {
			return nil
		}
		if err := h.sendBatch(batch, to); err != nil {
			return err
		}
	}
}

// whole is a segment of connections as they are; ahead is 1 + the place of each among those that were sent ahead, 0 for none.
func (h *handing) whole(form, i int, some []loop.ConnState, ahead []int) (s segment, err error) {
	s = segment{form: form, loop: i}
	if s.data, err = h.streams.of(roomOfLoop(i)).encode(&conns{i, some, ahead}); err != nil {
		return s, err
	}
	for j := range some {
		s.sessions = append(s.sessions, some[j].Session)
		if ahead == nil || ahead[j] == 0 {
			s.descriptors = append(s.descriptors, int(some[j].Socket))
		}
	}
	return s, nil
}

// batchOf joins segments.
func batchOf(all []segment) (b upgrade.Batch) {
	for _, s := range all {
		for _, n := range [...]int{s.form, s.loop, len(s.sessions), len(s.descriptors), len(s.data)} {
			b.Data = binary.AppendUvarint(b.Data, uint64(n))
		}
		b.Data = append(b.Data, s.data...)
		b.Descriptors = append(b.Descriptors, s.descriptors...)
		b.Connections += len(s.sessions)
	}
	return b
}

// sendBatch sends segments, and remembers whose they are.
func (h *handing) sendBatch(all []segment, to func(upgrade.Batch) error) error {
	var sent []uint64
	for _, s := range all {
		sent = append(sent, s.sessions...)
	}
	h.batches = append(h.batches, sent)
	return to(batchOf(all))
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
