package webhook

import (
	"fmt"
	"strings"
	"testing"

	"peal/server/log"
)

// The backend of an app hears of its channels and users by the names that it has given them.
func TestUsersHaveNoNamespace(t *testing.T) {
	apps := func(string) (App, bool) { return App{Key: "k", Namespace: "shop:"}, true }
	d := Definition{Name: "a", URL: "https://a.example/", Events: []string{Added, Removed, ClientEvent}, App: "1"}
	ours, err := newEndpoint(d, apps, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.App, d.Secret = "", strings.Repeat("s", 24)
	others, err := newEndpoint(d, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := [16]byte{7: 1, 15: 2}
	entries := []*log.Entry{
		entry(eventChanges, changes{All: []change{{Name: Added, Channel: "shop:presence-a", Member: "shop:7"}, {Name: Removed, Channel: "shop:presence-a", Member: "8"}}}),
		{Kind: log.KindPublication, Channel: "shop:presence-a", Event: "client-x", Data: []byte("1"), Exclude: &id, Tags: map[string]string{log.UserTag: "7", log.ClientTag: "1"}},
	}
	for _, c := range []struct {
		endpoint *endpoint
		want     string
	}{
		{ours, "member_added presence-a 7 ; member_removed presence-a 8 ; client_event presence-a 7 1.2; "},
		{others, "member_added shop:presence-a shop:7 ; member_removed shop:presence-a 8 ; client_event shop:presence-a 7 1.2; "},
	} {
		got := ""
		for _, e := range entries {
			for _, k := range c.endpoint.appendEvents(nil, e, log.NewLineage(1)) {
				got += fmt.Sprintf("%s%s %s %s %s; ", k.Type, k.Name, k.Channel, k.User, k.Socket)
			}
		}
		if got != c.want {
			t.Errorf("events\n%s, want\n%s", got, c.want)
		}
	}
}
