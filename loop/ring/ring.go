package ring

import (
	"fmt"
	"sync/atomic"
)

// reclaimEvery is how many publications may pass before the writer reads the
// positions of the readers, even if it has room: it bounds the memory that an idle
// ring keeps. 64: see BenchmarkPublish; a read costs a cache miss per reader.
const reclaimEvery = 64

// Ring holds the newest messages until every reader has taken them. It counts them:
// a place is the number of messages up to it, whatever their sequences.
type Ring struct {
	// Fixed before the first Publish.
	slots    []*Message
	mask     uint64
	maxBytes int
	readers  []*Reader
	onRoom   func() // nil: nobody waits for room
	onTaken  func() // see Reader.Notify

	// Writer-owned, under the log's append lock.
	newest     uint64 // sequence of the newest message
	tail       uint64 // places up to here were released
	bytes      int    // Size less Saved of the messages in (tail, head]
	sinceClean int

	_ [64]byte

	// Shared. The place of the newest message: its store makes the slot visible;
	// Reader.Next relies on it.
	head atomic.Uint64

	// Shared, beside head, which readers load anyway: bits of what they must see to
	// beside messages.
	notice atomic.Uint32

	// Shared. See Lose.
	lost atomic.Uint64
}

// Bits of Ring.notice.
const (
	noticeRoom  uint32 = 1 << iota // Room has said no, and onRoom is due when a reader has taken something
	noticeLost                     // Ring.lost is not 0
	noticeTaken                    // onTaken is due when a reader has taken something
)

// Reader is one loop's place in the ring.
type Reader struct {
	// Fixed at creation.
	ring *Ring

	// Reader-owned.
	sequence uint64 // of the last message that was taken
	lost     uint64 // Ring.lost, when Next returned

	_ [40]byte

	// Shared. The place up to which its reader has taken the messages: it stores it
	// after that, and the writer's reclaim relies on it before it clears their slots.
	applied atomic.Uint64

	_ [56]byte
}

// New returns a ring of the given number of slots, a power of two, that holds
// at most maxBytes of unread messages. The messages that it accepts have sequences
// greater than head.
func New(slots, maxBytes int, head uint64) (*Ring, error) {
	if slots < 2 || slots&(slots-1) != 0 {
		return nil, fmt.Errorf("ring-slots %d: must be a power of two, at least 2", slots)
	}
	if maxBytes < 1 {
		return nil, fmt.Errorf("ring-bytes %d: must be at least 1", maxBytes)
	}
	return &Ring{slots: make([]*Message, slots), mask: uint64(slots - 1), maxBytes: maxBytes, newest: head}, nil
}

// Reader adds a reader that starts at the head. All readers are added before
// the first Publish.
func (r *Ring) Reader() *Reader {
	d := &Reader{ring: r, sequence: r.newest}
	r.readers = append(r.readers, d)
	return d
}

// Begin has the messages begin behind head, which New did not know yet. Call it before
// the first Publish, and before a reader is used.
func (r *Ring) Begin(head uint64) {
	r.newest = head
	for _, d := range r.readers {
		d.sequence = head
	}
}

// OnRoom has f called when there may be room again after Room has said no: once for
// each no at most, on the goroutine of a reader, which it must not block. Call it
// before the first Publish.
func (r *Ring) OnRoom(f func()) { r.onRoom = f }

// OnTaken has f called when a reader has taken something after Reader.Notify, on that
// reader's goroutine, which it must not block. Call it before the first Publish.
func (r *Ring) OnTaken(f func()) { r.onTaken = f }

// Head is the sequence of the newest message. Writer only.
func (r *Ring) Head() uint64 { return r.newest }

// Room reports whether that many messages with that many bytes in all can be
// published now. One message larger than the byte limit has room when nothing
// else is unread. After a no, OnRoom's function follows. Writer only.
func (r *Ring) Room(messages, bytes int) bool {
	if r.fits(messages, bytes) {
		return true
	}
	r.reclaim()
	if r.fits(messages, bytes) {
		return true
	}
	if r.onRoom == nil {
		return false
	}
	// A reader may have taken something between these lines: it stores its place and then
	// looks at notice. So this looks at the places once more behind notice.
	r.notice.Or(noticeRoom)
	r.reclaim()
	return r.fits(messages, bytes)
}

func (r *Ring) fits(messages, bytes int) bool {
	unread := r.head.Load() - r.tail
	if unread+uint64(messages) > uint64(len(r.slots)) {
		return false
	}
	return r.bytes+bytes <= r.maxBytes || unread == 0
}

// Publish adds m, whose sequence must be greater than the head, and for which
// the writer has called Room. Writer only.
func (r *Ring) Publish(m *Message) {
	if m.Sequence <= r.newest {
		panic(fmt.Sprintf("ring: message %d after %d", m.Sequence, r.newest))
	}
	place := r.head.Load() + 1
	if place-r.tail > uint64(len(r.slots)) {
		panic("ring: Publish without Room")
	}
	r.slots[place&r.mask] = m
	r.bytes += m.Size - m.Saved
	r.newest = m.Sequence
	r.head.Store(place)
	if r.sinceClean++; r.sinceClean >= reclaimEvery {
		r.reclaim()
	}
}

// Lose tells the readers that a part of the log up to that sequence is lost, which
// follows the messages that were published; see Reader.Lost. Messages behind it are
// published afterwards. Writer only.
func (r *Ring) Lose(upto uint64) {
	r.newest = max(r.newest, upto)
	r.lost.Store(max(r.lost.Load(), upto))
	r.notice.Or(noticeLost) // before the store of head for what follows: who takes that sees it
}

// reclaim releases the messages that every reader has taken.
func (r *Ring) reclaim() {
	r.sinceClean = 0
	least := r.head.Load()
	for _, d := range r.readers {
		least = min(least, d.applied.Load())
	}
	for r.tail < least {
		r.tail++
		slot := &r.slots[r.tail&r.mask]
		r.bytes -= (*slot).Size - (*slot).Saved
		*slot = nil
	}
}

// Applied is the last sequence this reader has taken. The reader's goroutine only.
func (d *Reader) Applied() uint64 { return d.sequence }

// Behind is how many messages there are to take. Any goroutine may call it.
func (d *Reader) Behind() uint64 {
	applied := d.applied.Load() // first: the head may grow meanwhile, and never lies behind
	return d.ring.head.Load() - applied
}

// Newest is the place of the newest message, and Place that up to which this reader has
// taken them. Any goroutine may call them.
func (d *Reader) Newest() uint64 { return d.ring.head.Load() }
func (d *Reader) Place() uint64  { return d.applied.Load() }

// Notify has OnTaken's function called once, when a reader takes something after this.
// A caller that waits for a place looks at it once more behind Notify. Any goroutine may call it.
func (d *Reader) Notify() { d.ring.notice.Or(noticeTaken) }

// Waiting reports whether there are messages to take. Any goroutine may call it.
func (d *Reader) Waiting() bool { return d.applied.Load() != d.ring.head.Load() }

// Next appends up to most messages to dst, oldest first, until their Size exceeds
// that many bytes (one at least, if there is one), and takes them. They stay valid for
// as long as the caller holds them. It allocates only to grow dst. The reader's
// goroutine only.
func (d *Reader) Next(dst []*Message, most, bytes int) []*Message {
	from := d.applied.Load()
	upto := min(d.ring.head.Load(), from+uint64(most))
	if from == upto {
		d.look()
		return dst
	}
	for place := from + 1; place <= upto; place++ {
		m := d.ring.slots[place&d.ring.mask]
		dst = append(dst, m)
		d.sequence = m.Sequence
		if bytes -= m.Size; bytes < 0 {
			upto = place
		}
	}
	d.applied.Store(upto)
	d.look()
	return dst
}

// look sees to what there is beside messages. It is one load, unless there is
// something, or was a loss.
func (d *Reader) look() {
	if d.ring.notice.Load() != 0 {
		d.see()
	}
}

func (d *Reader) see() {
	r := d.ring
	due := r.notice.And(^(noticeRoom | noticeTaken))
	if due&noticeRoom != 0 {
		r.onRoom()
	}
	if due&noticeTaken != 0 {
		r.onTaken()
	}
	d.lost = r.lost.Load()
}

// Lost is the sequence up to which the writer has lost a part of the log, 0 for none,
// as Next has seen it: with the first message behind the loss at the latest. The reader's
// goroutine only.
func (d *Reader) Lost() uint64 { return d.lost }
