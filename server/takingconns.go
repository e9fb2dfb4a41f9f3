package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"peal/loop"
	"peal/server/upgrade"
)

// arriving are connections of a batch that come from one loop: a segment.
type arriving struct {
	form        int
	loop        int // of the other process
	count       int
	data        []byte
	first       int // the place of the first one in the batch
	descriptors []int
	stream      *stream
	ahead       *expected // of that loop

	left    []int // places in the batch
	refused error // why
	err     error // this process cannot go on
}

// expected are the connections of one loop of the other process that it has described while it served on.
type expected struct {
	conns []loop.ConnState
	taken []bool // the connection has come
}

// Expect implements upgrade.New.
func (t *taking) Expect(b upgrade.Batch) error {
	all, err := t.split(&b)
	if err == nil && t.serving {
		err = errors.New("connections came ahead, behind the log")
	}
	if err != nil {
		closeAll(b.Descriptors)
		return err
	}
	for i := range all {
		if a := &all[i]; a.form == formAhead {
			t.expect(a)
		} else {
			closeAll(a.descriptors)
			a.err = errBatch
		}
	}
	return failures(all)
}

// expect notes connections of one loop, whose sockets are polled on the loop that will have them.
func (t *taking) expect(a *arriving) {
	of, err := a.conns()
	if err != nil {
		closeAll(a.descriptors)
		a.err = err
		return
	}
	for i := range of.Conns {
		of.Conns[i].Socket = int32(a.descriptors[i])
	}
	on := a.loop % t.c.Loop.Loops
	a.err = t.loops.Expect(on, t.fronts[on], of.Conns)
	a.ahead.conns = append(a.ahead.conns, of.Conns...)
	a.ahead.taken = append(a.ahead.taken, make([]bool, len(of.Conns))...)
}

// forgetExpected closes the sockets of connections that have ended since, or stay.
func (t *taking) forgetExpected() {
	for _, e := range t.ahead {
		for i, taken := range e.taken {
			if !taken {
				closeAll([]int{int(e.conns[i].Socket)})
				e.taken[i] = true
			}
		}
	}
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
	var refusals []error
	for i := range all {
		left, refusals = append(left, all[i].left...), append(refusals, all[i].refused)
	}
	if len(left) > 0 {
		t.config.Log.Warn("connections stay with the old process, which tells them to come back", "connections", len(left), "reason", errors.Join(refusals...))
	}
	t.upgrades.adopted(b.Connections-len(left), len(left))
	return left, failures(all)
}

func failures(all []arriving) error {
	var errs []error
	for i := range all {
		errs = append(errs, all[i].err)
	}
	return errors.Join(errs...)
}

// split divides a batch.
func (t *taking) split(b *upgrade.Batch) (all []arriving, err error) {
	rest, first, descriptors := b.Data, 0, b.Descriptors
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
		a := arriving{form: number(), loop: number(), count: number(), first: first}
		own, length := number(), number()
		if err != nil || a.form >= forms || length > len(rest) || a.count > b.Connections-first || own > len(descriptors) || own > a.count {
			return nil, errBatch
		}
		a.data, rest = rest[:length], rest[length:]
		a.descriptors, descriptors = descriptors[:own], descriptors[own:]
		a.stream = t.streams.of(roomOfLoop(a.loop))
		if a.ahead = t.ahead[a.loop]; a.ahead == nil {
			a.ahead = &expected{}
			t.ahead[a.loop] = a.ahead
		}
		first += a.count
		all = append(all, a)
	}
	if first != b.Connections || len(descriptors) > 0 {
		return nil, errBatch
	}
	return all, nil
}

var errBatch = errors.New("a batch of connections is damaged")

// conns decodes a segment that has conns.
func (a *arriving) conns() (of conns, err error) {
	if err = a.stream.decode(a.data, &of); err != nil {
		return of, fmt.Errorf("%w: %w", errBatch, err)
	}
	without := 0
	for _, place := range of.Ahead {
		if place > 0 {
			without++
		}
	}
	if len(of.Conns) != a.count || len(a.descriptors) != a.count-without || len(of.Ahead) > a.count {
		return of, errBatch
	}
	return of, nil
}

// place takes the place of a connection that was described ahead.
func (e *expected) place(at uint64) (*loop.ConnState, error) {
	if at >= uint64(len(e.conns)) || e.taken[at] {
		return nil, fmt.Errorf("%w: a connection that was sent ahead comes twice, or never came", errBatch)
	}
	e.taken[at] = true
	return &e.conns[at], nil
}

// changed are the connections of a segment of changes, as they are now.
func (a *arriving) changed() (all []*loop.ConnState, err error) {
	rest := a.data
	for range a.count {
		at, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, errBatch
		}
		c, err := a.ahead.place(at)
		if err != nil {
			return nil, err
		}
		if rest, err = c.Change(rest[n:]); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(rest) > 0 || len(a.descriptors) > 0 {
		return nil, errBatch
	}
	return all, nil
}

// whole are the connections of a segment that says all.
func (a *arriving) whole() (all []*loop.ConnState, err error) {
	of, err := a.conns()
	if err != nil {
		return nil, err
	}
	next := 0
	for i := range of.Conns {
		c := &of.Conns[i]
		if i < len(of.Ahead) && of.Ahead[i] > 0 {
			place, err := a.ahead.place(uint64(of.Ahead[i] - 1))
			if err != nil {
				return nil, err
			}
			c.TakePlace(place)
		} else {
			c.Socket = int32(a.descriptors[next])
			next++
		}
		all = append(all, c)
	}
	return all, nil
}

// adoptOn has a loop take connections.
func (t *taking) adoptOn(on int, a *arriving) {
	var all []*loop.ConnState
	var err error
	switch a.form {
	case formChanges:
		all, err = a.changed()
	case formWhole:
		all, err = a.whole()
	default:
		err = errBatch
	}
	if err != nil {
		closeAll(a.descriptors)
		a.err = err
		return
	}
	r := t.rests[a.loop]
	in := loop.Incoming{Names: t.names, Rests: r.Rests, Passed: time.Duration(monotonic() - r.Exported)}
	_, err = t.loops.ImportOn(on, in, all)
	if err != nil && !errors.Is(err, loop.ErrConn) {
		a.err = err
		return
	}
	a.refused = err
	for i, c := range all {
		if c.Socket < 0 {
			a.left = append(a.left, a.first+i)
		}
	}
}
