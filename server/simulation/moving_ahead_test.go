package simulation_test

import (
	"context"
	"encoding/binary"
	"reflect"
	"testing/synctest"

	"peal/loop"
)

// In most hand-overs, connections are described while the world goes on, and what has changed of them says the rest.

// turn runs the loops until done has something.
func (m *moving) turn(done <-chan error) {
	for m.w.failure == "" {
		synctest.Wait()
		select {
		case err := <-done:
			m.must(err)
			return
		default:
		}
		for _, k := range m.w.machine.kernels {
			k.step(false)
			synctest.Wait() // what waits for it goes on before the next one does
		}
	}
}

// describe describes the connections as they are now.
func (m *moving) describe() {
	m.w.note("connections are described ahead")
	m.w.machine.shared = true
	done := make(chan error, 1)
	go func() { // ends with Ahead
		var err error
		m.ahead, err = m.w.group.Ahead(context.Background(), m.w.names, func(int, []loop.ConnState, []int) error { return nil })
		done <- err
	}()
	m.turn(done)
	m.must(recode(m.ahead, &m.there))
}

// export exports the connections, on the loops that are still.
func (m *moving) export() {
	g, w := m.w.group, m.w
	var state loop.GroupState
	for i, of := range []*loop.GroupState{&m.state, &state} {
		done := make(chan error, 1)
		go func() { // ends with the export
			var err error
			*of, err = g.Export(context.Background(), w.names, [][][]loop.ConnState{nil, m.ahead}[i])
			done <- err
		}()
		m.turn(done)
	}
	if m.ahead == nil || w.failure != "" {
		return
	}
	for i := range state.Loops {
		now := m.amend(i, &state.Loops[i])
		all := m.state.Loops[i].Conns
		if len(now) != len(all) {
			w.fail("hand-over: %d connections are left of %d", len(now), len(all))
			return
		}
		for j := range all {
			var want loop.ConnState
			m.must(recode(&all[j], &want))
			got := now[want.Session]
			if !reflect.DeepEqual(got, want) {
				w.fail("hand-over: by changes, a connection becomes\n%+v\ninstead of\n%+v", got, want)
			}
		}
	}
}

// amend returns the connections of loop i, of what was described ahead and what has changed.
func (m *moving) amend(i int, s *loop.LoopState) map[uint64]loop.ConnState {
	now := map[uint64]loop.ConnState{}
	for _, some := range s.Changed {
		rest := some.Data
		for _, session := range some.Sessions {
			place, n := binary.Uvarint(rest)
			var h loop.ConnState
			m.must(recode(&m.there[i][place], &h))
			var err error
			rest, err = h.Change(rest[n:])
			m.must(err)
			if h.Session != session {
				m.w.fail("hand-over: a change of session %d is applied to session %d", session, h.Session)
			}
			now[session] = h
			m.w.counts[amended]++
		}
	}
	for j, h := range s.Conns {
		if at := s.Ahead[j]; at > 0 && m.there[i][at-1].Session != h.Session {
			m.w.fail("hand-over: session %d takes the place of session %d", h.Session, m.there[i][at-1].Session)
		}
		var there loop.ConnState
		m.must(recode(&h, &there))
		now[h.Session] = there
	}
	return now
}
