package fanout

import (
	"math"

	"peal/loop/ring"
)

const (
	// mergeMessages is the most messages that one merge of several channels takes.
	mergeMessages = 1024
	// chunkMessages is how many a merge reads at a time of all its channels
	// together; of one channel at least leastChunk.
	chunkMessages = 1024
	leastChunk    = 4
)

// branch is one channel in a merge: what was read of it and not taken yet.
type branch struct {
	channel *channel
	place   int    // of the channel in the view
	at      uint64 // read and taken up to here
	next    int    // scratch.messages[next:end] is what was read and not taken
	end     int
	more    bool // there is more behind end
}

// merge takes messages from several channels in the order of their sequences,
// by a heap of the branches. It reads little of each channel and more only
// where that was taken, so that it costs a step for each channel and one for
// each message it returns, however much the channels retain.
type merge struct {
	fan      *Fan
	view     *view
	marks    *marks
	chunk    int    // messages of one read
	bytes    int    // and their sizes
	limit    uint64 // nothing behind it is taken: a matcher was not read further
	matchers int    // of the view
	branches []branch
	heap     []int // indexes of branches that have a message; the earliest first
}

// begin starts a merge of channels of v. add must follow for each of them.
func (g *merge) begin(f *Fan, v *view, k *marks, count, bytes int) {
	g.fan, g.view, g.marks, g.bytes = f, v, k, bytes
	g.chunk = count
	if w := v.width(); w > 1 {
		g.chunk = min(count, max(leastChunk, chunkMessages/w))
	}
	g.limit, g.matchers = f.applied, 0
	if len(f.channels.named) > 0 {
		g.matchers = f.matching(v)
	}
	g.branches, g.heap = g.branches[:0], g.heap[:0]
	f.scratch.messages = f.scratch.messages[:0]
}

// add reads the first messages of a channel after at, and returns what read does.
func (g *merge) add(place int, c *channel, at uint64) (discarded uint64) {
	g.branches = append(g.branches, branch{channel: c, place: place, at: at})
	i := len(g.branches) - 1
	discarded = g.read(&g.branches[i])
	if b := &g.branches[i]; b.next < b.end {
		g.heap = append(g.heap, i)
	}
	return discarded
}

// read takes the next chunk of a branch, and returns the highest sequence ever
// dropped of its channel.
func (g *merge) read(b *branch) (discarded uint64) {
	f := g.fan
	b.next = len(f.scratch.messages)
	if p := f.channels.pattern(b.channel.name()); p != nil {
		discarded = g.readLike(b, p)
	} else {
		f.scratch.messages, discarded, b.more = f.source.Read(f.scratch.messages, b.channel.name(), b.at, f.applied, g.chunk, g.bytes)
	}
	b.end = len(f.scratch.messages)
	f.charge(costRead + (b.end-b.next)*costMerged)
	return discarded
}

// head is the next message of branch i.
func (g *merge) head(i int) *ring.Message { return g.fan.scratch.messages[g.branches[i].next] }

func (g *merge) less(a, b int) bool { return g.head(g.heap[a]).Sequence < g.head(g.heap[b]).Sequence }

func (g *merge) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(g.heap); child++ {
			if g.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		g.heap[i], g.heap[least] = g.heap[least], g.heap[i]
		i = least
	}
}

// run appends to dst what the branches have, in order and once each, without
// what the marks bar, until count messages were looked at or their sizes exceed
// the limit. It covers everything up to the returned upto.
func (g *merge) run(dst []*ring.Message, count int) (all []*ring.Message, upto uint64) {
	for i := len(g.heap)/2 - 1; i >= 0; i-- {
		g.down(i)
	}
	last, seen, size := uint64(0), 0, 0
	for len(g.heap) > 0 {
		i := g.heap[0]
		msg := g.head(i)
		if msg.Sequence > g.limit {
			break
		}
		if msg.Sequence != last || seen == 0 { // else a message on several of the channels
			if seen == count || seen > 0 && size+msg.Size > g.bytes {
				return dst, last
			}
			seen++
			size += msg.Size
			last = msg.Sequence
			if !g.marks.bar(g.fan, g.view, msg) {
				dst = append(dst, msg)
			}
		}
		if b := &g.branches[i]; !g.step(b) {
			return dst, b.at
		} else if b.next == b.end {
			g.heap[0] = g.heap[len(g.heap)-1]
			g.heap = g.heap[:len(g.heap)-1]
		}
		g.down(0)
	}
	return dst, g.limit
}

// step passes the head of b and reads on where that was the last of a chunk. It
// reports false if part of what would follow has been dropped since the merge
// began: the next merge begins there, and tells the gap.
func (g *merge) step(b *branch) (whole bool) {
	b.at = g.fan.scratch.messages[b.next].Sequence
	if b.next++; b.next < b.end || !b.more {
		return true
	}
	discarded := g.read(b)
	return discarded <= b.at || g.marks.isTold(b.place, discarded)
}

// newest returns the position after which the newest n of all channels follow.
// It steps from the newest message backwards, n times at most.
func (f *Fan) newest(channels []string, n int, head uint64) uint64 {
	if len(channels) == 1 && f.channels.pattern(channels[0]) == nil {
		f.charge(costRead)
		return min(head, f.source.Newest(channels[0], n))
	}
	type end struct {
		channel  string
		sequence uint64
	}
	ends := make([]end, 0, len(channels)) // a heap: the newest first
	budget, floor := lookBefore, uint64(0)
	look := func(channel string, upto uint64) uint64 {
		if p := f.channels.pattern(channel); p != nil {
			sequence, reached := f.before(p, upto, &budget)
			floor = max(floor, reached)
			return sequence
		}
		f.charge(costRead)
		if m, _, _ := f.source.Latest(channel, 0, upto); m != nil {
			return m.Sequence
		}
		return 0
	}
	down := func(i int) {
		for {
			greatest := i
			for child := 2*i + 1; child <= 2*i+2 && child < len(ends); child++ {
				if ends[child].sequence > ends[greatest].sequence {
					greatest = child
				}
			}
			if greatest == i {
				return
			}
			ends[i], ends[greatest] = ends[greatest], ends[i]
			i = greatest
		}
	}
	for _, c := range channels {
		if q := look(c, head); q > 0 {
			ends = append(ends, end{c, q})
		}
	}
	for i := len(ends)/2 - 1; i >= 0; i-- {
		down(i)
	}
	position, last := head, uint64(math.MaxUint64)
	for len(ends) > 0 {
		e := &ends[0]
		if e.sequence != last { // else a message on several of the channels
			if n == 0 || e.sequence <= floor { // what else is there has not been looked for
				break
			}
			n--
			last = e.sequence
			position = last - 1
		}
		if e.sequence = look(e.channel, e.sequence-1); e.sequence == 0 {
			*e = ends[len(ends)-1]
			ends = ends[:len(ends)-1]
		}
		down(0)
	}
	return position
}
