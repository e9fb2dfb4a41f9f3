package conform

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/log"
)

func describe(e *log.Entry) string { return fmt.Sprintf("%+v", *e) }

func appendNumbersShowsAndIsDone(t *testing.T, w *world) {
	n := w.node(t)
	if n.Head() != 0 || n.Oldest() != 1 || len(n.Restored) != 0 || n.Lineage().Epoch() == 0 {
		t.Errorf("an empty log has head %d, oldest %d, %d entries, epoch %v", n.Head(), n.Oldest(), len(n.Restored), n.Lineage().Epoch())
	}
	var order []uint64 // done is called by one goroutine at a time
	var running sync.WaitGroup
	before := time.Now().UnixMilli()
	for range 3 {
		batch := []*log.Entry{{Channel: "a", Time: 7}, {Channel: "b"}}
		running.Add(1)
		err := n.Append(batch, func(err error) {
			defer running.Done()
			order = append(order, batch[1].Sequence)
			if err != nil || batch[0].Sequence+1 != batch[1].Sequence {
				t.Errorf("done with %v, sequences %d and %d", err, batch[0].Sequence, batch[1].Sequence)
			}
			if !w.subject.Distributed && n.Head() < batch[1].Sequence {
				t.Errorf("done with entry %d, shown up to %d", batch[1].Sequence, n.Head())
			}
			if batch[0].Time != 7 || batch[1].Time < before {
				t.Errorf("times %d and %d", batch[0].Time, batch[1].Time)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	running.Wait()
	base := n.base(t)
	if !slices.Equal(order, []uint64{base + 2, base + 4, base + 6}) {
		t.Errorf("done in the order %v behind %d, want 2, 4, 6", order, base)
	}
	Until(t, "all are shown", func() bool { return n.Head() == base+6 })
	Until(t, "all are applied", func() bool { return len(n.Tail.Entries()) == 6 })
	Until(t, "the tail is woken", func() bool { return n.Tail.woken() > 0 })
	for i, e := range n.Tail.Entries() {
		if e.Sequence != base+uint64(i+1) || e.Channel != []string{"a", "b"}[i%2] {
			t.Errorf("entry %d was shown as %s", i, describe(e))
		}
	}
	done := make(chan error, 1)
	if err := n.Append(nil, func(err error) { done <- err }); err != nil || <-done != nil || n.Head() != base+6 {
		t.Errorf("an empty batch: %v, head %d", err, n.Head())
	}
	if err := n.Failing(); err != nil {
		t.Errorf("failing: %v", err)
	}
}

func aBatchIsWhole(t *testing.T, w *world) {
	n := w.node(t)
	const writers, batches = 8, 100
	var running sync.WaitGroup
	for i := range writers {
		running.Go(func() {
			for k := range batches {
				batch := make([]*log.Entry, 3)
				for j := range batch {
					batch[j] = &log.Entry{Channel: fmt.Sprint(i), Data: fmt.Append(nil, 3*k+j)}
				}
				if err := n.try(batch...); err != nil {
					t.Error(err)
				}
				if batch[1].Sequence != batch[0].Sequence+1 || batch[2].Sequence != batch[0].Sequence+2 {
					t.Errorf("a batch was torn: %d, %d, %d", batch[0].Sequence, batch[1].Sequence, batch[2].Sequence)
				}
			}
		})
	}
	running.Wait()
	Until(t, "all are shown", func() bool { return len(n.Tail.Entries()) == 3*writers*batches })
	next, base := make(map[string]int), n.base(t)
	for i, e := range n.Tail.Entries() {
		if e.Sequence != base+uint64(i+1) {
			t.Fatalf("entry %d has sequence %d", i, e.Sequence)
		}
		if string(e.Data) != fmt.Sprint(next[e.Channel]) {
			t.Fatalf("entry %d of writer %s is %s, want %d", e.Sequence, e.Channel, e.Data, next[e.Channel])
		}
		next[e.Channel]++
	}
}

// odd are entries with everything in them.
func odd() []*log.Entry {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return []*log.Entry{
		{Channel: "a", Data: []byte("plain")},
		{Channel: "a"},
		{Channel: "a", Data: all, Binary: true},
		{Channel: "a", Data: []byte{0xff, 0, '\r', '\n', '$', '1'}, Binary: true},
		{Channel: "日本語:🦉", Event: "prix-é", Data: []byte("ß ☃ 𝄞 \u202e \u2028")},
		{Channel: "a", Also: []string{"b", "ć"}, TTL: 5000, Key: "k", Private: true, Data: []byte("{}")},
		{Channel: "a", Publisher: "mü", IdempotencyKey: "key\x00with\nall", Data: []byte("x")},
		{Channel: "a", Exclude: &[16]byte{1, 2, 255}, Tags: map[string]string{"β": "1", "": "", "x": "y z"}, Data: []byte("x")},
		{Kind: log.KindPresence, Channel: "a", Data: []byte("p")},
	}
}

func everyFieldComesBack(t *testing.T, w *world) {
	n := w.node(t)
	want := odd()
	for _, e := range want {
		n.append(t, e)
	}
	for i, e := range n.Tail.Entries() {
		same(t, "tail", e, want[i])
	}
	if r, ok := n.Engine.(log.Reader); ok {
		got, err := r.Read(nil, 0, len(want), 1<<20)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d read, want %d; %v", len(got), len(want), err)
		}
		for i, e := range got {
			same(t, "read", e, want[i])
		}
	}
	if !w.subject.Persistent {
		return
	}
	n.close(t)
	again := w.node(t)
	if len(again.Restored) != len(want) {
		t.Fatalf("%d restored, want %d", len(again.Restored), len(want))
	}
	for i, e := range again.Restored {
		same(t, "restored", e, want[i])
	}
}

func cursorsResolveUpToTheHead(t *testing.T, w *world) {
	n := w.node(t)
	n.append(t, &log.Entry{Channel: "a"}, &log.Entry{Channel: "a"})
	base := n.base(t)
	for i, want := range []bool{true, true, true, false} {
		c := log.Cursor{Epoch: n.Lineage().Epoch(), Sequence: base + uint64(i)}
		got, ok := n.Resolve(c)
		if ok != want || ok && got != c.Sequence {
			t.Errorf("sequence %d of 2 behind %d: %d, %v", i, base, got, ok)
		}
	}
	if _, ok := n.Resolve(log.Cursor{Epoch: n.Lineage().Epoch() + 1, Sequence: 1}); ok {
		t.Error("a cursor of another log resolves")
	}
	if got := n.cursor(base + 2); got != (log.Cursor{Epoch: n.Lineage().Epoch(), Sequence: base + 2}) {
		t.Errorf("the position behind entry 2 is %v", got)
	}
}

func aHundredThousandSmallOnes(t *testing.T, w *world) {
	n := w.node(t)
	const writers, each, perBatch = 4, 25_000, 50
	var failed atomic.Int64
	var running, done sync.WaitGroup
	for i := range writers {
		running.Go(func() {
			for k := 0; k < each; k += perBatch {
				batch := make([]*log.Entry, perBatch)
				for j := range batch {
					batch[j] = &log.Entry{Channel: fmt.Sprint(i), Data: fmt.Append(nil, k+j)}
				}
				done.Add(1)
				finish := func(err error) {
					if err != nil {
						failed.Add(1)
					}
					done.Done()
				}
				for {
					err := n.Append(batch, finish)
					if err == nil {
						break
					}
					if !errors.Is(err, log.ErrFull) {
						t.Error(err)
						done.Done()
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	running.Wait()
	done.Wait()
	Until(t, "all are shown", func() bool { return n.Head() == n.base(t)+writers*each })
	base := n.base(t)
	check := func(what string, entries []*log.Entry) {
		t.Helper()
		if len(entries) != writers*each || failed.Load() > 0 {
			t.Fatalf("%s: %d entries, %d batches failed", what, len(entries), failed.Load())
		}
		next := make(map[string]int)
		for i, e := range entries {
			if e.Sequence != base+uint64(i+1) || string(e.Data) != fmt.Sprint(next[e.Channel]) {
				t.Fatalf("%s: entry %d has sequence %d and is %q of writer %s, want %d", what, i, e.Sequence, e.Data, e.Channel, next[e.Channel])
			}
			next[e.Channel]++
		}
	}
	check("tail", n.Tail.Entries())
	if w.subject.Persistent {
		n.close(t)
		check("restored", w.node(t).Restored)
	}
}

func largeMessages(t *testing.T, w *world) {
	n := w.node(t)
	small := n.publish(t, "small")
	want := []*log.Entry{small}
	for i := range 20 {
		want = append(want, n.publish(t, strings.Repeat(string(rune('a'+i)), 1<<20)))
	}
	check := func(what string, got []*log.Entry) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d entries, want %d", what, len(got), len(want))
		}
		for i, e := range got {
			if e.Sequence != want[i].Sequence || !bytes.Equal(e.Data, want[i].Data) {
				t.Errorf("%s: entry %d has %d bytes", what, e.Sequence, len(e.Data))
			}
		}
	}
	check("tail", n.Tail.Entries())
	if w.subject.Persistent {
		n.close(t)
		check("restored", w.node(t).Restored)
	}
}

// wide is one message on so many channels.
func wide(channels int, data string) []*log.Entry {
	batch := make([]*log.Entry, channels)
	b := []byte(data)
	for i := range batch {
		batch[i] = &log.Entry{Channel: fmt.Sprint("channel-", i), Data: b}
	}
	log.Share(batch)
	return batch
}

func dataIsShared(t *testing.T, w *world) {
	n := w.node(t)
	const channels, messages = 100, 3
	check := func(what string, entries []*log.Entry) {
		t.Helper()
		if len(entries) != channels*messages {
			t.Fatalf("%s: %d entries, want %d", what, len(entries), channels*messages)
		}
		for i, e := range entries {
			first := entries[i-i%channels]
			if e.Channel != fmt.Sprint("channel-", i%channels) || string(e.Data) != strings.Repeat(fmt.Sprint(i/channels), 10_000) {
				t.Fatalf("%s: entry %d is on %s, with %d bytes", what, e.Sequence, e.Channel, len(e.Data))
			}
			if e.Shared == nil || e.Shared != first.Shared || e.Shared.First != first.Sequence || &e.Data[0] != &first.Data[0] {
				t.Fatalf("%s: entry %d does not share the data of entry %d", what, e.Sequence, first.Sequence)
			}
		}
	}
	for i := range messages {
		n.append(t, wide(channels, strings.Repeat(fmt.Sprint(i), 10_000))...)
	}
	check("tail", n.Tail.Entries())
	if r, ok := n.Engine.(log.Reader); ok {
		got, err := r.Read(nil, 0, channels*messages, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		check("read", got)
		base := n.base(t)
		for after := range uint64(channels * messages) { // also from the middle of a message
			got, err := r.Read(nil, base+after, 3, 1<<30)
			if err != nil || len(got) != min(3, channels*messages-int(after)) {
				t.Fatalf("behind %d: %d entries; %v", after, len(got), err)
			}
			for i, e := range got {
				if want := base + after + uint64(i) + 1; e.Sequence != want || len(e.Data) != 10_000 {
					t.Fatalf("behind %d: entry %d has %d bytes", after, e.Sequence, len(e.Data))
				}
			}
		}
	}
	if w.subject.Persistent {
		n.close(t)
		check("restored", w.node(t).Restored)
	}
}
