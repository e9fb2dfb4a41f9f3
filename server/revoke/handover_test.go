package revoke_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"testing"
	"time"

	"peal/server/grant"
	"peal/server/revoke"
)

func handOver(t *testing.T, from, to *revoke.Table) (parts int) {
	t.Helper()
	if err := from.HandOver(func(p *revoke.Part) error {
		parts++
		var b bytes.Buffer
		var got revoke.Part
		if err := errors.Join(gob.NewEncoder(&b).Encode(p), gob.NewDecoder(&b).Decode(&got)); err != nil {
			return err
		}
		to.Import(&got)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestRevocationsAreHandedOver(t *testing.T) {
	now := time.Unix(10_000, 0)
	clock := func() time.Time { return now }
	from := revoke.New(5000, time.Hour, clock)
	from.Raise(9000)
	named := func(names ...string) map[string]struct{} {
		all := map[string]struct{}{}
		for _, n := range names {
			all[n] = struct{}{}
		}
		return all
	}
	from.Revoke(&revoke.Order{Subjects: named("u"), Before: 9990, IDs: named("t")})
	now = now.Add(30 * time.Minute)
	to := revoke.New(5000, time.Minute, clock) // it may keep less by its own settings
	to.Restore(&revoke.Order{IDs: named("another")}, now.Unix())
	if parts := handOver(t, from, to); parts != 1 || to.Stats() != from.Stats() || to.Floor() != 9000 {
		t.Errorf("%d parts, %+v, want %+v", parts, to.Stats(), from.Stats())
	}
	token := func(subject, id string, issued int64) *grant.Grant {
		return &grant.Grant{Kind: grant.User, Subject: subject, ID: id, Issued: issued}
	}
	check := func(what string, table *revoke.Table, g *grant.Grant, want bool) {
		t.Helper()
		if table.Has(g) != want {
			t.Errorf("%s: refused is %v", what, !want)
		}
	}
	check("a revoked user", to, token("u", "", 9990), true)
	check("a later token of it", to, token("u", "", 9991), false)
	check("a revoked token", to, token("x", "t", 9995), true)
	check("one of before the floor", to, token("x", "y", 8999), true)
	check("what the successor had", to, token("x", "another", 9995), false)
	now = now.Add(29 * time.Minute)
	to.Sweep()
	check("shortly before its end", to, token("x", "t", 9995), true)
	now = now.Add(2 * time.Minute)
	to.Sweep()
	check("after its end", to, token("x", "t", 9995), false)
	if to.Stats().Names != 0 {
		t.Errorf("%+v are left", to.Stats())
	}
	for i := range 3000 {
		from.Revoke(&revoke.Order{IDs: named(fmt.Sprint(i))})
	}
	small := revoke.New(10, time.Hour, clock)
	if parts := handOver(t, from, small); parts != 3 || small.Stats().Names != 10 || small.Floor() <= now.Unix() {
		t.Errorf("%d parts, without room: %+v", parts, small.Stats())
	}
}

// The time that has elapsed goes on, whatever happens to the clock meanwhile.
func TestElapsedTimeIsHandedOver(t *testing.T) {
	now := time.Unix(10_000, 0)
	elapsed := time.Hour
	from, to := revoke.New(10, time.Hour, func() time.Time { return now }), revoke.New(10, time.Hour, func() time.Time { return now })
	from.Elapsed(func() time.Duration { return elapsed })
	from.Revoke(&revoke.Order{IDs: map[string]struct{}{"t": {}}})
	elapsed += 50 * time.Minute // and the clock stands
	since := elapsed
	to.Elapsed(func() time.Duration { return elapsed - since })
	handOver(t, from, to)
	g := &grant.Grant{Kind: grant.User, ID: "t", Issued: 1}
	now = now.Add(2 * time.Hour) // set forward
	elapsed += 9 * time.Minute
	to.Sweep()
	if !to.Has(g) {
		t.Error("a clock that was set forward ends a revocation")
	}
	elapsed += 2 * time.Minute
	to.Sweep()
	if to.Has(g) {
		t.Error("the time before the hand-over does not count")
	}
}
