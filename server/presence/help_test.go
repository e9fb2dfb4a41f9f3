package presence_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/server/presence"
	"peal/server/publication"
	"peal/server/share"
)

var seedFlag = flag.Uint64("seed", 0, "replay this schedule")

// rig is a table with everything around it made up: its clock, who is subscribed,
// and a log that keeps what is published.
type rig struct {
	*presence.Table
	time   time.Time
	asked  map[string]bool
	full   bool
	guests map[[2]string][]*presence.Guest // connections by channel and client
	events []*presence.Event
	texts  []string // of events, when they were published
}

func newRig(c presence.Config) *rig {
	if c.Share == 0 {
		c.Share = 100 // one share may fill it
	}
	r := &rig{time: time.Unix(1_000_000, 0), asked: map[string]bool{}, guests: map[[2]string][]*presence.Guest{}}
	r.Table = presence.New(c, func(channel string) bool { return r.asked[channel] }, func() time.Time { return r.time })
	return r
}

func all(int) bool { return true }

// Join is a connection of its own that joins a channel. It stays if it is listed.
func (r *rig) Join(channel, client, info string) (listed bool) {
	return r.joinBy(1, channel, client, info)
}

func (r *rig) joinBy(by share.Key, channel, client, info string) (listed bool) {
	g := r.Enter(by, client, info)
	if unlisted, ok := g.Sit([]string{channel}, client, info, all); unlisted > 0 || !ok {
		g.End()
		return false
	}
	at := [2]string{channel, client}
	r.guests[at] = append(r.guests[at], g)
	return true
}

// Leave ends one of the connections of Join.
func (r *rig) Leave(channel, client string) {
	at := [2]string{channel, client}
	last := len(r.guests[at]) - 1
	r.guests[at][last].End()
	r.guests[at] = r.guests[at][:last]
}

func (r *rig) Watch(channel string) bool { return r.Table.Watch(1, channel) }

var errFull = errors.New("full")

func (r *rig) publish(e *presence.Event) error {
	if r.full {
		return errFull
	}
	r.events = append(r.events, e)
	r.texts = append(r.texts, fmt.Sprintf("%s %s", e.Channel, e.JSON()))
	return nil
}

// pass lets time pass, with a Tick every TickEvery.
func (r *rig) pass(d time.Duration) {
	for ; d > 0; d -= presence.TickEvery {
		r.time = r.time.Add(min(d, presence.TickEvery))
		r.Tick(r.publish)
	}
}

// take returns what was published since the last call.
func (r *rig) take() string {
	all := strings.Join(r.texts, "\n")
	r.texts = nil
	return all
}

func (r *rig) want(t *testing.T, texts ...string) {
	t.Helper()
	if got, want := r.take(), strings.Join(texts, "\n"); got != want {
		t.Errorf("published\n%s\nwant\n%s", got, want)
	}
}

// clients lists all members of a channel, as "client" or "client=info".
func (r *rig) clients(channel string) string {
	var all []string
	for _, m := range r.list(channel, 1000) {
		text := m.Client
		if m.Info != "" {
			text += "=" + m.Info
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// list reads all pages.
func (r *rig) list(channel string, limit int) (all []publication.Member) {
	after := ""
	for {
		p := r.List(channel, after, limit)
		all = append(all, p.Members...)
		if !p.More {
			return all
		}
		after = p.Members[len(p.Members)-1].Client
	}
}
