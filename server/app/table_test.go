package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/server/rate"
	"peal/server/rules"
)

func TestDefinitions(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := file("secret", "a-long-secret\n")
	good := Definition{ID: "1", Key: "k", Secret: "a-long-secret"}
	with := func(f func(d *Definition)) Definition {
		d := good
		f(&d)
		return d
	}
	for name, c := range map[string]struct {
		all  []Definition
		want []string // none: valid
	}{
		"none":                        {nil, nil},
		"one":                         {[]Definition{good}, nil},
		"a secret in a file":          {[]Definition{with(func(d *Definition) { d.Secret, d.SecretFile = "", secret })}, nil},
		"two":                         {[]Definition{good, {ID: "2", Key: "k2", Secret: "a-long-secret", Namespace: "shop:"}}, nil},
		"the same namespace":          {[]Definition{good, {ID: "2", Key: "k2", Secret: "a-long-secret"}}, []string{`app 2, "2": app 1 has this namespace already`}},
		"the same key and id":         {[]Definition{good, with(func(d *Definition) { d.Namespace = "b:" })}, []string{"app 1 has this id already", "app 1 has this key already"}},
		"a namespace without a colon": {[]Definition{with(func(d *Definition) { d.Namespace = "shop" })}, []string{"namespace must be empty"}},
		"a namespace of the server":   {[]Definition{with(func(d *Definition) { d.Namespace = "$a:" })}, []string{"namespace must be empty"}},
		"a long namespace":            {[]Definition{with(func(d *Definition) { d.Namespace = strings.Repeat("x", 32) + ":" })}, []string{"at most 32 bytes"}},
		"no id and a bad key":         {[]Definition{{Key: "a:b", Secret: "a-long-secret"}}, []string{"id must be", "key must be"}},
		"no secret":                   {[]Definition{with(func(d *Definition) { d.Secret = "" })}, []string{"has no secret"}},
		"a short secret":              {[]Definition{with(func(d *Definition) { d.Secret = "abc" })}, []string{"a secret of 3 bytes"}},
		"two secrets":                 {[]Definition{with(func(d *Definition) { d.SecretFile = secret })}, []string{"remove one of them"}},
		"no file":                     {[]Definition{with(func(d *Definition) { d.Secret, d.SecretFile = "", secret+"x" })}, []string{"secret-file: open"}},
		"an empty file":               {[]Definition{with(func(d *Definition) { d.Secret, d.SecretFile = "", file("empty", "\n") })}, []string{"is empty"}},
		"a rate that is none":         {[]Definition{with(func(d *Definition) { d.ClientEventRate = rate.Limit{Count: 1} })}, []string{"client-event-rate"}},
		"too many":                    {make([]Definition, Most+1), []string{"at most 1000"}},
	} {
		err := Validate(c.all)
		if len(c.want) == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		environment string
		want        Definition
		from        string
		err         string
	}{
		{"", Definition{}, "", ""},
		{"REVERB_APP_ID=1 REVERB_APP_KEY=k REVERB_APP_SECRET=s", Definition{ID: "1", Key: "k", Secret: "s"}, "REVERB_APP_ID", ""},
		{"PUSHER_APP_ID=1 PUSHER_APP_KEY=k PUSHER_APP_SECRET=s", Definition{ID: "1", Key: "k", Secret: "s"}, "PUSHER_APP_ID", ""},
		{"PUSHER_APP_ID=2 PUSHER_APP_KEY=k2 PUSHER_APP_SECRET=s2 REVERB_APP_ID=1 REVERB_APP_KEY=k REVERB_APP_SECRET=s", Definition{ID: "1", Key: "k", Secret: "s"}, "REVERB_APP_ID", ""},
		{"REVERB_APP_ID= REVERB_APP_KEY= REVERB_APP_SECRET= PUSHER_APP_ID=1 PUSHER_APP_KEY=k PUSHER_APP_SECRET=a=b", Definition{ID: "1", Key: "k", Secret: "a=b"}, "PUSHER_APP_ID", ""},
		{"REVERB_APP_KEY=k", Definition{}, "REVERB_APP_ID", "REVERB_APP_ID and REVERB_APP_SECRET must be set, too"},
		{"PUSHER_APP_ID=1 PUSHER_APP_KEY=k", Definition{}, "PUSHER_APP_ID", "PUSHER_APP_SECRET must be set, too"},
	} {
		d, from, ok, err := FromEnvironment(strings.Fields(c.environment))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || from != c.from {
				t.Errorf("%s: %q, %v", c.environment, from, err)
			}
			continue
		}
		if err != nil || d != c.want || from != c.from || ok != (from != "") {
			t.Errorf("%s: %+v, %q, %v, %v", c.environment, d, from, ok, err)
		}
	}
	d, err := Parse("1:k:a:b")
	if want := (Definition{ID: "1", Key: "k", Secret: "a:b"}); err != nil || d != want {
		t.Errorf("Parse: %+v, %v", d, err)
	}
	if _, err := Parse("1:k"); err == nil || !strings.Contains(err.Error(), "ID:KEY:SECRET") {
		t.Errorf("Parse without a secret: %v", err)
	}
}

func TestTable(t *testing.T) {
	shop := Definition{ID: "2", Key: "k2", Secret: "a-long-secret", Namespace: "shop:", ClientEvents: rules.No, SubscriptionCount: rules.Yes, MaxMembers: 7, MaxConnections: 9, ClientEventRate: rate.Off}
	table := tableOf(t, golden, shop)
	a, b := table.ByKey([]byte(golden.Key)), table.ByID("2")
	switch {
	case table.Len() != 2 || table.All()[0] != a || table.All()[1] != b:
		t.Fatalf("apps %v", table.All())
	case !a.ClientEvents || a.SubscriptionCount || a.MaxMembers != 100 || a.MaxConnections != 0 || a.ClientEventRate != rate.PerSecond(10):
		t.Errorf("defaults %+v", a)
	case b.ClientEvents || !b.SubscriptionCount || b.MaxMembers != 7 || b.MaxConnections != 9 || b.ClientEventRate != rate.Off:
		t.Errorf("limits %+v", b)
	case table.ByKey([]byte("x")) != nil || table.ByID("x") != nil:
		t.Error("an app that is not there")
	}
	for channel, want := range map[string]*App{"orders": a, "private-x": a, "shop:orders": b, "shop:private-x": b, "other:private-x": nil, "a:shop:x": nil} {
		if got := table.Of(channel); got != want {
			t.Errorf("app of %s: %v", channel, got)
		}
	}
	for channel, want := range map[string]bool{
		"orders": false, "private-x": true, "presence-x": true, "shop:presence-x": true, "shop:x": false, "other:private-x": false,
		"private-encrypted-x": true, "private-cache-x": true, "cache-x": false, "#server-to-user-1": true, "shop:#server-to-user-1": true, "private": false, "xprivate-x": false,
	} {
		if got := table.Protects(channel); got != want {
			t.Errorf("%s: protected %v, want %v", channel, got, want)
		}
	}
	var none *Table
	if none.Len() != 0 || none.Of("x") != nil || none.ByID("x") != nil || none.ByKey(nil) != nil || none.Protects("private-x") || none.All() != nil {
		t.Error("no table has an app")
	}
	// A reload keeps the counts of an app that is still there.
	a.Connections.Add(3)
	changed := golden
	changed.Key = "another"
	next, err := New([]Definition{changed}, false, table)
	if err != nil || next.ByID("3").Connections.Load() != 3 || next.ByID("2") != nil || next.ByKey([]byte(golden.Key)) != nil {
		t.Errorf("the next table: %v", err)
	}
	// What was published on channels of a former app stays protected.
	last, err := New(nil, false, next)
	if err != nil || last.Len() != 0 {
		t.Errorf("the last table: %v", err)
	}
	for channel, want := range map[string]bool{"shop:presence-x": true, "private-x": true, "shop:x": false, "other:private-x": false} {
		if last.Protects(channel) != want || next.Protects(channel) != want {
			t.Errorf("%s without its app: protected %v and %v, want %v", channel, next.Protects(channel), last.Protects(channel), want)
		}
	}
}

// Public channels of an app without a namespace are those of the whole server.
func TestPublic(t *testing.T) {
	for _, c := range []struct {
		namespace    string
		public       rules.Choice
		others, want bool
	}{
		{"", 0, false, true}, {"", 0, true, false}, {"", rules.Yes, true, true}, {"", rules.No, false, false},
		{"a:", 0, false, true}, {"a:", 0, true, true}, {"a:", rules.No, true, false},
	} {
		d := golden
		d.Namespace, d.Public = c.namespace, c.public
		table, err := New([]Definition{d}, c.others, nil)
		if err != nil || table.ByID("3").Public != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"orders": true, "private-encrypted-a_=@,.;9": true, "#server-to-user-1": true, "": false, "#": false, "a:b": false, "a b": false, "a#b": false, "ä": false,
		strings.Repeat("x", 164): true, strings.Repeat("x", 165): false, "a/b": false, "a\"b": false,
	} {
		if got := IsName([]byte(name)); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]bool{"cache-x": true, "private-cache-x": true, "presence-cache-x": true, "private-encrypted-cache-x": true, "cache-": false, "private-x": false, "x-cache-y": false} {
		if got := HasCache(name); got != want {
			t.Errorf("%q: cache %v, want %v", name, got, want)
		}
	}
	for channel, want := range map[string]string{"x": "x", "a:x": "x", "a:b:x": "x", "a:": ""} {
		if got := Name(channel); got != want {
			t.Errorf("%q: %q, want %q", channel, got, want)
		}
	}
}
