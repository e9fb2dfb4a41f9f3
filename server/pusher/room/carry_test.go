package room

import (
	"reflect"
	"testing"

	"peal/loop"
	"peal/server/app"
	"peal/server/permit"
)

// TestCarry: a room of another process knows of a connection what the room here knew.
func TestCarry(t *testing.T) {
	open := func(ids ...string) *Room {
		var all []app.Definition
		for _, id := range ids {
			all = append(all, app.Definition{ID: id, Key: "key-" + id, Secret: "a-long-secret-" + id, Namespace: id + ":"})
		}
		apps, err := app.New(all, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &Room{Gate: &permit.Gate{Apps: apps}}
	}
	c := &counts{}
	a, b, without := open("1", "2"), open("2", "1"), open("2")
	one := a.Gate.Apps.ByID("1")
	a.Arrive(8, one, &loop.Subscription{})
	a.Arrive(9, one, &loop.Subscription{})
	a.connections[9] = &connection{app: one, user: "1:anna"}
	a.counting.add(countClient{of: c, session: 9}, "1:x", 3)
	a.counting.add(countClient{of: c, session: 9}, "1:y", 4)
	for _, session := range []uint64{8, 9} {
		was := a.Carry(session)
		if err := b.Restore(countClient{of: c, session: session}, was); err != nil {
			t.Fatal(err)
		}
		if is := b.Carry(session); was == nil || !reflect.DeepEqual(was, is) {
			t.Errorf("%+v became %+v", was, is)
		}
		if err := without.Restore(countClient{of: c, session: session}, was); err == nil || without.Has(session) {
			t.Errorf("a connection of an app that is gone: %v, %t", err, without.Has(session))
		}
	}
	if n := b.Gate.Apps.ByID("1").Connections.Load(); n != 2 {
		t.Errorf("the app has %d connections, want 2", n)
	}
	b.Left(8)
	b.Left(9)
	if n := b.Gate.Apps.ByID("1").Connections.Load(); n != 0 || len(b.counting.places) != 0 {
		t.Errorf("the app has %d connections after their end, and %v is counted", n, b.counting.places)
	}
	if a.Carry(10) != nil {
		t.Error("a connection of another protocol has something to carry")
	}
}
