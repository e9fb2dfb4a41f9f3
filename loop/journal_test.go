package loop_test

import (
	"fmt"
	"sync"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// journal is a log, its history and its count of subscribers, as simple as can
// be: one lock, and no limit but keep.
type journal struct {
	ring *ring.Ring
	wake func()
	keep int // messages retained in each channel, 0 for all

	lock     sync.Mutex
	sequence uint64
	channels map[string]*past
	joined   map[string]int
	lost     uint64 // discarded of channels that have nothing
}

type past struct {
	messages  []*ring.Message
	discarded uint64
}

var _ fanout.Source = (*journal)(nil)

func newJournal(slots, keep int) *journal {
	r, err := ring.New(slots, 1<<30, 0)
	if err != nil {
		panic(err)
	}
	return &journal{ring: r, keep: keep, channels: map[string]*past{}, joined: map[string]int{}}
}

// publish appends one message; false says that the ring is full.
func (j *journal) publish(channel, data string) (sequence uint64, ok bool) {
	j.lock.Lock()
	if !j.ring.Room(1, len(data)) {
		j.lock.Unlock()
		return 0, false
	}
	j.sequence++
	sequence = j.sequence
	m := &ring.Message{Sequence: sequence, Channel: channel, Size: len(data), Entry: data}
	p := j.channels[channel]
	if p == nil {
		p = &past{}
		j.channels[channel] = p
	}
	p.messages = append(p.messages, m)
	if j.keep > 0 && len(p.messages) > j.keep {
		p.discarded = p.messages[0].Sequence
		p.messages = p.messages[1:]
	}
	j.ring.Publish(m)
	j.lock.Unlock()
	j.wake()
	return sequence, true
}

// lose loses so many entries that nobody has seen, and all that was retained.
func (j *journal) lose(entries uint64) (upto uint64) {
	j.lock.Lock()
	defer j.lock.Unlock()
	j.sequence += entries
	j.lost = j.sequence
	for _, p := range j.channels {
		p.messages, p.discarded = nil, j.sequence
	}
	j.ring.Lose(j.sequence)
	return j.sequence
}

// after returns what was ever retained of the channels after a sequence.
func (j *journal) after(position uint64, channels ...string) (all []*ring.Message) {
	j.lock.Lock()
	defer j.lock.Unlock()
	for _, c := range channels {
		if p := j.channels[c]; p != nil {
			for _, m := range p.messages {
				if m.Sequence > position {
					all = append(all, m)
				}
			}
		}
	}
	return all
}

func (j *journal) Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	j.lock.Lock()
	defer j.lock.Unlock()
	p := j.channels[channel]
	if p == nil {
		return dst, j.lost, false
	}
	taken, size := 0, 0
	for _, m := range p.messages {
		if m.Sequence <= after || m.Sequence > upto {
			continue
		}
		if taken > 0 && (taken >= count || size > bytes) {
			return dst, p.discarded, true
		}
		dst = append(dst, m)
		taken++
		size += m.Size
	}
	return dst, p.discarded, false
}

func (j *journal) Newest(channel string, n int) uint64 {
	j.lock.Lock()
	defer j.lock.Unlock()
	p := j.channels[channel]
	switch {
	case p == nil || n == 0:
		return j.sequence
	case n < 0 || n >= len(p.messages):
		return p.discarded
	}
	return p.messages[len(p.messages)-n-1].Sequence
}

func (*journal) Concerns(_ string, discarded uint64, _ func(*ring.Exclusion) bool) (uint64, bool) {
	return discarded, true
}

func (j *journal) Latest(channel string, after, upto uint64) (*ring.Message, int, uint64) {
	msgs, discarded, _ := j.Read(nil, channel, after, upto, 1<<20, 1<<30)
	if len(msgs) == 0 {
		return nil, 0, discarded
	}
	return msgs[len(msgs)-1], len(msgs) - 1, discarded
}

func (j *journal) Join(channel string) string {
	j.lock.Lock()
	j.joined[channel]++
	j.lock.Unlock()
	return channel
}

func (j *journal) Leave(channel string) {
	j.lock.Lock()
	j.joined[channel]--
	j.lock.Unlock()
}

// subscribers is how many have joined and not left, in all channels.
func (j *journal) subscribers() (n int) {
	j.lock.Lock()
	defer j.lock.Unlock()
	for channel, k := range j.joined {
		if k < 0 {
			panic(fmt.Sprintf("channel %q was left more often than joined", channel))
		}
		n += k
	}
	return n
}

func (j *journal) Head() uint64 {
	j.lock.Lock()
	defer j.lock.Unlock()
	return j.sequence
}
