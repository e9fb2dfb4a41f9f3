package hub_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"peal/server/hub"
	"peal/server/log"
)

func TestABegunHubKnowsWhatIsMissing(t *testing.T) {
	r := newRig(hub.Config{})
	r.Begin(8, 9)
	r.head = 9
	r.Restore([]*log.Entry{
		{Sequence: 8, Channel: "a", Time: r.clock.milliseconds()},
		{Sequence: 9, Channel: "b", Time: r.clock.milliseconds(), Kind: log.KindControl},
	})
	if r.Head() != 9 {
		t.Errorf("head %d, want 9", r.Head())
	}
	r.wantRead(t, "a", 7, 7, 8)
	r.wantRead(t, "b", 7, 7)
	r.wantRead(t, "never used", 3, 7)
	if got := r.Newest("never used", 5); got != 7 {
		t.Errorf("newest of an unknown channel begins after %d, want 7", got)
	}
	if len(r.ring.messages) != 0 {
		t.Errorf("%d restored messages went to the ring", len(r.ring.messages))
	}
	if got := r.publish("a", "x"); got != 10 || len(r.ring.messages) != 1 || r.Head() != 10 {
		t.Errorf("published %d, %d in the ring, head %d", got, len(r.ring.messages), r.Head())
	}
	r.wantRead(t, "a", 7, 7, 8, 10)
}

// TestRestoreIsTrueAndWithinLimits restores random logs, some entries already
// expired, and compares with what was in them: whatever a channel does not say
// is discarded, it has.
func TestRestoreIsTrueAndWithinLimits(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		config := hub.Config{
			Limits:     hub.Limits{Messages: 1 + random.IntN(20), Bytes: log.EntryOverhead * (2 + random.IntN(20)), Age: time.Second},
			TotalBytes: log.EntryOverhead * (5 + random.IntN(100)),
		}
		r := newRig(config)
		oldest := 1 + random.Uint64N(1000)
		head := oldest - 1 + random.Uint64N(400)
		r.Begin(oldest, head)
		truth := map[string][]uint64{}
		var batch []*log.Entry
		for sequence := oldest; sequence <= head; sequence++ {
			e := &log.Entry{
				Sequence: sequence,
				Channel:  fmt.Sprint("channel-", random.IntN(8)),
				// The last half of the log is younger than a second.
				Time: r.clock.milliseconds() - 2000*int64(head-sequence)/int64(head-oldest+1),
				Data: make([]byte, random.IntN(300)),
			}
			truth[e.Channel] = append(truth[e.Channel], sequence)
			if batch = append(batch, e); random.IntN(10) == 0 || sequence == head {
				r.Restore(batch)
				batch = batch[:0]
				if st := r.Stats(); st.Bytes > config.TotalBytes {
					t.Fatalf("seed %d: %d bytes while restoring, want at most %d", seed, st.Bytes, config.TotalBytes)
				}
			}
		}
		for name, sequences := range truth {
			msgs, discarded, more := r.Read(nil, name, oldest-1, all, all, all)
			for len(sequences) > 0 && sequences[0] <= discarded {
				sequences = sequences[1:]
			}
			if !equal(msgs, sequences) || more || discarded < oldest-1 {
				t.Errorf("seed %d: %q has %v and discarded up to %d, the log has %v behind it", seed, name, list(msgs), discarded, sequences)
			}
			if info, _ := r.Channel(name); info.Messages > config.Limits.Messages || info.Bytes > config.Limits.Bytes {
				t.Errorf("seed %d: %q has %+v, beyond its limits", seed, name, info)
			}
		}
		if messages := r.Stats().Messages; messages == 0 && head > oldest {
			t.Errorf("seed %d: nothing was restored", seed)
		}
	}
}
