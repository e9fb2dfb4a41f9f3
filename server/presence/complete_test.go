package presence_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/server/presence"
)

func completeRig(c presence.Config) *rig {
	r := newRig(c)
	r.UseComplete(func(channel string) bool { return strings.HasPrefix(channel, "presence-") })
	return r
}

// The first watcher of a complete channel has no event without names: it has listed the
// members. All changes have names, however many they are.
func TestCompleteChannelsNameAllMembers(t *testing.T) {
	r := completeRig(presence.Config{Named: 2})
	r.Watch("presence-a")
	r.Watch("b")
	r.pass(2 * presence.TickEvery)
	r.want(t, `b {"count":0,"joined":0,"left":0}`)
	for i := range 3 {
		r.Join("presence-a", fmt.Sprint(i), "")
	}
	r.pass(2 * presence.TickEvery)
	r.want(t, `presence-a {"count":3,"join":[{"client":"0"},{"client":"1"},{"client":"2"}],"leave":[]}`)
	r.Leave("presence-a", "1")
	r.EndGrace("presence-a", "1")
	r.Join("presence-a", "3", "x")
	r.pass(2 * presence.TickEvery)
	r.want(t, `presence-a {"count":3,"join":[{"client":"3","info":"x"}],"leave":[{"client":"1"}]}`)
}

// A session does not receive the event of its own join, which has nothing else in it; all
// of the same moment come at once.
func TestOwnJoinsAreEventsOfTheirOwn(t *testing.T) {
	r := completeRig(presence.Config{})
	r.Watch("presence-a")
	r.Join("presence-a", "other", "")
	var ids [3][16]byte
	for i := range ids {
		ids[i] = [16]byte{byte(i + 1)}
		g := r.Enter(1, fmt.Sprint(i), "")
		g.Self = &ids[i]
		g.Sit([]string{"presence-a"}, fmt.Sprint(i), "", all)
	}
	r.Join("presence-a", "z", "")
	r.pass(2 * presence.TickEvery)
	var got []string
	for _, e := range r.events {
		text := fmt.Sprint(e.Count)
		for _, m := range e.Join {
			text += " " + m.Client
		}
		if e.Exclude != nil {
			text += fmt.Sprintf(" but %d", e.Exclude[0])
		}
		got = append(got, text)
	}
	if want := []string{"5 other", "5 0 but 1", "5 1 but 2", "5 2 but 3", "5 z"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if more := r.Tick(r.publish); more {
		t.Error("there is more to do")
	}
}

// Long texts are cut into several events, none of which loses its names.
func TestCompleteEventsAreCut(t *testing.T) {
	r := completeRig(presence.Config{})
	r.Watch("presence-a")
	info := strings.Repeat("\x01", 1000) // 6,000 bytes of JSON
	for i := range 40 {
		r.Join("presence-a", fmt.Sprint(i), info)
	}
	r.pass(2 * presence.TickEvery)
	seen := 0
	for i, e := range r.events {
		if seen += len(e.Join); e.Unnamed || !strings.Contains(r.texts[i], `"join":[{`) {
			t.Errorf("event %d has no names: %.80s", i, r.texts[i])
		}
	}
	if seen != 40 || len(r.events) < 8 {
		t.Errorf("%d members in %d events", seen, len(r.events))
	}
	// A log without room takes the same ones later.
	r.take()
	r.full = true
	r.Join("presence-a", "late", "")
	r.pass(2 * presence.TickEvery)
	r.full = false
	r.pass(2 * presence.TickEvery)
	r.want(t, `presence-a {"count":41,"join":[{"client":"late"}],"leave":[]}`)
}

// The list of a new watcher and the events behind it are consistent: a change that has no event
// yet is not in the list.
func TestShownIsWhatEventsHaveShown(t *testing.T) {
	r := completeRig(presence.Config{})
	shown := func(want string) {
		t.Helper()
		var got []string
		for _, m := range r.Shown("presence-a", 10) {
			got = append(got, m.Client)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("shown %q, want %q", got, want)
		}
	}
	shown("")
	r.Join("presence-a", "before", "") // without a watcher there is no event
	shown("before")
	r.Watch("presence-a")
	r.Join("presence-a", "b", "")
	r.Join("presence-a", "a", "")
	shown("before")
	r.pass(2 * presence.TickEvery)
	shown("a b before")
	r.Leave("presence-a", "a")
	r.EndGrace("presence-a", "a")
	r.time = r.time.Add(time.Second)
	r.Join("presence-a", "c", "")
	r.full = true // it expires, and its event has no room
	shown("a b before")
	r.Leave("presence-a", "c")
	r.EndGrace("presence-a", "c")
	shown("a b before")
	r.full = false
	r.pass(2 * presence.TickEvery)
	shown("b before")
}
