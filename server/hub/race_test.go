package hub_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/log/memory"
)

// TestReadersKeepUpWithParallelAppends runs the memory engine, publishers,
// readers, subscribers who come and go, sweeps and queries all at once. Each
// publisher counts in its own channels; a reader must see every number in
// order, or a gap that covers what it misses.
func TestReadersKeepUpWithParallelAppends(t *testing.T) {
	const publishers, channels, each = 4, 3, 1000
	h := hub.New(hub.Config{Limits: hub.Limits{Messages: 300, Age: 100 * time.Millisecond}, TotalBytes: 3000 * log.EntryOverhead}, noRing{}, nothing, time.Now)
	l := memory.Open(time.Now)
	l.Start(h, nil)
	name := func(p, c int) string { return fmt.Sprintf("%d/%d", p, c) }

	var publishing, others sync.WaitGroup
	var gaps, seen atomic.Int64
	stop := make(chan struct{})
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				var batch []*log.Entry
				for c := range channels {
					batch = append(batch, &log.Entry{Channel: name(p, c), Data: strconv.AppendInt(nil, int64(i), 10)})
				}
				if err := l.Append(batch, nil); err != nil {
					t.Error(err)
				}
			}
		})
		others.Go(func() {
			f := follower{h: h, channel: name(p, 0), next: 0}
			for done := false; !done || f.position < h.Head(); {
				select {
				case <-stop:
					done = true // and on to the end
				default:
				}
				if err := f.catchUp(); err != nil {
					t.Error(err)
					return
				}
			}
			if f.next != each && !f.gap {
				t.Errorf("%q: at %d, the end, next is %d of %d", f.channel, f.position, f.next, each)
			}
			gaps.Add(int64(f.gaps))
			seen.Add(int64(f.seen))
		})
	}
	background := func(act func()) {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					act()
				}
			}
		})
	}
	background(func() { h.Sweep(time.Now()) })
	background(func() { h.Channels("", "", 10); h.Stats(); h.Channel(name(0, 0)) })
	background(func() { h.Join(name(0, 0)); h.Newest(name(0, 0), 3); h.Leave(name(0, 0)) })
	publishing.Wait()
	close(stop)
	others.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Append([]*log.Entry{{}}, nil); !errors.Is(err, log.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	for h.Sweep(time.Now().Add(time.Minute)) {
	}
	if got := h.Stats(); got != (hub.Stats{Evicted: got.Evicted, Forgotten: got.Forgotten}) {
		t.Errorf("left over: %+v", got)
	}
	t.Logf("%d messages seen, %d gaps", seen.Load(), gaps.Load())
}

// follower reads one channel from its start.
type follower struct {
	h        *hub.Hub
	channel  string
	position uint64
	next     int  // the number expected unless there is a gap
	gap      bool // since the last message
	gaps     int
	seen     int
	msgs     []*ring.Message
}

func (f *follower) catchUp() error {
	upto := f.h.Head()
	msgs, discarded, more := f.h.Read(f.msgs[:0], f.channel, f.position, upto, 7, all)
	f.msgs = msgs
	if f.position < discarded {
		f.gap = true
		f.gaps++
	}
	for _, m := range msgs {
		number, err := strconv.Atoi(string(m.Entry.(*log.Entry).Data))
		if err != nil {
			return err
		}
		if m.Sequence <= f.position || m.Sequence <= discarded || m.Sequence > upto || number < f.next || (number > f.next && !f.gap) {
			return fmt.Errorf("%q: number %d, sequence %d after %d; want number %d (discarded %d)", f.channel, number, m.Sequence, f.position, f.next, discarded)
		}
		f.next, f.position, f.gap = number+1, m.Sequence, false
		f.seen++
	}
	if !more {
		f.position = upto
	}
	return nil
}
