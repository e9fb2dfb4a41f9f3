package loop_test

import (
	"strconv"
	"testing"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
)

// silent is a Source, Sender and Events for a fan whose members never matter.
type silent struct{}

func (silent) Read(dst []*ring.Message, _ string, _, _ uint64, _, _ int) ([]*ring.Message, uint64, bool) {
	return dst, 0, false
}
func (silent) Newest(string, int) uint64 { return 0 }
func (silent) Concerns(_ string, discarded uint64, _ func(*ring.Exclusion) bool) (uint64, bool) {
	return discarded, true
}

func (silent) Latest(string, uint64, uint64) (*ring.Message, int, uint64) { return nil, 0, 0 }
func (silent) Join(c string) string                                       { return c }
func (silent) Leave(string)                                               {}
func (silent) Head() uint64                                               { return 0 }
func (silent) Queue(uint32, fanout.Conn, []byte)                          {}
func (silent) Flush(fanout.Report)                                        {}
func (silent) Now(_ fanout.Conn, b []byte) (int, bool, error)             { return len(b), false, nil }
func (silent) Lost(uint32, error)                                         {}
func (silent) Idle(uint32)                                                {}
func (silent) Answered(uint32, uint64)                                    {}
func (silent) Gapped(uint32)                                              {}
func (silent) Fell(uint32)                                                {}
func (silent) Slow(uint32)                                                {}

// takes is how many of 1,024 messages of bytes on the channel room the loop takes
// from the ring at once, when so many members have room and a channel of their own.
func takes(t *testing.T, members, bytes int, limits fanout.Limits) uint64 {
	r, err := ring.New(1024, 1<<30, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader := r.Reader()
	fan := fanout.New(0, limits, encoder{}, silent{}, silent{}, silent{})
	for slot := range uint32(members) {
		fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
		if _, err := fan.Subscribe(slot, &fanout.Subscription{Channels: []string{"own-" + strconv.Itoa(int(slot)), "room"}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(1024) {
		r.Publish(&ring.Message{Sequence: i + 1, Channel: "room", Size: bytes, Entry: string(make([]byte, bytes))})
	}
	if _, more := loop.TakeFromRing(nil, reader, fan); !more {
		t.Fatalf("%d members: took all", members)
	}
	return reader.Applied()
}

// What a loop takes from the ring at a time is bounded in messages, in views that
// they touch, and by how much waits already.
func TestTakeIsBoundedByWork(t *testing.T) {
	none := fanout.Limits{}
	if got := takes(t, 10, 100, none); got != 256 {
		t.Errorf("%d messages for 10 members, want 256", got)
	}
	few, many := takes(t, 10_000, 100, none), takes(t, 40_000, 100, none)
	if few > 256 || many > 64 || many == 0 {
		t.Errorf("%d messages for 10,000 members and %d for 40,000, want at most 256 and 64", few, many)
	}
	if got := takes(t, 10, 4000, fanout.Limits{WaitingBytes: 100_000}); got > 32 {
		t.Errorf("%d messages of 4,000 B though only 100,000 B may wait, want 32", got)
	}
}
