package hub_test

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/log/memory"
	"peal/server/rules"
)

// process is a log in memory with its hub.
type process struct {
	*hub.Hub
	log interface {
		log.Outgoing
		log.Incoming
	}
}

// TestAMemoryLogIsHandedOverWhileItIsUsed: publishers and subscribers come and go during the hand-over, and at its end the successor
// resolves every cursor, and tells every gap, as the process before.
func TestAMemoryLogIsHandedOverWhileItIsUsed(t *testing.T) {
	config := hub.Config{TotalBytes: 400_000, ForgottenBytes: 1 << 20,
		Rules: rules.New([]rules.Rule{{Match: "*7", HistoryMessages: -1, HistoryBytes: 1 << 20, HistoryAge: time.Hour}}, rules.Rule{HistoryMessages: 5, HistoryBytes: 1 << 20, HistoryAge: time.Hour})}
	open := func(l interface {
		log.Outgoing
		log.Incoming
	}) *process {
		h := hub.New(config, noRing{}, nothing, time.Now)
		h.RecordOrder()
		return &process{h, l}
	}
	now := open(memory.Open(time.Now))
	if err := now.log.Start(log.Tails{now.Hub}, nil); err != nil {
		t.Fatal(err)
	}
	joined := map[string]int{}
	for range 3 {
		now = goOn(t, now, joined, open)
	}
}

// goOn hands over once. joined are the subscribers there are.
func goOn(t *testing.T, old *process, joined map[string]int, open func(l interface {
	log.Outgoing
	log.Incoming
}) *process) (next *process) {
	t.Helper()
	name := func(r *rand.Rand) string { return fmt.Sprint("channel-", r.IntN(900)) }
	var mu sync.Mutex
	published := 0
	stop := make(chan struct{})
	var running, subscribers sync.WaitGroup
	for k := range 3 {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 1))
			for {
				e := &log.Entry{Channel: name(r), Data: make([]byte, r.IntN(100))}
				batch := []*log.Entry{e}
				switch r.IntN(6) {
				case 0:
					e.Also = []string{name(r)}
				case 1:
					e.Exclude = &[16]byte{1}
				case 2:
					batch = append(batch, &log.Entry{Channel: name(r), Data: e.Data})
					log.Share(batch)
				case 3:
					e.Kind = log.KindPresence
				}
				done := make(chan error, 1)
				err := old.log.Append(batch, func(err error) { done <- err })
				if err == nil {
					err = <-done
				}
				if errors.Is(err, log.ErrClosed) {
					return // the process before has ended
				} else if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				published++
				mu.Unlock()
				if r.IntN(50) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	subscribers.Go(func() { // until the loops stop
		r := rand.New(rand.NewPCG(9, 1))
		for {
			select {
			case <-stop:
				return
			default:
			}
			at := name(r)
			if joined[at] > 0 && r.IntN(2) == 0 {
				old.Leave(at)
				joined[at]--
			} else {
				old.Join(at)
				joined[at]++
			}
			old.Read(nil, name(r), 0, all, all, all)
		}
	})
	more := func() {
		mu.Lock()
		want := published + 1500
		mu.Unlock()
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			got := published
			mu.Unlock()
			if got >= want {
				return
			}
			if time.Now().After(end) {
				t.Fatal("a minute, and nothing more is published")
			}
		}
	}
	more()
	offered, err := old.log.Offer()
	if err != nil {
		t.Fatal(err)
	}
	l, err := memory.Succeed(time.Now, offered)
	if err != nil {
		t.Fatal(err)
	}
	next = open(l)
	changes := old.HandOver()
	next.Succeed(l.Oldest(), l.Head())
	take := func() {
		if err := changes.Changes(next.Import); err != nil {
			t.Fatal(err)
		}
	}
	more()
	take()
	more()
	if err := l.Prepare(retained(old, 0, offered.Head), next.Restore); err != nil {
		t.Fatal(err)
	}
	more()
	take() // again, behind its entries
	close(stop)
	subscribers.Wait()
	paused, err := old.log.Pause(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	take()
	if err := l.CatchUp(paused, retained(old, offered.Head, paused.Head), next.Restore); err != nil {
		t.Fatal(err)
	}
	if err := old.log.Release(); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	for at, n := range joined {
		for range n {
			next.Join(at)
		}
	}
	next.Settle()
	if err := l.Begin(log.Tails{next.Hub}); err != nil {
		t.Fatal(err)
	}
	compare(t, old, next)
	return next
}

// retained are what the process before retains, as another one has it.
func retained(from *process, after, upto uint64) log.Batches {
	return log.Batches(iter.Seq2[[]*log.Entry, error](func(yield func([]*log.Entry, error) bool) {
		stop := errors.New("stop")
		err := from.log.EachRetained(after, upto, func(batch []*log.Entry) error {
			if !yield(log.Pack(batch).Unpack()) {
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			yield(nil, err)
		}
	}))
}

func compare(t *testing.T, old, next *process) {
	t.Helper()
	head := old.log.Head()
	for sequence := range head + 1 {
		c := old.log.Lineage().Cursor(sequence)
		if got, ok := next.log.Resolve(c); !ok || got != sequence || next.log.Lineage().Cursor(sequence) != c {
			t.Fatalf("position %d was called %v, which is %d, %v, and is called %v", sequence, c, got, ok, next.log.Lineage().Cursor(sequence))
		}
	}
	if _, ok := next.log.Resolve(log.Cursor{Epoch: old.log.Lineage().Epoch(), Sequence: head + 1}); ok {
		t.Error("a cursor beyond the hand-over resolves in the epoch before")
	}
	for i := range 900 {
		for _, name := range []string{fmt.Sprint("channel-", i), fmt.Sprint(log.PresencePrefix, "channel-", i)} {
			want, discarded, _ := old.Read(nil, name, 0, all, all, all)
			got, gone, _ := next.Read(nil, name, 0, all, all, all)
			if gone != discarded || !slices.EqualFunc(got, want, func(a, b *ring.Message) bool { return a.Sequence == b.Sequence && a.Size == b.Size }) {
				t.Fatalf("%s: it has %v behind %d, want %v behind %d", name, list(got), gone, list(want), discarded)
			}
			left := func(x *ring.Exclusion) bool { return x.ID == [16]byte{1} }
			if a, _ := next.Concerns(name, gone, left); true {
				if b, _ := old.Concerns(name, gone, left); a != b {
					t.Fatalf("%s: of the gap, %d remains for a session, want %d", name, a, b)
				}
			}
			if next.Subscribers(name) != old.Subscribers(name) {
				t.Fatalf("%s has %d subscribers, want %d", name, next.Subscribers(name), old.Subscribers(name))
			}
		}
	}
	match := func(name string) bool { return len(name)%2 == 0 }
	for after := uint64(0); after <= head; after += 1 + head/50 {
		want, discarded, _, _ := old.Since(nil, match, after, head, all, all, all)
		got, gone, _, _ := next.Since(nil, match, after, head, all, all, all)
		if gone != discarded || !slices.Equal(list(got), list(want)) {
			t.Fatalf("a matcher after %d has %d messages behind %d, want %d behind %d", after, len(got), gone, len(want), discarded)
		}
	}
	a, b := next.Stats(), old.Stats()
	if a.Evicted, b.Evicted = 0, 0; a != b {
		t.Errorf("%+v, want %+v", a, b)
	}
	if a.Forgotten == 0 || a.Messages == 0 {
		t.Errorf("too little happens: %+v", a)
	}
}
