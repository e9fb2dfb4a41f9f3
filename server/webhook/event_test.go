package webhook

import (
	"encoding/json"
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

// An event is not longer in a body than its bytes, and not much shorter.
func TestBytesOfAnEvent(t *testing.T) {
	n, all := 1<<30, ""
	for c := range rune(0x3000) {
		all += string(c)
	}
	for _, text := range []string{"", "x", all, all + "\U0001F600\xff\xfe", strings.Repeat("\x01", 1000), strings.Repeat("<\u2028", 1000)} {
		for _, k := range []event{
			{Type: Publication, Channel: "orders", Data: &text},
			{ID: "1z141z4abcdefg-18446744073709551615.99", Type: Publication, Channel: text, Event: text, User: text, Socket: "18446744073709551615.18446744073709551615",
				Subscribers: &n, Cursor: "1z141z4abcdefg-18446744073709551615", Time: 1<<53 - 1, Base64: []byte(text)},
			{ID: "1z141z4abcdefg-18446744073709551615.gap", Type: Gap, After: "1z141z4abcdefg-18446744073709551615", Upto: "1z141z4abcdefg-18446744073709551615", Cursor: "1z141z4abcdefg-18446744073709551615", Time: 1<<53 - 1},
		} {
			b, err := json.Marshal(k)
			if err != nil {
				t.Fatal(err)
			}
			if got := k.bytes(); len(b) > got || got > len(b)+eventBytes {
				t.Errorf("%.30q has %d bytes, and is counted as %d", b, len(b), got)
			}
		}
	}
}
