package server

import (
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"time"

	"peal/loop"
	"peal/server/upgrade"
)

// arriving are the connections of a batch that come from one loop.
type arriving struct {
	loop        int // of the other process
	data        []byte
	first       int // the place of the first one in the batch
	descriptors []int
	stream      *stream

	left    []int // places in the batch
	refused error // why
	err     error // this process cannot go on
}

// Adopt implements upgrade.New. The loops take their connections at a time.
func (t *taking) Adopt(b upgrade.Batch) (left []int, err error) {
	all, err := t.split(&b)
	if err == nil && !t.serving {
		err = errors.New("connections came before the log")
	}
	if err != nil {
		closeAll(b.Descriptors)
		return nil, err
	}
	var loops sync.WaitGroup
	for on := range t.c.Loop.Loops {
		loops.Go(func() {
			for i := range all {
				if all[i].loop%t.c.Loop.Loops == on {
					t.adoptOn(on, &all[i])
				}
			}
		})
	}
	loops.Wait()
	var refusals, errs []error
	for i := range all {
		left = append(left, all[i].left...)
		refusals, errs = append(refusals, all[i].refused), append(errs, all[i].err)
	}
	if len(left) > 0 {
		t.config.Log.Warn("connections stay with the old process, which tells them to come back", "connections", len(left), "reason", errors.Join(refusals...))
	}
	t.upgrades.adopted(len(b.Descriptors)-len(left), len(left))
	return left, errors.Join(errs...)
}

// split divides a batch.
func (t *taking) split(b *upgrade.Batch) (all []arriving, err error) {
	rest, first := b.Data, 0
	number := func() (n int) {
		v, bytes := binary.Uvarint(rest)
		if bytes <= 0 || v > math.MaxInt32 {
			rest, err = nil, errBatch
			return 0
		}
		rest = rest[bytes:]
		return int(v)
	}
	for len(rest) > 0 {
		a := arriving{loop: number(), first: first}
		count, length := number(), number()
		if err != nil || length > len(rest) || count > len(b.Descriptors)-first {
			return nil, errBatch
		}
		a.data, rest = rest[:length], rest[length:]
		a.descriptors = b.Descriptors[first : first+count]
		a.stream = t.streams.of(roomOfLoop(a.loop))
		first += count
		all = append(all, a)
	}
	if first != len(b.Descriptors) {
		return nil, errBatch
	}
	return all, nil
}

var errBatch = errors.New("a batch of connections is damaged")

// adoptOn has a loop take connections.
func (t *taking) adoptOn(on int, a *arriving) {
	var of conns
	err := a.stream.decode(a.data, &of)
	if err != nil || len(of.Conns) != len(a.descriptors) {
		closeAll(a.descriptors)
		a.err = errors.Join(errBatch, err)
		return
	}
	for i := range of.Conns {
		of.Conns[i].Socket = int32(a.descriptors[i])
	}
	r := t.rests[a.loop]
	in := loop.Incoming{Names: t.names, Rests: r.Rests, Passed: time.Duration(monotonic() - r.Exported)}
	_, err = t.loops.ImportOn(on, in, of.Conns)
	if err != nil && !errors.Is(err, loop.ErrConn) {
		a.err = err
		return
	}
	a.refused = err
	for i := range of.Conns {
		if of.Conns[i].Socket < 0 {
			a.left = append(a.left, a.first+i)
		}
	}
}
