package hub_test

import (
	"fmt"
	"testing"
	"time"

	"peal/server/hub"
	"peal/server/rules"
)

func newRuled(total int, list ...rules.Rule) *rig {
	standard := rules.Rule{HistoryMessages: 100, HistoryBytes: 1 << 20, HistoryAge: time.Minute}
	return newRig(hub.Config{TotalBytes: total, Rules: rules.New(list, standard)})
}

func TestEachChannelKeepsWhatItsRuleSays(t *testing.T) {
	r := newRuled(0,
		rules.Rule{Match: "prices.*", HistoryMessages: 1},
		rules.Rule{Match: "secret.*", HistoryMessages: -1},
		rules.Rule{Match: "short.*", HistoryAge: time.Second},
		rules.Rule{Match: "small.*", HistoryBytes: 2 * sizeOf("small.a", "")},
	)
	r.Join("secret.b") // known before its first publication
	for range 3 {
		for _, name := range []string{"prices.a", "secret.a", "secret.b", "short.a", "small.a", "other"} {
			r.publish(name, "")
		}
	}
	r.wantRead(t, "prices.a", 0, 7, 13)
	r.wantRead(t, "secret.a", 0, 14)
	r.wantRead(t, "secret.b", 0, 15)
	r.wantRead(t, "short.a", 0, 0, 4, 10, 16)
	r.wantRead(t, "small.a", 0, 5, 11, 17)
	r.wantRead(t, "other", 0, 0, 6, 12, 18)
	r.clock.pass(2 * time.Second)
	r.wantRead(t, "short.a", 0, 16)
	r.wantRead(t, "other", 0, 0, 6, 12, 18)
}

// A channel that keeps its messages long must not keep others from being swept,
// however many of them there are.
func TestSweepDoesNotWaitForOlderHistoriesThatLiveLonger(t *testing.T) {
	r := newRuled(0, rules.Rule{Match: "long.*", HistoryAge: time.Hour}, rules.Rule{Match: "short.*", HistoryAge: time.Second})
	r.publish("long.a", "")
	for i := range 100 {
		r.publish(fmt.Sprintf("short.%d", i), "")
		r.publish(fmt.Sprintf("other.%d", i), "")
	}
	r.clock.pass(2 * time.Second)
	if r.Sweep(r.clock.now()) {
		t.Error("one sweep of a hundred channels reports that there are more")
	}
	if got := r.Stats().Channels; got != 101 {
		t.Errorf("%d channels are left, want 101", got)
	}
	r.clock.pass(time.Minute)
	r.Sweep(r.clock.now())
	if got := r.Stats().Channels; got != 1 {
		t.Errorf("%d channels are left, want 1", got)
	}
}

func TestTheLeastRecentlyPublishedGoesFirstWhateverItsRule(t *testing.T) {
	size := sizeOf("a", "")
	r := newRuled(3*size, rules.Rule{Match: "a", HistoryAge: time.Second}, rules.Rule{Match: "b", HistoryAge: time.Hour})
	r.publish("c", "")
	r.publish("b", "")
	r.publish("a", "")
	r.publish("c", "") // the total is full: now b is the least recent
	r.wantRead(t, "b", 0, 2)
	r.wantRead(t, "c", 0, 0, 1, 4)
	r.publish("a", "")
	r.wantRead(t, "c", 0, 1, 4)
	r.wantRead(t, "a", 0, 0, 3, 5)
}
