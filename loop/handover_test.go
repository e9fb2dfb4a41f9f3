package loop_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/loop/ring"
)

// testNames are the names of what the tests' encoder numbers.
type testNames struct{}

var encodingNames = []string{wsRaw: "raw", wsJSON: "json", eventStream: "events", parkedLine: "poll"}

func (testNames) EncodingName(k ring.Encoding) string { return encodingNames[k] }
func (testNames) EncodingOf(name string) (ring.Encoding, bool) {
	i := slices.Index(encodingNames, name)
	return ring.Encoding(max(i, 0)), i >= 0
}
func (testNames) OriginName(uint16) string            { return "" }
func (testNames) OriginOf(name string) (uint16, bool) { return 0, name == "" }

var _ loop.Mover = front{}

func (f front) Export(session uint64, dst []byte) ([]byte, bool) {
	return fmt.Appendf(dst, "session %d", session), !f.declines.Load()
}

func (f front) Mark(session uint64) any            { return session }
func (f front) Same(session uint64, mark any) bool { return mark == any(session) && !f.declines.Load() }
func (f front) Read(data []byte) (any, error)      { return string(data), nil }

func (f front) Import(c loop.Client, moved any) error {
	if moved != fmt.Sprint("session ", c.Session()) {
		return fmt.Errorf("session %d was handed over with %q", c.Session(), moved)
	}
	f.carried.add(c.Session())
	return nil
}

// successor is a log as it is for the process that comes next: its ring begins at the head.
func (j *journal) successor() *journal {
	j.lock.Lock()
	defer j.lock.Unlock()
	r, err := ring.New(4096, 1<<30, j.sequence)
	if err != nil {
		panic(err)
	}
	next := &journal{ring: r, keep: j.keep, sequence: j.sequence, lost: j.lost, channels: map[string]*past{}, joined: map[string]int{}}
	for name, p := range j.channels {
		q := &past{discarded: p.discarded}
		for _, m := range p.messages {
			q.messages = append(q.messages, &ring.Message{Sequence: m.Sequence, Channel: m.Channel, Size: m.Size, Entry: m.Entry})
		}
		next.channels[name] = q
	}
	return next
}

func plaintextOnly(t testing.TB) {
	t.Helper()
	if everythingOverTLS {
		t.Skip("not over TLS")
	}
}

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// freeze describes the connections, and stops the loops, until nothing is sent.
func (s *server) freeze() {
	s.t.Helper()
	s.describe()
	s.stop()
}

func (s *server) describe() {
	s.t.Helper()
	var err error
	if s.ahead, err = s.group.Ahead(patient(s.t), testNames{}, func(_ int, some []loop.ConnState, sockets []int) error {
		if len(some) != len(sockets) {
			return fmt.Errorf("%d connections have %d sockets", len(some), len(sockets))
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) stop() {
	s.t.Helper()
	ctx := patient(s.t)
	if err := s.group.Freeze(ctx); err != nil {
		s.t.Fatal(err)
	}
	if err := s.group.Settle(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// export returns what a frozen server hands over, as the next process reads it.
func (s *server) export() (state loop.GroupState) {
	s.t.Helper()
	whole, err := s.group.Export(patient(s.t), testNames{}, nil)
	if err == nil {
		err = travel(whole, &state)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.judgeChanges(&state)
	return state
}

// travel passes v on as from one process to the next.
func travel(v, to any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	return gob.NewDecoder(&b).Decode(to)
}

// judgeChanges: what was described ahead, with what has changed since, is what the connections are now.
func (s *server) judgeChanges(whole *loop.GroupState) {
	s.t.Helper()
	given, err := s.group.Export(patient(s.t), testNames{}, s.ahead)
	var state loop.GroupState
	var ahead [][]loop.ConnState
	if err := errors.Join(err, travel(given, &state), travel(s.ahead, &ahead)); err != nil {
		s.t.Fatal(err)
	}
	for i := range state.Loops {
		one := &state.Loops[i]
		now := map[uint64]loop.ConnState{}
		for _, some := range one.Changed {
			rest := some.Data
			for _, session := range some.Sessions {
				place, n := binary.Uvarint(rest)
				h := &ahead[i][place]
				if rest, err = h.Change(rest[n:]); err != nil || h.Session != session {
					s.t.Fatalf("session %d has changed as session %d, %v", session, h.Session, err)
				}
				now[session] = *h
				s.changed++
			}
		}
		for j, h := range one.Conns {
			if at := one.Ahead[j]; at > 0 && ahead[i][at-1].Session != h.Session {
				s.t.Fatalf("session %d is session %d ahead", h.Session, ahead[i][at-1].Session)
			}
			now[h.Session] = h
		}
		if len(now) != len(whole.Loops[i].Conns) {
			s.t.Errorf("%d connections are left of %d", len(now), len(whole.Loops[i].Conns))
		}
		for _, want := range whole.Loops[i].Conns {
			got := now[want.Session]
			got.Timer, got.Deadline, got.Silent, got.Began = want.Timer, want.Deadline, want.Silent, want.Began // time goes on between both
			if !reflect.DeepEqual(got, want) {
				s.t.Errorf("session %d became\n%+v\ninstead of\n%+v", want.Session, got, want)
			}
		}
	}
}

// next prepares the server that comes next, on the same listener and log.
func (s *server) next(o options) *server {
	s.t.Helper()
	o.journal = s.journal.successor()
	o.listen = func(t testing.TB) (int, net.Addr) {
		fd, err := loop.Inherit(s.listens)
		if err != nil {
			t.Fatal(err)
		}
		return fd, s.addr
	}
	return prepare(s.t, o)
}

// takeOver gives a server copies of the sockets in state, with what they are.
func (s *server) takeOver(state loop.GroupState) (taken int, err error) {
	s.t.Helper()
	s.group.ContinueSessions(state.Sessions)
	var errs []error
	for i, one := range state.Loops {
		errs = append(errs, s.group.ImportLife(patient(s.t), i, loop.Incoming{Names: testNames{}}, one.Life))
		for i := range one.Conns {
			fd, err := unix.FcntlInt(uintptr(one.Conns[i].Socket), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				s.t.Fatal(err)
			}
			one.Conns[i].Socket = int32(fd)
		}
		n, err := s.group.Import(patient(s.t), loop.Incoming{Names: testNames{}, Rests: one.Rests}, one.Conns)
		taken += n
		errs = append(errs, err)
	}
	return taken, errors.Join(errs...)
}

// freezeWhen freezes the server when what it hands over is as wanted; else it goes on for a while.
func (s *server) freezeWhen(what string, wanted func(all []loop.ConnState) bool) loop.GroupState {
	s.t.Helper()
	var state loop.GroupState
	s.await(what, func() bool {
		s.freeze()
		state = s.export()
		var all []loop.ConnState
		for _, one := range state.Loops {
			all = append(all, one.Conns...)
		}
		if wanted(all) {
			return true
		}
		s.group.Thaw()
		return false
	})
	return state
}

// count is how many connections are as wanted.
func count(all []loop.ConnState, wanted func(h *loop.ConnState) bool) (n int) {
	for i := range all {
		if wanted(&all[i]) {
			n++
		}
	}
	return n
}

func withInput(h *loop.ConnState) bool { return len(h.Input) > 0 }
func withLane(h *loop.ConnState) bool  { return h.Receives.Waits }

// handOver has the next server go on with all connections of a frozen one.
func (s *server) handOver(o options) *server {
	s.t.Helper()
	state, n := s.export(), s.next(o)
	taken, err := n.takeOver(state)
	if want := s.sum(connections); err != nil || taken != want {
		s.t.Fatalf("%d of %d connections were taken over, error %v", taken, want, err)
	}
	s.group.Abandon(patient(s.t))
	n.run()
	return n
}
