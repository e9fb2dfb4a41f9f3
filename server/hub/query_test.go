package hub_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"peal/server/hub"
)

func TestChannelTellsWhatThereIs(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Messages: 2, Age: time.Second}})
	for range 3 {
		r.publish("a", "x")
	}
	r.Join("a")
	r.Join("a")
	want := hub.Info{Name: "a", Subscribers: 2, Messages: 2, Bytes: 2 * sizeOf("a", "x"), Oldest: 2, Newest: 3, Discarded: 1}
	if got, ok := r.Channel("a"); !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	if got, ok := r.Channel("b"); ok || got != (hub.Info{}) {
		t.Errorf("an unknown channel: %+v, %v", got, ok)
	}
	r.clock.pass(time.Second)
	want = hub.Info{Name: "a", Subscribers: 2, Discarded: 3}
	if got, ok := r.Channel("a"); !ok || got != want {
		t.Errorf("expired: got %+v, %v; want %+v", got, ok, want)
	}
	r.publish("b", "")
	r.clock.pass(time.Second)
	if got, ok := r.Channel("b"); ok {
		t.Errorf("a channel of which nothing is left: %+v", got)
	}
	r.wantStats(t, hub.Stats{Channels: 1, Subscribers: 2})
}

func TestChannelsComeInPages(t *testing.T) {
	r := newRig(hub.Config{})
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("room-%d", i))
		r.Join(fmt.Sprintf("room-%d", i))
		r.publish(fmt.Sprintf("other-%d", i), "")
	}
	slices.Sort(names)
	for _, limit := range []int{1, 7, 999, hub.MaxInfos, 5000} {
		var got []string
		for after := ""; ; {
			infos := r.Channels("room-", after, limit)
			for _, info := range infos {
				got = append(got, info.Name)
				after = info.Name
			}
			if len(infos) < min(limit, hub.MaxInfos) || (limit == 1 && len(got) == 20) {
				break
			}
		}
		if want := names[:min(len(got), len(names))]; !slices.Equal(got, want) || (limit > 1 && len(got) != len(names)) {
			t.Errorf("limit %d: %d names, sorted %v", limit, len(got), slices.IsSorted(got))
		}
	}
	if infos := r.Channels("", "", 0); len(infos) != 0 {
		t.Errorf("limit 0: %v", infos)
	}
}

// TestChannelsWhileChannelsComeAndGo proves that letting go of the lock in
// mid-range is sound: what stays is listed, whatever else happens to the map.
func TestChannelsWhileChannelsComeAndGo(t *testing.T) {
	h := hub.NewWithHash(hub.Config{}, noRing{}, nothing, time.Now, func(string) uint64 { return 0 }, 1)
	for i := range 500 {
		h.Join(fmt.Sprintf("stays-%03d", i))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for i := range 5000 {
				h.Join(fmt.Sprint("goes-", i))
			}
			for i := range 5000 {
				h.Leave(fmt.Sprint("goes-", i))
			}
		}
	})
	for range 50 {
		if infos := h.Channels("stays-", "", hub.MaxInfos); len(infos) != 500 || infos[0].Name != "stays-000" || infos[499].Name != "stays-499" {
			t.Errorf("%d of 500 channels listed", len(infos))
		}
	}
	close(stop)
	wg.Wait()
}
