package endtoend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestACrowdHasEveryMessageOnceAndInOneOrder is issue 2's promise: 2,000 mixed
// connections, of which some stay, some stall, some come late and some leave.
func TestACrowdHasEveryMessageOnceAndInOneOrder(t *testing.T) {
	steady, stalled, late, leaving, messages := 1400, 100, 100, 400, 100
	if testing.Short() {
		steady, stalled, late, leaving, messages = 140, 30, 30, 100, 90
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	p := launch(t, "--listen", "127.0.0.1:0", "--loops", "2")
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := newCrowd(ctx, p)
	gate := make(chan struct{})
	opened := sync.OnceFunc(func() { close(gate) })
	defer opened() // or a failed test would wait for those behind it

	all := []string{"a", "b", "c"}
	some := func() []string {
		set := slices.Clone(all)
		random.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
		return set[:1+random.IntN(len(set))]
	}
	// Each answered poll is a request: fewer of them do for a crowd.
	mix := []kind{socketRaw, socketRaw, socketRaw, socketJSON, socketJSON, stream, stream, stream, polling}
	anyKind := func() kind { return mix[random.IntN(len(mix))] }
	reference := &listener{kind: socketJSON, channels: all, from: "cursor=earliest"}
	list := []*listener{reference}
	for len(list) < steady {
		list = append(list, &listener{kind: anyKind(), channels: some(), from: "cursor=earliest"})
	}
	for range stalled { // a poll cannot stall
		list = append(list, &listener{kind: kind(random.IntN(int(polling))), channels: all, from: "cursor=earliest", gate: gate})
	}
	c.openAll(list)

	// Publishing: a message may go out when steps of the others allow it, so
	// that it is spread over their coming and going.
	allowed := make(chan struct{}, messages)
	var publishers sync.WaitGroup
	var mu sync.Mutex
	published := map[string]string{} // id → channel
	for n := range 4 {
		publishers.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(n)+1))
			for i := 0; ; i++ {
				if _, ok := <-allowed; !ok {
					return
				}
				channel := all[random.IntN(len(all))]
				id := fmt.Sprintf("%s%d-%05d", channel, n, i)
				a, err := p.try("POST", "/publish?channel="+channel, id+strings.Repeat(".", 400+random.IntN(800)), "Content-Type: text/plain")
				if err != nil || a.status != 200 {
					t.Errorf("publish: %v, %d %s", err, a.status, a.body)
					return
				}
				mu.Lock()
				published[id] = channel
				mu.Unlock()
			}
		})
	}
	const before = 40 // so that who comes with last=N finds some
	for range before {
		allowed <- struct{}{}
	}
	p.await("the first messages are published", func() bool {
		mu.Lock()
		n := len(published)
		mu.Unlock()
		if n < before {
			p.do("HEAD", "/channels", "")
		}
		return n >= before || t.Failed()
	})

	var latecomers, leavers []*listener
	for n := range late + leaving {
		l := &listener{kind: anyKind(), channels: some(), from: "cursor=earliest"}
		if random.IntN(late+leaving) < late {
			latecomers = append(latecomers, l)
		} else {
			l.limit = 1 + random.IntN(3)
			l.from = fmt.Sprintf("last=%d", l.limit)
			leavers = append(leavers, l)
		}
		if err := c.open(l); err != nil {
			t.Fatal(err)
		}
		if n%8 == 0 && l.limit > 0 { // some are gone before the next comes
			<-l.ended
		}
		if rest := messages - before; (n+1)*rest/(late+leaving) > n*rest/(late+leaving) {
			allowed <- struct{}{}
		}
	}
	close(allowed)
	publishers.Wait()
	p.publishTo("/publish?channel=a&channel=b&channel=c", last, "Content-Type: text/plain")
	for _, l := range leavers {
		<-l.ended
	}
	<-reference.ended
	opened() // now the stalled begin to read
	began := time.Now()
	for _, l := range append(list, latecomers...) {
		<-l.ended
	}
	t.Logf("%d messages, the last listener ended %v after the reference", len(published), time.Since(began).Round(time.Millisecond))

	if len(reference.got) != len(published)+len(all) {
		t.Fatalf("seed %d: the reference received %d messages of %d (%v)", seed, len(reference.got), len(published)+len(all), reference.err)
	}
	count := map[string]int{}
	for _, id := range reference.got {
		if count[id]++; id != last && count[id] > 1 || id != last && published[id] == "" {
			t.Errorf("the reference received %q %d times, or it was never published", id, count[id])
		}
	}
	// The last message came once on each channel, behind all others.
	owed := func(l *listener) (want []string) {
		lasts := 0
		for _, id := range reference.got {
			if id != last {
				if slices.Contains(l.channels, id[:1]) {
					want = append(want, id)
				}
				continue
			}
			if lasts++; lasts <= len(l.channels) {
				want = append(want, id)
			}
		}
		return want
	}
	wrong := 0
	for _, l := range append(list, latecomers...) {
		if want := owed(l); l.err != nil || !slices.Equal(l.got, want) {
			if wrong++; wrong <= 5 {
				t.Errorf("seed %d: %s (stalled: %v) received %d of %d messages, error %v, first difference %s", seed, l, l.gate != nil, len(l.got), len(want), l.err, difference(l.got, want))
			}
		}
	}
	for _, l := range leavers {
		want := owed(l)
		at := -1
		if len(l.got) > 0 {
			at = slices.Index(want, l.got[0])
		}
		if l.err != nil || at < 0 || len(l.got) != l.limit || at+l.limit > len(want) || !slices.Equal(l.got, want[at:at+l.limit]) {
			if wrong++; wrong <= 5 {
				t.Errorf("seed %d: %s received %q, error %v, which is no piece of the order", seed, l, l.got, l.err)
			}
		}
	}
	if wrong > 5 {
		t.Errorf("seed %d: %d listeners in all are wrong", seed, wrong)
	}
	// All who left are forgotten.
	c.transport.CloseIdleConnections()
	for _, channel := range all {
		p.awaitSubscribers(channel, 0)
	}
}

func difference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("at %d: %q, want %q", i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
		}
	}
	return fmt.Sprintf("at %d: one ends", min(len(got), len(want)))
}
