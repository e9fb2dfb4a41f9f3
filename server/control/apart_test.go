package control_test

import (
	"bytes"
	"testing"
	"time"

	"peal/server/ban"
	"peal/server/control"
	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/revoke"
)

// The state is what the log says: nodes that start with it keep away the same clients as those that run.
func TestStateIsThatOfTheLog(t *testing.T) {
	store := fake.New(time.Now)
	a, b := newSharing(t, store, 100), newSharing(t, store, 100)
	b.KeepAway(1, []string{"eve"}, time.Hour, func(error) {})
	logged := b.Save()
	store.Fail(log.ErrStorage)
	a.KeepAway(1, []string{"ann", "bob"}, time.Hour, func(error) {})
	a.KeepAway(1, []string{"eve"}, 0, func(error) {})
	if !a.bans.HasText("ann") || a.bans.HasText("eve") {
		t.Error("an order that is not in the log has no effect on its node")
	}
	if !bytes.Equal(a.Save(), logged) {
		t.Error("an order that the log has not taken is in the state")
	}
	store.Fail(nil)
	b.KeepAway(1, []string{"ann"}, 0, func(error) {})
	if a.bans.HasText("ann") || !a.bans.HasText("bob") {
		t.Error("the newest order of the log about a client does not hold")
	}
	a.KeepAway(1, []string{"bob", "eve"}, time.Minute, func(error) {})
	if !bytes.Equal(a.Save(), b.Save()) || !b.bans.HasText("bob") {
		t.Error("two nodes have different states, though the log has all orders")
	}
}

// heldLog keeps what it is given for the test to go on with.
type heldLog struct {
	batches [][]*log.Entry
	done    []func(error)
}

func (l *heldLog) Append(batch []*log.Entry, done func(error)) error {
	l.batches, l.done = append(l.batches, batch), append(l.done, done)
	return nil
}

// An order that is on its way is not in the state yet, and what other nodes order about its client is.
func TestStateWhileAnOrderIsOnItsWay(t *testing.T) {
	var nodes [2]*control.Control
	var logs [2]heldLog
	for i := range nodes {
		nodes[i] = control.New(&logs[i], ban.New(100, 100, time.Now), revoke.New(100, lifetime, time.Now), time.Now, quiet)
		nodes[i].Share(func([]string) {}, func() {})
	}
	a, b := nodes[0], nodes[1]
	a.KeepAway(1, []string{"ann"}, time.Hour, func(error) {})
	b.KeepAway(1, []string{"ann", "bob"}, time.Minute, func(error) {})
	if len(a.Save())+len(b.Save()) != 0 {
		t.Errorf("orders that are not in the log are in the state: %q, %q", a.Save(), b.Save())
	}
	var before []byte
	for i := range logs { // the log has b's order, and then a's
		from := &logs[1-i]
		for _, n := range nodes {
			n.Apply(from.batches[0])
		}
		from.done[0](nil)
		if state := a.Save(); !bytes.Equal(state, b.Save()) || len(state) == 0 || bytes.Equal(state, before) {
			t.Errorf("after %d orders the states are %q and %q", i+1, state, b.Save())
		}
		before = a.Save()
	}
}

// Orders that a node has missed let clients in, too; one of its own that the log has not taken holds.
func TestMissedOrdersLetIn(t *testing.T) {
	store := fake.New(time.Now)
	a := newSharing(t, store, 100)
	a.KeepAway(1, []string{"ann", "bob"}, time.Hour, func(error) {})
	a.KeepAway(1, []string{"eve"}, time.Hour, func(error) {})
	store.Fail(log.ErrStorage)
	a.KeepAway(1, []string{"cid"}, time.Hour, func(error) {})
	a.KeepAway(1, []string{"eve"}, 0, func(error) {})
	other := newSharing(t, fake.New(time.Now), 100)
	other.KeepAway(1, []string{"bob", "dan"}, time.Hour, func(error) {})
	other.KeepAway(1, []string{"eve"}, time.Minute, func(error) {})
	if err := a.Load(other.Save(), 9); err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]bool{"ann": false, "bob": true, "cid": true, "dan": true, "eve": true} {
		if a.bans.HasText(client) != want {
			t.Errorf("%s is kept away: %v, want %v", client, !want, want)
		}
	}
	if !bytes.Equal(a.Save(), other.Save()) {
		t.Error("the state is not that of the log")
	}
}

// An order of this node that will not come, because it was removed before the node has read it, or lost, holds off
// no order of others for ever.
func TestAnOwnOrderThatIsMissed(t *testing.T) {
	for _, answeredFirst := range []bool{true, false} {
		var own heldLog
		bans := ban.New(100, 100, time.Now)
		a := control.New(&own, bans, revoke.New(100, lifetime, time.Now), time.Now, quiet)
		a.Share(func([]string) {}, func() {})
		if err := a.Load(nil, 0); err != nil {
			t.Fatal(err)
		}
		a.KeepAway(1, []string{"ann"}, time.Hour, func(error) {})
		own.batches[0][0].Sequence = 5
		if answeredFirst {
			own.done[0](nil)
		}
		if err := a.Load(nil, 7); err != nil { // the newest order about her, 6, lets her in
			t.Fatal(err)
		}
		a.Lose(4, 6)
		if !answeredFirst {
			own.done[0](nil)
		}
		var others heldLog
		b := control.New(&others, ban.New(100, 100, time.Now), revoke.New(100, lifetime, time.Now), time.Now, quiet)
		b.Share(func([]string) {}, func() {})
		if len(a.Save()) != 0 || bans.HasText("ann") {
			t.Errorf("answered first %v: the state is %q, want none", answeredFirst, a.Save())
		}
		b.KeepAway(1, []string{"ann"}, time.Minute, func(error) {})
		a.Apply(others.batches[0])
		b.Apply(others.batches[0])
		if !bans.HasText("ann") || !bytes.Equal(a.Save(), b.Save()) {
			t.Errorf("answered first %v: the states are %q and %q", answeredFirst, a.Save(), b.Save())
		}
		b.KeepAway(1, []string{"ann"}, 0, func(error) {})
		a.Apply(others.batches[1])
		if bans.HasText("ann") {
			t.Errorf("answered first %v: an order that was missed still holds: %q", answeredFirst, a.Save())
		}
	}
}
