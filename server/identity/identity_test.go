package identity_test

import (
	"testing"

	"peal/server/grant"
	"peal/server/identity"
	"peal/server/refusal"
	"peal/server/workers"
)

// tokens verifies every token as that of one user, and tells when it drops.
type tokens struct{ dropped chan struct{} }

func (tokens) Cached([]byte) (*grant.Grant, *refusal.Error, bool) { return nil, nil, false }
func (tokens) Verify([]byte) (*grant.Grant, *refusal.Error) {
	return &grant.Grant{Kind: grant.User, Subject: "42"}, nil
}
func (t tokens) Drop(func(*grant.Grant) bool) { close(t.dropped) }

// A loop replaces its Identity at a reload, perhaps by one that verifies no tokens,
// while workers have not begun what it asked for before.
func TestAReloadDoesNotDisturbWhatWorkersDo(t *testing.T) {
	pool := workers.New(1, 10)
	t.Cleanup(pool.Close)
	begun, held := make(chan struct{}), make(chan struct{})
	if err := pool.Try(&workers.Job{Run: func() { close(begun); <-held }, Refuse: func(*refusal.Error) {}}); err != nil {
		t.Fatal(err)
	}
	<-begun // the only worker

	dropped, verified := make(chan struct{}), make(chan *grant.Grant, 1)
	id := identity.Identity{Tokens: tokens{dropped}, Verifiers: pool}
	if err := id.Verify(1, 1, []byte("t.o.k"), func(g *grant.Grant, _ *refusal.Error) { verified <- g }); err != nil {
		t.Fatal(err)
	}
	id.Drop(1, 1, func(*grant.Grant) bool { return true })
	id = identity.Identity{Verifiers: pool}
	close(held)
	if g := <-verified; g == nil || g.Subject != "42" {
		t.Errorf("verified %+v", g)
	}
	<-dropped
}
