package hub_test

import (
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
)

// all is for limits of Read that do not limit.
const all = 1 << 40

// fakeRing keeps what it is given.
type fakeRing struct {
	full     bool
	messages []*ring.Message
	onRoom   func()
	lost     uint64
}

func (r *fakeRing) Room(messages, bytes int) bool { return !r.full }
func (r *fakeRing) OnRoom(f func())               { r.onRoom = f }
func (r *fakeRing) Lose(upto uint64)              { r.lost = upto }
func (r *fakeRing) Publish(m *ring.Message)       { r.messages = append(r.messages, m) }

// noRing forgets what it is given.
type noRing struct{}

func (noRing) Room(messages, bytes int) bool { return true }
func (noRing) OnRoom(func())                 {}
func (noRing) Lose(uint64)                   {}
func (noRing) Publish(m *ring.Message)       {}

// clock is the time of a test.
type clock struct{ at time.Time }

func newClock() *clock                { return &clock{time.UnixMilli(1_770_000_000_000)} }
func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }
func (c *clock) milliseconds() int64  { return c.at.UnixMilli() }
func nothing()                        {}
func room(messages int) hub.Limits    { return hub.Limits{Messages: messages} }
func sizeOf(channel, data string) int { return log.EntryOverhead + len(channel) + len(data) }

// rig is a hub under test with its clock, its ring, and the numbering of a log.
type rig struct {
	*hub.Hub
	clock *clock
	ring  *fakeRing
	head  uint64
}

func newRig(config hub.Config) *rig {
	r := &rig{clock: newClock(), ring: &fakeRing{}}
	r.Hub = hub.New(config, r.ring, nothing, r.clock.now)
	r.UseSessions(func(id [16]byte) uint64 { return 10 * uint64(id[0]) })
	return r
}

// append applies entries as an engine would, and returns the last sequence.
func (r *rig) append(entries ...*log.Entry) uint64 {
	for _, e := range entries {
		r.head++
		e.Sequence = r.head
		if e.Time == 0 {
			e.Time = r.clock.milliseconds()
		}
	}
	r.Apply(entries)
	return r.head
}

func (r *rig) publish(channel, data string) uint64 {
	return r.append(&log.Entry{Channel: channel, Data: []byte(data)})
}

// wantRead checks what Read says about everything after a position.
func (r *rig) wantRead(t *testing.T, channel string, after uint64, discarded uint64, sequences ...uint64) {
	t.Helper()
	msgs, gone, more := r.Read(nil, channel, after, all, all, all)
	if !equal(msgs, sequences) || gone != discarded || more {
		t.Errorf("%q after %d: got %v, discarded %d, more %v; want %v, discarded %d", channel, after, list(msgs), gone, more, sequences, discarded)
	}
}

// wantStats checks what there is. What is remembered of forgotten channels has
// tests of its own.
func (r *rig) wantStats(t *testing.T, want hub.Stats) {
	t.Helper()
	got := r.Stats()
	got.Forgotten, got.Folded = 0, 0
	if got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

func equal(msgs []*ring.Message, sequences []uint64) bool {
	if len(msgs) != len(sequences) {
		return false
	}
	for i, m := range msgs {
		if m.Sequence != sequences[i] {
			return false
		}
	}
	return true
}

func list(msgs []*ring.Message) []uint64 {
	sequences := make([]uint64, len(msgs))
	for i, m := range msgs {
		sequences[i] = m.Sequence
	}
	return sequences
}
