package token_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/grant"
	"peal/server/token"
)

// many returns n different tokens of users u0, u1, ….
func many(t testing.TB, n int, changes map[string]any) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		c := claims(changes)
		c["sub"] = fmt.Sprint("u", i)
		all[i] = hs(t, c)
	}
	return all
}

func TestCacheDropsTokensAtTheirExpiry(t *testing.T) {
	var at clock
	c := config()
	c.Now = at.now
	v := verifier(t, c)
	text := hs(t, claims(map[string]any{"exp": start.Unix() + 60}))
	accepted(t, v, text)
	at.move(69 * time.Second) // with the leeway
	if g, _, ok := v.Cached([]byte(text)); g == nil || !ok {
		t.Error("not cached in its last second")
	}
	at.move(time.Second)
	if g, err, ok := v.Cached([]byte(text)); g != nil || err != token.ErrExpired || !ok {
		t.Errorf("after its expiry: %v, %v, %v", g, err, ok)
	}
	if s := v.Stats(); s.Cached != 0 || s.Bytes != 0 || s.Scopes != 0 {
		t.Errorf("after its expiry: %+v", s)
	}
	refused(t, v, text, "token_expired", "expired")

	// Those that nobody presents again go when others come.
	for _, one := range many(t, 500, map[string]any{"exp": at.now().Unix() + 10}) {
		accepted(t, v, one)
	}
	at.move(time.Hour)
	for _, one := range many(t, 500, map[string]any{"exp": at.now().Unix() + 60}) {
		accepted(t, v, one)
	}
	if s := v.Stats(); s.Cached > 550 || s.Evicted != 0 {
		t.Errorf("expired tokens stay: %+v", s)
	}
}

// A clock that is set back a little does not make expired tokens good again; one that
// was wrong by more is believed.
func TestClockMovesBack(t *testing.T) {
	var at clock
	c := config()
	c.Now = at.now
	v := verifier(t, c)
	text := hs(t, claims(map[string]any{"exp": start.Unix() + 60}))
	accepted(t, v, text)
	at.move(70 * time.Second)
	refused(t, v, text, "token_expired", "expired")
	at.move(-30 * time.Second)
	refused(t, v, text, "token_expired", "expired")
	at.move(-4 * time.Minute)
	refused(t, v, text, "token_expired", "expired")
	accepted(t, v, hs(t, claims(map[string]any{"exp": start.Unix() + 600}))) // others are not affected

	at.move(-time.Hour)
	refused(t, v, hs(t, claims(map[string]any{"iat": start.Unix()})), "token_not_yet_valid", "set the clocks")
	accepted(t, v, hs(t, claims(map[string]any{"iat": at.now().Unix(), "exp": at.now().Unix() + 60})))
}

func TestCacheIsBounded(t *testing.T) {
	for _, c := range []struct {
		name           string
		entries, bytes int
		claims         map[string]any
	}{
		{"by entries", 160, 0, nil},
		{"by bytes", 0, 64 << 10, nil},
		{"by bytes of info", 0, 128 << 10, map[string]any{"peal": map[string]any{"info": map[string]any{"name": strings.Repeat("x", 900)}}}},
		{"one", 1, 0, nil},
		{"none fits", 0, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := config()
			with.CacheEntries, with.CacheBytes = c.entries, c.bytes
			v := verifier(t, with)
			all := many(t, 800, c.claims)
			hot := all[0]
			for _, one := range all {
				accepted(t, v, one)
				v.Cached([]byte(hot))
			}
			s := v.Stats()
			most := with.WithDefaults()
			if s.Cached > max(16, most.CacheEntries) || s.Bytes > most.CacheBytes || s.Verified+s.Hits < 800 {
				t.Errorf("%+v", s)
			}
			if s.Cached+int(s.Evicted) != int(s.Verified) && c.bytes != 1 {
				t.Errorf("%d cached and %d evicted of %d", s.Cached, s.Evicted, s.Verified)
			}
			if _, _, ok := v.Cached([]byte(hot)); !ok && s.Cached > 16 {
				t.Error("the token that is used most was evicted")
			}
		})
	}
}

// A token that was used once does not keep its place for ever.
func TestCacheEvictsWhatIsNoLongerUsed(t *testing.T) {
	c := config()
	c.CacheEntries = 160
	v := verifier(t, c)
	all := many(t, 1000, nil)
	for i, one := range all {
		accepted(t, v, one)
		if i < 100 {
			v.Cached([]byte(one))
		}
	}
	kept := 0
	for _, one := range all[:100] {
		if _, _, ok := v.Cached([]byte(one)); ok {
			kept++
		}
	}
	if kept > 10 {
		t.Errorf("%d of the first 100 are cached after 900 others", kept)
	}
}

// Scopes are bounded too, and what they have no room for counts with the token.
func TestScopesAreBounded(t *testing.T) {
	c := config()
	c.CacheBytes = 256 << 10
	v := verifier(t, c)
	for i := range 1500 {
		accepted(t, v, hs(t, claims(map[string]any{"peal": map[string]any{"subscribe": []string{fmt.Sprint("room.", i, "*")}}})))
		if s := v.Stats(); s.Bytes > c.CacheBytes {
			t.Fatalf("%+v", s)
		}
	}
	if s := v.Stats(); s.Scopes == 0 || s.Scopes > 250 || s.Cached < s.Scopes || s.Cached > 400 {
		t.Errorf("%+v", s)
	}
	v.Drop(func(*grant.Grant) bool { return true })
	if s := v.Stats(); s.Cached != 0 || s.Scopes != 0 || s.Bytes != 0 {
		t.Errorf("after all were dropped: %+v", s)
	}
}

func TestDropForgetsTokens(t *testing.T) {
	v := verifier(t, config())
	all := many(t, 1000, nil)
	for _, one := range all {
		accepted(t, v, one)
	}
	v.Drop(func(g *grant.Grant) bool { return strings.HasSuffix(g.Subject, "7") })
	for i, one := range all {
		if _, _, ok := v.Cached([]byte(one)); ok == (i%10 == 7) {
			t.Errorf("u%d is cached: %v", i, ok)
		}
	}
	if s := v.Stats(); s.Cached != 900 || s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
}

// A token that is revoked while it is being verified is not cached afterwards.
func TestDropDuringAVerification(t *testing.T) {
	var v *token.Verifier
	asked := 0
	c := config()
	c.Now = func() time.Time { // asked by Cached, and then by the verification itself
		if asked++; asked == 2 {
			v.Drop(func(*grant.Grant) bool { return false })
		}
		return start
	}
	v = verifier(t, c)
	text := hs(t, claims(nil))
	accepted(t, v, text)
	if asked != 2 || v.Stats().Cached != 0 || v.Stats().Scopes != 0 {
		t.Errorf("the time was asked %d times; %+v", asked, v.Stats())
	}
	accepted(t, v, text)
	if v.Stats().Cached != 1 {
		t.Error("verified after the drop, it is not cached")
	}
}

func TestManyGoroutinesVerifyAndDrop(t *testing.T) {
	c := config()
	c.CacheEntries, c.CacheBytes = 64, 64<<10
	v := verifier(t, c)
	all := many(t, 200, nil)
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for i, one := range all {
				if g, err := v.Verify([]byte(one)); err != nil || g.Subject != fmt.Sprint("u", i) {
					t.Errorf("u%d: %v, %v", i, g, err)
				}
			}
		})
	}
	done.Go(func() {
		for range 100 {
			v.Drop(func(g *grant.Grant) bool { return g.Subject < "u5" })
			v.Stats()
		}
	})
	done.Wait()
	v.Drop(func(g *grant.Grant) bool { return true })
	if s := v.Stats(); s.Cached != 0 || s.Scopes != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCachedDoesNotAllocate(t *testing.T) {
	v := verifier(t, config())
	text := []byte(hs(t, claims(nil)))
	unknown := []byte(hs(t, claims(map[string]any{"sub": "other"})))
	accepted(t, v, string(text))
	if n := testing.AllocsPerRun(100, func() {
		if _, _, ok := v.Cached(text); !ok {
			t.Fatal("not cached")
		}
		v.Cached(unknown)
		v.Cached([]byte("x"))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
