package hub_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"peal/server/hub"
	"peal/server/log"
)

// wide appends one message to that many channels and returns its last sequence.
func (r *rig) wide(channels, first int, data []byte) uint64 {
	batch := make([]*log.Entry, channels)
	for i := range batch {
		batch[i] = &log.Entry{Channel: fmt.Sprintf("wide-%d", first+i), Data: data}
	}
	log.Share(batch)
	log.Number(batch, r.head+1, r.clock.milliseconds())
	r.head += uint64(channels)
	r.Apply(batch)
	return r.head
}

func TestDataOfAWideMessageIsChargedOnce(t *testing.T) {
	const total = 1 << 20
	r := newRig(hub.Config{TotalBytes: total})
	kept := r.publish("quiet", "an old message")
	data := bytes.Repeat([]byte("x"), 100_000)
	r.wide(128, 0, data)
	r.wide(128, 0, data)
	if s := r.Stats(); s.Messages != 257 || s.Bytes > 257*(log.EntryOverhead+20)+2*len(data) {
		t.Errorf("%+v: the data is charged more than once", s)
	}
	r.wantRead(t, "quiet", 0, 0, kept)
	// Each channel is still charged for all it has: its own limit is as before.
	for i := range 20 {
		r.wide(2, 0, data[i:])
	}
	info, _ := r.Channel("wide-0")
	if info.Bytes > hub.DefaultBytes || info.Messages != hub.DefaultBytes/(log.EntryOverhead+len(data)) {
		t.Errorf("%d messages of %d bytes on one channel, beyond its own limit or short of it", info.Messages, info.Bytes)
	}
}

// Whatever the order in which histories let go of a shared message, nothing of
// its charge is left at the end.
func TestChargeOfSharedDataComesBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newRig(hub.Config{TotalBytes: 200_000, Limits: hub.Limits{Messages: 5, Age: time.Minute}})
	for range 3000 {
		r.clock.pass(time.Duration(random.IntN(5000)) * time.Millisecond)
		r.wide(1+random.IntN(20), random.IntN(30), make([]byte, random.IntN(20_000)))
		if s := r.Stats(); s.Bytes > 200_000 || s.Bytes < s.Messages*log.EntryOverhead {
			t.Fatalf("%+v", s)
		}
		if random.IntN(10) == 0 {
			r.Sweep(r.clock.now())
		}
	}
	r.clock.pass(time.Hour)
	for i := range 50 {
		r.Channel(fmt.Sprintf("wide-%d", i))
	}
	r.wantStats(t, hub.Stats{Evicted: r.Stats().Evicted})
}
