package apikey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/server/apikey"
	"peal/server/grant"
)

func definition(t testing.TB, b byte, name string, allow ...string) apikey.Definition {
	return apikey.Definition{Name: name, Digest: apikey.Digest(created(t, b)), Allow: allow}
}

func TestFindReturnsTheGrantOfItsKeyOnly(t *testing.T) {
	var all []apikey.Definition
	for b := range byte(20) {
		all = append(all, definition(t, b, fmt.Sprint("key ", b), "publish"))
	}
	table := apikey.New(all, nil)
	for b := range byte(20) {
		g, ok := table.Find([]byte(created(t, b)))
		if !ok || g.Kind != grant.Backend || g.Subject != fmt.Sprint("key ", b) || g.Expires != 0 || g.ID != "" {
			t.Errorf("key %d: %+v, %v", b, g, ok)
		}
	}
	key := created(t, 3)
	for _, text := range []string{"", created(t, 20), key[:len(key)-1], key + "0", " " + key, strings.ToLower(key), all[3].Digest} {
		if g, ok := table.Find([]byte(text)); ok || g != nil {
			t.Errorf("%d bytes are %+v", len(text), g)
		}
	}
	for _, empty := range []*apikey.Table{nil, apikey.New(nil, nil)} {
		if _, ok := empty.Find([]byte(key)); ok || empty.Len() != 0 || len(empty.Uses()) != 0 {
			t.Error("a table without keys finds one")
		}
	}
}

func TestAKeyDoesWhatItsEntriesAllow(t *testing.T) {
	g, _ := apikey.New([]apikey.Definition{definition(t, 1, "shop",
		"publish:orders.*", `publish:a\*`, "history", "disconnect", "presence:*", "inspect:$user:*")}, nil).Find([]byte(created(t, 1)))
	for _, c := range []struct {
		action  grant.Action
		channel string
		want    bool
	}{
		{grant.Publish, "orders.1", true}, {grant.Publish, "orders", false}, {grant.Publish, "a*", true}, {grant.Publish, "ab", false}, {grant.Publish, "$user:1", false},
		{grant.History, "x", true}, {grant.History, "$user:1", true},
		{grant.Presence, "x", true}, {grant.Presence, "$user:1", false},
		{grant.Inspect, "$user:1", true}, {grant.Inspect, "x", false},
		{grant.Subscribe, "x", false}, {grant.Subscribe, "orders.1", false},
	} {
		if got := g.Allows(c.action, c.channel); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.action, c.channel, got, c.want)
		}
	}
	if !g.May(grant.Disconnect) || g.May(grant.Revoke) || g.May(grant.Subscribe) {
		t.Error("disconnect, revoke, subscribe:", g.May(grant.Disconnect), g.May(grant.Revoke), g.May(grant.Subscribe))
	}
}

// An entry without a pattern holds beside one with it, in any order.
func TestEntriesOfOneActionAreJoined(t *testing.T) {
	for _, allow := range [][]string{{"publish", "publish:a"}, {"publish:a", "publish"}} {
		g, _ := apikey.New([]apikey.Definition{definition(t, 1, "shop", allow...)}, nil).Find([]byte(created(t, 1)))
		if !g.Allows(grant.Publish, "a") || !g.Allows(grant.Publish, "b") || !g.Allows(grant.Publish, "$user:1") {
			t.Errorf("%q does not allow every channel", allow)
		}
	}
}

func TestUsesAreCountedAndSurviveReload(t *testing.T) {
	one, two := []byte(created(t, 1)), []byte(created(t, 2))
	now := time.Unix(1_700_000_000, 999)
	first := apikey.New([]apikey.Definition{definition(t, 1, "shop", "publish"), definition(t, 2, "crm", "history")}, nil)
	first.Find(one)
	first.Find(one)
	first.Find([]byte(created(t, 3)))
	check := func(table *apikey.Table, want ...apikey.Use) {
		t.Helper()
		got := table.Uses()
		if len(got) != len(want) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		for i, w := range want {
			g := got[i]
			if g != w {
				t.Errorf("%+v, want %+v", g, w)
			}
		}
	}
	first.Sweep(now)
	first.Sweep(now.Add(time.Hour))
	check(first, apikey.Use{Name: "shop", Requests: 2, Second: 1_700_000_000}, apikey.Use{Name: "crm"})

	// crm gets another key and other permissions, shop is revoked, a new one comes.
	second := apikey.New([]apikey.Definition{definition(t, 4, "new", "publish"), definition(t, 5, "crm", "inspect"), definition(t, 1, "other", "publish")}, first)
	first.Find(two) // a loop that has not taken the new table
	second.Find([]byte(created(t, 5)))
	second.Sweep(now.Add(2 * time.Second))
	check(second, apikey.Use{Name: "new"}, apikey.Use{Name: "crm", Requests: 2, Second: 1_700_000_002}, apikey.Use{Name: "other"})
	if _, ok := second.Find(two); ok {
		t.Error("the former key of crm is still found")
	}
}

// What was opened with a key goes on while the key allows as much as before.
func TestGrantsAreRenewed(t *testing.T) {
	first := apikey.New([]apikey.Definition{
		definition(t, 1, "same", "publish"), definition(t, 2, "more", "publish"), definition(t, 3, "less", "publish", "history"),
		definition(t, 4, "other", "publish"), definition(t, 5, "digest", "publish"), definition(t, 6, "gone", "publish"), definition(t, 7, "named", "publish"),
	}, nil)
	second := apikey.New([]apikey.Definition{
		definition(t, 7, "renamed", "publish"), definition(t, 8, "digest", "publish"), definition(t, 4, "other", "publish:a"),
		definition(t, 3, "less", "publish"), definition(t, 2, "more", "history", "publish"), definition(t, 1, "same", "publish"),
	}, first)
	for b, want := range map[byte]struct{ now, known bool }{
		1: {true, true}, 2: {true, true}, 3: {false, true}, 4: {false, true}, 5: {}, 6: {}, 7: {},
	} {
		g, _ := first.Find([]byte(created(t, b)))
		now, known := second.Renew(g)
		if (now != nil) != want.now || known != want.known {
			t.Errorf("key %d: %v, %v, want %+v", b, now, known, want)
		}
		if found, _ := second.Find([]byte(created(t, b))); now != nil && now != found {
			t.Errorf("key %d: renewed to another grant than its own", b)
		}
		if (now == g) != (b == 1) {
			t.Errorf("key %d: keeps its grant: %v", b, now == g)
		}
	}
	g, _ := second.Find([]byte(created(t, 2)))
	if !g.Allows(grant.History, "a") || g.Allows(grant.Inspect, "a") {
		t.Error("a key with other entries has the grant of the earlier ones")
	}
	if now, known := apikey.New(nil, second).Renew(g); now != nil || known {
		t.Error("a key of no table is renewed")
	}
}

func TestValidateReportsAllFaultsAtOnce(t *testing.T) {
	key := created(t, 9)
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint("publish:", i)
	}
	err := apikey.Validate([]apikey.Definition{
		definition(t, 1, "shop", "publish"),
		definition(t, 2, "shop", "publish"),
		{Digest: "", Allow: nil},
		{Name: strings.Repeat("n", 65), Digest: key, Allow: []string{"publsh:a", "disconnect:a", "", "publish:", `history:\x`, "arrive"}},
		{Name: "a\nb", Digest: apikey.Digest(created(t, 1)), Allow: []string{"revoke"}},
		{Name: "short", Digest: "sha256:abcd", Allow: many},
		{Name: "shown", Digest: "(set)", Allow: []string{"publish"}},
	})
	wants := []string{
		`key 2, "shop": key 1 has this name already`,
		`key 3, "": has no name`,
		`key 3, "": has no digest: create a key with "peal key create"`,
		`key 3, "": allows nothing: set allow`,
		`a name is 1 to 64 bytes of printable UTF-8`,
		`its digest is a key, which must not be in a configuration: replace it by its digest, which "peal key digest" prints`,
		`allow "publsh:a": unknown action; did you mean publish? (subscribe, history, presence, publish, inspect, disconnect or revoke)`,
		`allow "disconnect:a": disconnect is not about channels: write disconnect without a pattern`,
		`allow "": must be an action`,
		`allow "publish:": a pattern is 1 to 200 bytes`,
		`allow "history:\\x": the backslash`,
		`allow "arrive": must be an action`,
		`key 5, "a\nb": a name is`,
		`key 5, "a\nb": has the digest of key 1`,
		`key 6, "short": its digest must be sha256: and 64 hexadecimal digits`,
		`key 6, "short": has 101 entries in allow: must be at most 100`,
		`key 7, "shown": its digest must be`,
	}
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(wants) {
		t.Errorf("%d faults, want %d: %v", len(lines), len(wants), err)
	}
	if strings.Contains(err.Error(), key[5:]) || strings.Contains(err.Error(), "abcd") {
		t.Error("a fault repeats a key or a digest")
	}
	var fault *apikey.Fault
	if !errors.As(err, &fault) || fault.Key != 1 || fault.Name != "shop" {
		t.Errorf("the first fault is %+v", fault)
	}
}

func TestKeysAreLimited(t *testing.T) {
	many := make([]apikey.Definition, apikey.Most)
	for i := range many {
		many[i] = apikey.Definition{Name: fmt.Sprint(i), Digest: apikey.Digest(fmt.Sprint(i)), Allow: []string{"publish"}}
	}
	if err := apikey.Validate(many); err != nil {
		t.Error(err)
	}
	if err := apikey.Validate(append(many, definition(t, 1, "shop", "publish"))); err == nil || !strings.Contains(err.Error(), "must be at most 1000") {
		t.Error(err)
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	table := apikey.New([]apikey.Definition{definition(t, 1, "shop", "publish"), definition(t, 2, "crm", "history")}, nil)
	known, unknown, mistyped := []byte(created(t, 2)), []byte(created(t, 3)), []byte(created(t, 3))
	mistyped[9] ^= 1
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := table.Find(known); !ok {
			t.Fatal("not found")
		}
		table.Find(unknown)
		table.Find(mistyped)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 10, apikey.Most} {
		all := []apikey.Definition{definition(b, 1, "shop", "publish")}
		for i := range n - 1 {
			all = append(all, apikey.Definition{Name: fmt.Sprint(i), Digest: apikey.Digest(fmt.Sprint(i)), Allow: []string{"publish"}})
		}
		table, key := apikey.New(all, nil), []byte(created(b, 1))
		b.Run(fmt.Sprint("keys=", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Find(key)
			}
		})
	}
}
