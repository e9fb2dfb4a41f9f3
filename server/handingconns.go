package server

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"sync"

	"peal/loop"
	"peal/server/upgrade"
)

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
