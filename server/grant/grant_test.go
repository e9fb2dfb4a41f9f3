package grant_test

import (
	"strings"
	"testing"

	"peal/server/grant"
)

func TestScopeAllowsByPatternOfItsAction(t *testing.T) {
	s, err := grant.NewScope(map[grant.Action][]string{
		grant.Subscribe: {"news.*", `a\*`},
		grant.Publish:   {"chat"},
		grant.History:   {"old"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		action  grant.Action
		channel string
		want    bool
	}{
		{grant.Subscribe, "news.uk", true}, {grant.Subscribe, "chat", false}, {grant.Subscribe, "old", false},
		{grant.Subscribe, "a*", true}, {grant.Subscribe, "ab", false},
		{grant.History, "news.uk", true}, {grant.History, "old", true}, {grant.History, "chat", false},
		{grant.Publish, "chat", true}, {grant.Publish, "news.uk", false},
		{grant.Presence, "news.uk", false}, {grant.Inspect, "news.uk", false},
	} {
		if got := s.Allows(c.action, c.channel); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.action, c.channel, got, c.want)
		}
	}
	for a, want := range map[grant.Action]bool{grant.Subscribe: true, grant.History: true, grant.Publish: true, grant.Presence: false, grant.Disconnect: false} {
		if got := s.May(a); got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
}

// A star grants what clients may name, and nothing of the server's own.
func TestStarDoesNotGrantReservedChannels(t *testing.T) {
	s, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: {"*"}, grant.Presence: {"$user:*"}})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Allows(grant.Subscribe, "x") || s.Allows(grant.Subscribe, "$user:1") || s.Allows(grant.Subscribe, "$presence:x") {
		t.Error("a star grants a channel of the server, or not one of a client")
	}
	if !s.Allows(grant.Presence, "$user:1") {
		t.Error("a pattern with the prefix does not grant its channel")
	}
}

func TestActionsWithoutChannelsNeedNoPattern(t *testing.T) {
	s, err := grant.NewScope(map[grant.Action][]string{grant.Disconnect: {}, grant.Publish: {}})
	if err != nil {
		t.Fatal(err)
	}
	if !s.May(grant.Disconnect) || s.May(grant.Publish) || s.May(grant.Revoke) {
		t.Error("disconnect, publish, revoke:", s.May(grant.Disconnect), s.May(grant.Publish), s.May(grant.Revoke))
	}
}

func TestFaultsNameTheActionAndThePattern(t *testing.T) {
	_, err := grant.NewScope(map[grant.Action][]string{grant.Publish: {`bad\x`}})
	if err == nil || !strings.Contains(err.Error(), "publish") || !strings.Contains(err.Error(), `bad\\x`) {
		t.Error(err)
	}
}

func TestActionsHaveNames(t *testing.T) {
	for _, a := range grant.Actions() {
		got, ok := grant.ParseAction(a.String())
		if got != a || !ok {
			t.Errorf("%s: %v, %v", a, got, ok)
		}
	}
	for _, text := range []string{"", "arrive", "Subscribe", "all"} {
		if a, ok := grant.ParseAction(text); ok {
			t.Errorf("%q is %v", text, a)
		}
	}
}

func TestDecidingDoesNotAllocate(t *testing.T) {
	s, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: {"a.*.b", "news.*"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if !s.Allows(grant.Subscribe, "news.uk") {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
