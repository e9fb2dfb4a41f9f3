package subscribe

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"peal/loop"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/rules"
)

// TestCarry: what is known of a session is the same in another process, and its members
// stay the same.
func TestCarry(t *testing.T) {
	now := func() time.Time { return time.Unix(1_700_000_000, 0) }
	type side struct {
		guests *Guests
		table  *presence.Table
		names  *names.Cache
	}
	open := func() side {
		table := presence.New(presence.Config{}, func(string) bool { return false }, now)
		list := rules.New([]rules.Rule{{Match: "room.*", Presence: rules.Yes}}, rules.Rule{})
		return side{NewGuests(&permit.Gate{Presence: table, Users: permit.NewUsers()}, now), table, names.NewCache(list)}
	}
	a, b := open(), open()
	scope, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: {"room.*"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &loop.Subscription{}
	a.guests.Hold(1, &grant.Grant{Kind: grant.User, Subject: "42", Expires: now().Unix() + 60, Scope: scope}, s, false)
	a.guests.Bring(1, Brought{Headers: map[string]string{"cookie": "c\xff"}, User: "42"}, s)
	list := []*names.Name{a.names.Of("room.1"), a.names.Of("news")}
	if _, err := a.guests.Arrive(1, 7, Visitor{Client: []byte("42"), Info: []byte("info"), Self: &[16]byte{9}}, list, s); err != nil {
		t.Fatal(err)
	}
	if _, err := a.guests.Arrive(1, 7, Visitor{Client: []byte("other")}, list[:1], s); err != nil {
		t.Fatal(err)
	}
	a.guests.Of(1).ByURL = true

	carried, ok := a.guests.Carry(1)
	if !ok {
		t.Fatal("nothing is known of the session")
	}
	text, err := json.Marshal(carried)
	if err != nil {
		t.Fatal(err)
	}
	var c Carried
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	proven, err := c.Grant.Grant(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.table.HandOver(b.table.Import); err != nil {
		t.Fatal(err)
	}
	b.guests.Restore(1, 7, c, proven)
	b.table.Settle()

	again, _ := b.guests.Carry(1)
	if !reflect.DeepEqual(again, carried) {
		t.Errorf("%+v became %+v", carried, again)
	}
	if got := b.guests.gate.Users.Of("42"); got != 1 {
		t.Errorf("the user has %d connections, want 1", got)
	}
	for _, g := range []*Guests{a.guests, b.guests} {
		if client, ok := g.Of(1).On("room.1"); !ok || client != "42" {
			t.Errorf("on room.1 it is %q, %t", client, ok)
		}
	}
	if !slices.Equal(members(a.table), members(b.table)) || len(members(b.table)) != 2 {
		t.Errorf("members %q became %q", members(a.table), members(b.table))
	}
	b.guests.Left(1)
	if got := b.guests.gate.Users.Of("42"); got != 0 {
		t.Errorf("the user has %d connections after the end, want 0", got)
	}
	if _, ok := b.guests.Carry(1); ok {
		t.Error("something is known of a session that has ended")
	}
	if _, ok := a.guests.Carry(2); ok {
		t.Error("something is known of a session without a name")
	}
}

func members(t *presence.Table) (all []string) {
	for _, m := range t.Shown("room.1", 10) {
		all = append(all, m.Client+" "+m.Info)
	}
	return all
}
