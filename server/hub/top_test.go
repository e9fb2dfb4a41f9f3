package hub_test

import (
	"fmt"
	"testing"
	"time"

	"peal/server/hub"
	"peal/server/log"
)

func TestLargestChannels(t *testing.T) {
	h := newRig(hub.Config{})
	for i := range 300 {
		for range i + 1 {
			h.Join(fmt.Sprintf("c%03d", i))
		}
	}
	h.Join("$presence:x")
	top := h.Largest(5)
	if len(top) != 5 {
		t.Fatalf("%d channels", len(top))
	}
	for i, c := range top {
		if c.Name != fmt.Sprintf("c%03d", 299-i) || c.Subscribers != 300-i {
			t.Errorf("place %d: %+v", i, c)
		}
	}
	if none, every := len(h.Largest(0)), len(h.Largest(1<<20)); none != 0 || every != 301 {
		t.Errorf("%d of none, %d of all", none, every)
	}
}

func TestBusiestAreCountedWhileSomebodyAsks(t *testing.T) {
	h := newRig(hub.Config{})
	publish := func(kind log.Kind, channel string, bytes int, also ...string) {
		h.append(&log.Entry{Kind: kind, Channel: channel, Also: also, Data: make([]byte, bytes)})
	}
	publish(log.KindPublication, "early", 1)
	if h.Metering() {
		t.Fatal("it counts though nobody asks")
	}
	if all, since := h.Busiest(9); all != nil || !since.IsZero() {
		t.Errorf("%+v since %v before anything was counted", all, since)
	}
	publish(log.KindPublication, "a", 10)
	publish(log.KindPublication, "a", 10, "b", "c")
	publish(log.KindPresence, log.PresencePrefix+"a", 5)
	h.clock.pass(2 * time.Second)
	all, since := h.Busiest(2)
	if len(all) != 2 || all[0] != (hub.Busy{Name: "a", Publications: 2, Bytes: 20}) || all[1].Publications != 1 || all[1].Bytes != 10 || h.clock.now().Sub(since) != 2*time.Second {
		t.Errorf("%+v since %v", all, since)
	}
	if all, _ := h.Busiest(2); len(all) != 0 {
		t.Errorf("%+v is counted twice", all)
	}
	h.clock.pass(hub.MeterFor + time.Second)
	publish(log.KindPublication, "a", 10)
	if h.Metering() {
		t.Error("it still counts though nobody has asked for a while")
	}
	if all, since := h.Busiest(2); all != nil || !since.IsZero() {
		t.Errorf("%+v since %v", all, since)
	}
}
