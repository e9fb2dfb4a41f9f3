package hub_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"peal/server/hub"
	"peal/server/log"
)

// used publishes one message to each of that many channels and lets the server
// forget them.
func (r *rig) used(channels int) {
	for i := range channels {
		r.publish(fmt.Sprint("used-", i), "x")
	}
	r.clock.pass(time.Hour)
	for r.Sweep(r.clock.now()) {
	}
}

// falseGaps is how many of 10,000 channels that were never used show a gap to
// a reader after a position.
func (r *rig) falseGaps(after uint64) (n int) {
	for i := range 10_000 {
		if _, discarded, _ := r.Read(nil, fmt.Sprint("unused-", i), after, all, 1, all); discarded > after {
			n++
		}
	}
	return n
}

// TestForgottenChannelsMakeNoFalseGaps: as many channels as one client can use in
// a few seconds must not show gaps to readers of other channels.
func TestForgottenChannelsMakeNoFalseGaps(t *testing.T) {
	const channels = 200_000
	r := newRig(hub.Config{})
	r.used(channels)
	if n := r.falseGaps(0); n > 0 {
		t.Errorf("%d of 10,000 channels that were never used show a gap", n)
	}
	for i := range channels {
		if _, discarded, _ := r.Read(nil, fmt.Sprint("used-", i), 0, all, 1, all); discarded != uint64(i+1) {
			t.Fatalf("channel %d: all up to %d is gone, want %d", i, discarded, i+1)
		}
	}
	if st := r.Stats(); st.Forgotten != channels || st.Folded != 0 || st.Channels != 0 {
		t.Errorf("stats are %+v", st)
	}
}

// TestForgottenChannelsAreFoldedOldestFirst: beyond the room a true gap stays,
// and a false one needs a cursor before the oldest messages.
func TestForgottenChannelsAreFoldedOldestFirst(t *testing.T) {
	const records = 256 // in each shard, of which 224 are used
	r := newRig(hub.Config{ForgottenBytes: hub.ShardCount * records * hub.RecordBytes})
	const channels = 100_000
	r.used(channels)
	st := r.Stats()
	if st.Forgotten+int(st.Folded) != channels || st.Forgotten > hub.ShardCount*records*7/8 || st.Forgotten < hub.ShardCount*records*7/8*3/4 {
		t.Errorf("stats are %+v", st)
	}
	for i := range channels {
		after := uint64(i) // the message is the next
		if _, discarded, _ := r.Read(nil, fmt.Sprint("used-", i), after, all, 1, all); discarded <= after {
			t.Fatalf("the gap of channel %d is hidden: discarded up to %d", i, discarded)
		}
	}
	// Half of the records hold the newest channels at least, in every shard.
	if n := r.falseGaps(channels - hub.ShardCount*records*7/16); n > 0 {
		t.Errorf("%d of 10,000 unused channels show a gap to a reader of the newest messages", n)
	}
	if n := r.falseGaps(0); n == 0 {
		t.Error("no false gap for the oldest cursor: the watermarks are not in use, and the bound in guarantees.md is not true")
	}
}

// TestForgottenTableIsAMap drives one table through growth, folding and channels
// that come back, and compares with what was ever discarded.
func TestForgottenTableIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 5))
		records := hub.MinRecords << random.IntN(5)
		hash := func(name string) uint64 { return saltedHash(seed, name) }
		if seed%4 == 0 { // every search goes through the same places
			hash = func(name string) uint64 { return saltedHash(seed, name) & (1<<34 - 1) }
		}
		config := hub.Config{Limits: room(-1), ForgottenBytes: records * hub.RecordBytes}
		r := &rig{clock: newClock(), ring: &fakeRing{}}
		r.Hub = hub.NewWithHash(config, r.ring, nothing, r.clock.now, hash, 1)
		truth := map[string]uint64{}
		for range 5000 {
			name := fmt.Sprint(random.IntN(2 * records))
			switch random.IntN(4) {
			case 0:
				r.Join(name)
				r.wantAtLeast(t, seed, name, truth[name])
				r.Leave(name)
			default:
				truth[name] = r.publish(name, "")
			}
			r.wantAtLeast(t, seed, name, truth[name])
		}
		newest := make([]string, 0, len(truth))
		for name, sequence := range truth {
			r.wantAtLeast(t, seed, name, sequence)
			newest = append(newest, name)
		}
		slices.SortFunc(newest, func(a, b string) int { return int(truth[b]) - int(truth[a]) })
		for _, name := range newest[:records/4] {
			if _, discarded, _ := r.Read(nil, name, 0, all, 1, all); discarded != truth[name] {
				t.Errorf("seed %d: %q is one of the newest %d and has discarded %d, want %d", seed, name, records/4, discarded, truth[name])
			}
		}
		if st := r.Stats(); st.Forgotten > records*7/8 {
			t.Errorf("seed %d: %d records of %d", seed, st.Forgotten, records)
		}
	}
}

func (r *rig) wantAtLeast(t *testing.T, seed uint64, name string, sequence uint64) {
	t.Helper()
	if _, discarded, _ := r.Read(nil, name, 0, all, 1, all); discarded < sequence || discarded > r.head {
		t.Fatalf("seed %d: %q has lost %d and discarded up to %d", seed, name, sequence, discarded)
	}
}

// TestForgottenBytesAreBounded: what is remembered stays within the setting,
// whatever is forgotten, and costs nothing before.
func TestForgottenBytesAreBounded(t *testing.T) {
	const bytes = 1 << 20
	names := names(300_000)
	var h *hub.Hub
	batch := []*log.Entry{{}}
	grown := heapGrowth(func() {
		h = hub.New(hub.Config{Limits: room(-1), ForgottenBytes: bytes}, noRing{}, nothing, time.Now)
	})
	full := heapGrowth(func() {
		for i, name := range names {
			*batch[0] = log.Entry{Sequence: uint64(i + 1), Channel: name}
			h.Apply(batch)
		}
	})
	runtime.KeepAlive(h)
	if grown > 700<<10 || full > bytes*9/8 {
		t.Errorf("a new hub takes %d B, 300,000 forgotten channels %d B, want at most %d B", grown, full, bytes)
	}
	if st := h.Stats(); st.Channels != 0 || st.Folded == 0 {
		t.Errorf("stats are %+v", st)
	}
}
