package control_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"slices"
	"testing"
	"time"

	"peal/server/ban"
	"peal/server/control"
	"peal/server/grant"
	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/log/memory"
	"peal/server/revoke"
)

// Over a log in memory, bans and revocations outlast an upgrade, and no token is refused for it.
func TestOrdersOutlastAHandOverOfALogInMemory(t *testing.T) {
	now := time.Unix(100_000, 0)
	clock := func() time.Time { return now }
	bans, revoked := ban.New(10, 10, clock), revoke.New(10, time.Hour, clock)
	l := memory.Open(clock)
	old := control.New(l, bans, revoked, clock, quiet)
	l.Keep(old)
	if err := l.Start(log.Tails{old}, nil); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	old.KeepAway(1, []string{"ann"}, time.Hour, func(error) {})
	old.Revoke(&revoke.Order{IDs: names("t")}, func(error) {})
	offered, err := l.Offer()
	if err != nil {
		t.Fatal(err)
	}
	nextBans, nextRevoked := ban.New(10, 10, clock), revoke.New(10, time.Hour, clock)
	n, err := memory.Succeed(clock, offered)
	if err != nil {
		t.Fatal(err)
	}
	next := control.New(n, nextBans, nextRevoked, clock, quiet)
	n.Keep(next)
	if err := n.Prepare(nil, next.Restore); err != nil {
		t.Fatal(err)
	}
	old.KeepAway(1, []string{"bob"}, time.Minute, func(error) {})
	now = now.Add(30 * time.Second)
	paused, err := l.Pause(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.CatchUp(paused, nil, next.Restore); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Release(), n.Begin(log.Tails{next})); err != nil {
		t.Fatal(err)
	}
	if next.Missing() != "" || nextRevoked.Floor() != revoked.Floor() {
		t.Errorf("orders are taken for lost: %q; floor %d, want that of the first start, %d", next.Missing(), nextRevoked.Floor(), revoked.Floor())
	}
	if !nextBans.HasText("ann") || !nextBans.HasText("bob") || !nextRevoked.Has(&grant.Grant{Kind: grant.User, ID: "t", Issued: now.Unix()}) {
		t.Error("an order is lost")
	}
	if nextRevoked.Has(&grant.Grant{Kind: grant.User, ID: "other", Issued: 100_010}) {
		t.Error("a token that was issued before the upgrade is refused")
	}
	now = now.Add(31 * time.Second)
	if nextBans.HasText("bob") || !nextBans.HasText("ann") {
		t.Error("a ban has another end than it had")
	}
	next.KeepAway(1, []string{"ann"}, 0, func(error) {})
	if nextBans.HasText("ann") {
		t.Error("the successor does not let in")
	}
}

// An order that the log has not taken holds in the successor, too, until the log says something newer.
func TestOrdersApartAreHandedOver(t *testing.T) {
	store := fake.New(time.Now)
	a := newSharing(t, store, 100)
	a.KeepAway(1, []string{"eve"}, time.Hour, func(error) {})
	store.Fail(log.ErrStorage)
	a.KeepAway(1, []string{"ann", "bob"}, time.Hour, func(error) {})
	a.KeepAway(1, []string{"eve"}, 0, func(error) {})
	store.Fail(nil)
	h, err := a.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	var got control.Handover
	if err := errors.Join(gob.NewEncoder(&buffer).Encode(h), gob.NewDecoder(&buffer).Decode(&got)); err != nil {
		t.Fatal(err)
	}
	next := newSharing(t, store, 100)
	if err := a.bans.HandOver(func(p *ban.Part) error { next.bans.Import(p); return nil }); err != nil {
		t.Fatal(err)
	}
	next.Import(got)
	if !next.bans.HasText("ann") || next.bans.HasText("eve") || !bytes.Equal(next.Save(), a.Save()) {
		t.Errorf("the successor bans ann: %v, eve: %v", next.bans.HasText("ann"), next.bans.HasText("eve"))
	}
	b := newSharing(t, store, 100)
	b.KeepAway(1, []string{"ann"}, 0, func(error) {})
	if next.bans.HasText("ann") || !next.bans.HasText("bob") || !bytes.Equal(next.Save(), b.Save()) {
		t.Error("what the log says later does not hold")
	}
	next.clients = nil
	if next.EndMissed(); !slices.Contains(next.clients, "bob") || next.tokens == 0 {
		t.Errorf("connections of %q are ended, and %d times those of tokens", next.clients, next.tokens)
	}
	var held heldLog
	waiting := control.New(&held, ban.New(1, 1, time.Now), revoke.New(1, lifetime, time.Now), time.Now, quiet)
	waiting.KeepAway(1, []string{"x"}, time.Hour, func(error) {})
	if _, err := waiting.HandOver(); err == nil {
		t.Error("it is handed over with an order on its way")
	}
}
