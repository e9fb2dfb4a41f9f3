package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log"
)

// inboxes are those of two nodes on one real server.
func inboxes(t *testing.T) (r *redisd.Server, a, b *inbox) {
	t.Helper()
	r = redisd.For(t, redisd.Options{})
	o, err := parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	a, b = newInbox(o, 1), newInbox(o, 2)
	t.Cleanup(func() {
		for _, i := range []*inbox{a, b} {
			i.Leave(context.Background())
		}
	})
	return r, a, b
}

func do(t *testing.T, r *redisd.Server, args ...string) any {
	t.Helper()
	reply, err := r.Do(t.Context(), args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return reply
}

func lease(t *testing.T, i *inbox) bool {
	t.Helper()
	held, err := i.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func TestOneNodeHasTheInbox(t *testing.T) {
	r, a, b := inboxes(t)
	if !lease(t, a) || lease(t, b) || !lease(t, a) {
		t.Error("the first that asks has the lease, and keeps it")
	}
	if ms := do(t, r, "PTTL", "{peal}:inbox:mover").(int64); ms < 1 || ms > inboxLease.Milliseconds() {
		t.Errorf("the lease holds for %d ms", ms)
	}
	a.Leave(t.Context())
	if !lease(t, b) || lease(t, a) {
		t.Error("a lease that was given up is the next one's")
	}
	a.Leave(t.Context()) // which is not a's
	if lease(t, a) {
		t.Error("a node gives up the lease of another one")
	}
	do(t, r, "DEL", "{peal}:inbox:mover") // as when it ends
	if !lease(t, a) || lease(t, b) {
		t.Error("a lease that has ended is the next one's")
	}
}

func TestInboxIsReadAndSettled(t *testing.T) {
	r, a, _ := inboxes(t)
	lease(t, a)
	if list, _, err := a.Read(t.Context(), 10, 1<<20); err != nil || len(list) != 0 {
		t.Fatalf("an empty inbox has %v, %v", list, err)
	}
	var ids []string
	for n := range 5 {
		ids = append(ids, fmt.Sprint(do(t, r, "XADD", "{peal}:inbox", "*", "channel", "a", "channel", "b", "data", fmt.Sprintf("%d\xff\x00", n))))
	}
	list, more, err := a.Read(t.Context(), 3, 1<<20)
	if err != nil || len(list) != 3 || !more {
		t.Fatalf("read %v, %v", list, err)
	}
	for n, f := range list {
		if want := []string{"channel", "a", "channel", "b", "data", fmt.Sprintf("%d\xff\x00", n)}; f.ID != ids[n] || !slices.Equal(f.Fields, want) {
			t.Errorf("entry %d is %q", n, f)
		}
	}
	if n, err := a.Waiting(t.Context()); n != 5 || err != nil {
		t.Errorf("%d wait, %v", n, err)
	}
	refused := []log.Refused{{Foreign: list[1], Reason: "bad_entry: no"}, {Foreign: log.Foreign{ID: "1-1", Fields: []string{"a", "b"}}, Reason: "gone"}}
	for range 2 { // the second time there is nothing left to do
		if err := a.Settle(t.Context(), []string{ids[0], ids[2], "1-2"}, refused); err != nil {
			t.Fatal(err)
		}
	}
	if list, more, err = a.Read(t.Context(), 10, 1<<20); more || err != nil || len(list) != 2 || list[0].ID != ids[3] {
		t.Errorf("left %v, %v", list, err)
	}
	aside := fmt.Sprintf("%q", do(t, r, "XRANGE", "{peal}:inbox:refused", "-", "+"))
	if want := fmt.Sprintf("%q", []any{"reason", "bad_entry: no", "id", ids[1], "channel", "a", "channel", "b", "data", "1\xff\x00"}); !strings.Contains(aside, want) || strings.Contains(aside, "gone") {
		t.Errorf("set aside %s, want %s", aside, want)
	}
}

// An entry with very many fields is set aside, too, and the stream of them stays short.
func TestRefusedEntriesAreBounded(t *testing.T) {
	r, a, _ := inboxes(t)
	lease(t, a)
	args := []string{"XADD", "{peal}:inbox", "*"}
	for n := range 20_000 {
		args = append(args, fmt.Sprint("f", n), "x")
	}
	do(t, r, args...)
	for n := range 1500 {
		do(t, r, "XADD", "{peal}:inbox", "*", "n", fmt.Sprint(n))
	}
	for {
		list, _, err := a.Read(t.Context(), 200, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		var refused []log.Refused
		for _, f := range list {
			refused = append(refused, log.Refused{Foreign: f, Reason: "r"})
		}
		if err := a.Settle(t.Context(), nil, refused); err != nil {
			t.Fatal(err)
		}
	}
	if n := do(t, r, "XLEN", "{peal}:inbox:refused").(int64); n < refusedKept || n > refusedKept+200 {
		t.Errorf("%d entries are set aside", n)
	}
}

func TestInboxComesBackWithItsServer(t *testing.T) {
	r, a, _ := inboxes(t)
	lease(t, a)
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Lease(t.Context()); err == nil {
		t.Error("a lease of a server that is gone")
	}
	if _, _, err := a.Read(t.Context(), 1, 1<<20); err == nil {
		t.Error("nothing is read from a server that is gone, and no error")
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if held, err := a.Lease(t.Context()); held && err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("no lease: %v", err)
		}
	}
}

// A reading has so many bytes, but for a first entry that is larger.
func TestInboxIsReadByBytes(t *testing.T) {
	r, a, _ := inboxes(t)
	lease(t, a)
	for _, size := range []int{1000, 1000, 996, 5000, 10, 20} {
		do(t, r, "XADD", "{peal}:inbox", "*", "data", strings.Repeat("x", size))
	}
	for _, want := range []struct {
		sizes []int
		more  bool
	}{{[]int{1004, 1004, 1000}, true}, {[]int{5004}, true}, {[]int{14, 24}, false}} {
		list, more, err := a.Read(t.Context(), 10, 3008)
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int
		var ids []string
		for i := range list {
			sizes, ids = append(sizes, list[i].Size()), append(ids, list[i].ID)
		}
		if !slices.Equal(sizes, want.sizes) || more != want.more {
			t.Errorf("read %d, more %v, want %v", sizes, more, want)
		}
		if err := a.Settle(t.Context(), ids, nil); err != nil {
			t.Fatal(err)
		}
	}
}
