package control_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/fake"

	"peal/server/ban"
	"peal/server/control"
	"peal/server/revoke"
)

// sharing is one of several nodes.
type sharing struct {
	*control.Control
	bans    *ban.Table
	clients []string // whose connections it ends
	tokens  int      // times that it ends those of revoked tokens
}

func newSharing(t *testing.T, store *fake.Store, most int) *sharing {
	t.Helper()
	return newSharingAt(t, store, most, time.Now)
}

func newSharingAt(t *testing.T, store *fake.Store, most int, now func() time.Time) *sharing {
	t.Helper()
	s := &sharing{bans: ban.New(most, most, now)}
	l := store.Open()
	s.Control = control.New(l, s.bans, revoke.New(most, lifetime, now), now, quiet)
	s.Share(func(clients []string) { s.clients = append(s.clients, clients...) }, func() { s.tokens++ })
	l.Keep(s.Control)
	if err := l.Start(s.Control, s.Restore); err != nil {
		t.Fatal(err)
	}
	return s
}

// Its sender must repeat what only this node knows, for whatever reason.
func TestAnOrderThatOtherNodesDoNotKnow(t *testing.T) {
	store := fake.New(time.Now)
	a := newSharing(t, store, 1)
	for _, cause := range []error{log.ErrStorage, log.ErrFull, log.ErrClosed} {
		store.Fail(cause)
		var errs [2]error
		a.KeepAway(1, []string{"ann"}, time.Hour, func(err error) { errs[0] = err })
		a.Revoke(&revoke.Order{IDs: names("x")}, func(err error) { errs[1] = err })
		for _, err := range errs {
			if !errors.Is(err, log.ErrUnavailable) || !errors.Is(err, cause) {
				t.Errorf("%v: the sender has %v", cause, err)
			}
		}
	}
}

func TestOrdersOfOtherNodesEndConnections(t *testing.T) {
	store := fake.New(time.Now)
	a, b := newSharing(t, store, 1), newSharing(t, store, 1)
	stored := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	a.KeepAway(1, []string{"ann"}, time.Hour, stored)
	a.KeepAway(1, []string{"bob"}, 0, stored)
	if refused := a.KeepAway(1, []string{"cid"}, time.Hour, stored); len(refused) != 1 { // no room, but disconnected
		t.Errorf("refused %v", refused)
	}
	if want := "[ann bob cid]"; fmt.Sprint(b.clients) != want || a.clients != nil {
		t.Errorf("b ends the connections of %v, want %s; a, whose requests do it, of %v", b.clients, want, a.clients)
	}
	if !b.bans.HasText("ann") || b.bans.HasText("cid") || !a.bans.HasText("ann") {
		t.Errorf("kept away: ann %v and %v, cid %v", a.bans.HasText("ann"), b.bans.HasText("ann"), b.bans.HasText("cid"))
	}
	b.Revoke(&revoke.Order{IDs: names("x")}, stored)
	if a.tokens != 1 || b.tokens != 0 {
		t.Errorf("connections of revoked tokens are ended %d and %d times", a.tokens, b.tokens)
	}
	l := store.Open() // an order that cannot be read may be about any token
	if err := l.Start(log.Tails{}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]*log.Entry{{Kind: log.KindControl, Event: "revoke", Data: []byte{9}}}, nil); err != nil {
		t.Fatal(err)
	}
	if a.tokens != 2 || b.tokens != 1 {
		t.Errorf("after one that cannot be read: %d and %d times", a.tokens, b.tokens)
	}
	c := newSharing(t, store, 1) // what is restored has ended no connection
	if c.clients != nil || c.tokens != 0 || !c.bans.HasText("ann") {
		t.Errorf("a new node ends %v, %d", c.clients, c.tokens)
	}
}

// Nodes that have followed the same orders have the same state, byte for byte, and it does not
// change by being saved and loaded. The clock passes on between every two looks at it.
func TestStateIsTheSameOnAllNodes(t *testing.T) {
	store := fake.New(time.Now)
	start, looks := time.Now(), time.Duration(0)
	now := func() time.Time { looks++; return start.Add(looks * 700 * time.Microsecond) }
	a, b := newSharingAt(t, store, 100, now), newSharingAt(t, store, 100, now)
	for i := range 30 {
		a.KeepAway(1, []string{fmt.Sprint("client", i)}, time.Hour, func(error) {})
		b.Revoke(&revoke.Order{Subjects: names(fmt.Sprint("user", i)), IDs: names(fmt.Sprint("token", i)), Before: time.Now().Unix()}, func(error) {})
	}
	state := a.Save()
	if !bytes.Equal(state, b.Save()) || !bytes.Equal(state, a.Save()) {
		t.Error("two nodes, or two calls, have different states")
	}
	store.Trim(1 << 40)
	if c := newSharingAt(t, store, 100, now); !bytes.Equal(state, c.Save()) {
		t.Error("a node that has loaded the state has another one")
	}
}

// Orders that a node has missed, because they were removed before it had read them, come by a
// state, and end connections, too.
func TestMissedOrdersEndConnections(t *testing.T) {
	a, b := newSharing(t, fake.New(time.Now), 100), newSharing(t, fake.New(time.Now), 100)
	a.KeepAway(1, []string{"ann"}, time.Hour, func(error) {})
	a.Revoke(&revoke.Order{IDs: names("x")}, func(error) {})
	if err := b.Load(a.Save(), 9); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(b.clients) != "[ann]" || b.tokens != 1 || !b.bans.HasText("ann") {
		t.Errorf("ends %v, tokens %d times; ann is kept away: %v", b.clients, b.tokens, b.bans.HasText("ann"))
	}
}
