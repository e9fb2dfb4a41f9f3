package ban_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"testing"
	"time"

	"peal/server/ban"
)

// handOver brings all of from to another table, as to another process.
func handOver(t *testing.T, from, to *ban.Table) (parts int) {
	t.Helper()
	if err := from.HandOver(func(p *ban.Part) error {
		parts++
		var b bytes.Buffer
		var got ban.Part
		if err := errors.Join(gob.NewEncoder(&b).Encode(p), gob.NewDecoder(&b).Decode(&got)); err != nil {
			return err
		}
		to.Import(&got)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestBansAreHandedOver(t *testing.T) {
	now := time.Unix(1000, 500)
	clock := func() time.Time { return now }
	from := ban.New(3000, 2000, clock)
	from.Ban(1, []string{"a", "b"}, time.Hour)
	from.Ban(2, []string{"c"}, time.Minute)
	to := ban.New(3000, 2000, clock)
	to.Restore("old", now.Add(time.Hour)) // of a log, and lifted since
	now = now.Add(30 * time.Second)
	if parts := handOver(t, from, to); parts != 1 || to.Len() != 3 || to.HasText("old") {
		t.Errorf("%d parts, %d bans, the old one: %v", parts, to.Len(), to.HasText("old"))
	}
	for _, client := range []string{"a", "b", "c"} {
		if got, want := to.Until(client), from.Until(client); !got.Equal(want) {
			t.Errorf("%s is banned until %v, want %v", client, got, want)
		}
	}
	now = now.Add(30 * time.Second)
	if to.HasText("c") || !to.HasText("a") {
		t.Error("a ban goes on for another time than it had")
	}
	for i := range 1998 { // the share goes on with what it had
		to.Ban(1, []string{fmt.Sprint(i)}, time.Hour)
	}
	if refused, _ := to.Ban(1, []string{"more"}, time.Hour); len(refused) != 1 {
		t.Error("the share of a ban was lost: it has more than its limit")
	}
	again := ban.New(1500, 1500, clock) // less room: those that end first go
	to.Ban(3, []string{"longest"}, 2*time.Hour)
	if parts := handOver(t, to, again); parts != 2 || again.Len() != 1500 || again.Evicted() != 501 || !again.HasText("longest") {
		t.Errorf("%d parts, %d bans, %d evicted", parts, again.Len(), again.Evicted())
	}
	handOver(t, ban.New(1, 1, clock), again)
	if again.Len() != 0 {
		t.Errorf("%d bans where none were handed over", again.Len())
	}
	stop := errors.New("stop")
	if err := from.HandOver(func(*ban.Part) error { return stop }); err != stop {
		t.Error(err)
	}
}
