package server_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/log/memory"
)

// The hand-over from history to ring, with the real log, hub, ring and fan-out:
// many publishers, several loops, and subscribers that begin anywhere near the
// head, often ahead of what their loop has applied. Each gets everything after
// its cursor once and in order.

type handOverEncoder struct{}

func (handOverEncoder) Encode(m *ring.Message, _ ring.Encoding) []byte {
	return binary.BigEndian.AppendUint64(nil, m.Sequence)
}
func (handOverEncoder) AppendOpen(dst []byte, _ ring.Encoding, _ fanout.Opening) []byte { return dst }
func (handOverEncoder) AppendHeartbeat(dst []byte, _ ring.Encoding, _ uint64) []byte    { return dst }
func (handOverEncoder) AppendGap(dst []byte, _ ring.Encoding, _ ring.Gap) []byte {
	return append(dst, "gap!gap!"...)
}
func (handOverEncoder) AppendAnswer(dst []byte, _ ring.Encoding, _ fanout.Answer) []byte { return dst }
func (handOverEncoder) AppendClose(dst []byte, _ ring.Encoding, _ uint16, _ string) []byte {
	return dst
}

// handOverLoop is one loop: its sockets take everything, or now and then a part.
type handOverLoop struct {
	rnd      *rand.Rand
	received [][]byte // by slot
	queue    []func(report fanout.Report)
	full     []uint32
}

func (l *handOverLoop) Queue(ticket uint32, to fanout.Conn, b []byte) {
	l.queue = append(l.queue, func(report fanout.Report) {
		n := len(b)
		if l.rnd.IntN(10) == 0 {
			n = l.rnd.IntN(n)
			l.full = append(l.full, to.Slot)
		}
		l.received[to.Slot] = append(l.received[to.Slot], b[:n]...)
		report(ticket, n, n < len(b), nil)
	})
}
func (l *handOverLoop) Flush(report fanout.Report) {
	for _, send := range l.queue {
		send(report)
	}
	l.queue = l.queue[:0]
}
func (l *handOverLoop) Now(fanout.Conn, []byte) (int, bool, error) {
	return 0, false, errors.New("nothing private here")
}
func (l *handOverLoop) Lost(uint32, error)      {}
func (l *handOverLoop) Idle(uint32)             {}
func (l *handOverLoop) Answered(uint32, uint64) {}
func (l *handOverLoop) Gapped(uint32)           {}
func (l *handOverLoop) Fell(uint32)             {}
func (l *handOverLoop) Slow(uint32)             {}

func TestHandOverFromHistoryToRing(t *testing.T) {
	t.Run("holes=false", func(t *testing.T) { handOver(t, memory.Open(time.Now)) })
	t.Run("holes=true", func(t *testing.T) { handOver(t, &holeyLog{Log: memory.Open(time.Now), lineage: log.NewLineage(1)}) })
}

// holeyLog is an engine that leaves out sequences, has control entries between those
// for subscribers, and begins another epoch now and then.
type holeyLog struct {
	*memory.Log // of which only what is not below is used
	lineage     *log.Lineage

	mu   sync.Mutex
	tail log.Tail
	head uint64
}

func (l *holeyLog) Start(tail log.Tail, _ func([]*log.Entry)) error {
	l.tail = tail
	return nil
}

func (l *holeyLog) Lineage() *log.Lineage { return l.lineage }

func (l *holeyLog) Head() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

func (l *holeyLog) Append(batch []*log.Entry, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.tail.Room(len(batch), log.Charge(batch)) {
		return log.ErrFull
	}
	if rand.IntN(50) == 0 {
		past := append(slices.Clone(l.lineage.Predecessors()), log.Predecessor{Epoch: l.lineage.Epoch(), Last: l.head})
		l.lineage.Begin(l.lineage.Epoch()+1, l.head, past...)
	}
	if rand.IntN(4) == 0 {
		l.head++
		l.tail.Apply([]*log.Entry{{Sequence: l.head, Kind: log.KindControl, Channel: "A"}})
	}
	log.Number(batch, l.head+1+rand.Uint64N(3), time.Now().UnixMilli())
	l.head = batch[len(batch)-1].Sequence
	l.tail.Apply(batch)
	return nil
}

// handOver is the test on one engine.
func handOver(t *testing.T, l log.Engine) {
	const publishers, each, loops, members = 4, 800, 3, 100
	r, err := ring.New(1<<10, 1<<30, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := hub.New(hub.Config{Limits: hub.Limits{Messages: publishers * each, Bytes: 1 << 30, Age: time.Hour}, TotalBytes: 1 << 30}, r, func() {}, time.Now)
	readers := make([]*ring.Reader, loops)
	for i := range readers {
		readers[i] = r.Reader()
	}
	l.Start(h, nil)
	names := []string{"A", "B", "C"}

	var lock sync.Mutex
	channelOf := map[uint64]string{}
	var publishing, looping sync.WaitGroup
	for p := range publishers {
		rnd := rand.New(rand.NewPCG(uint64(p), 7))
		publishing.Go(func() {
			for n := 0; n < each; {
				e := &log.Entry{Channel: names[rnd.IntN(len(names))]}
				if err := l.Append([]*log.Entry{e}, func(error) {}); err != nil {
					runtime.Gosched() // a loop is a whole ring behind
					continue
				}
				n++
				lock.Lock()
				channelOf[e.Sequence] = e.Channel
				lock.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { publishing.Wait(); close(done) }()

	type member struct {
		channels []string
		after    uint64
	}
	all := make([][]member, loops)
	out := make([]*handOverLoop, loops)
	ahead := make([]int, loops)
	for i := range loops {
		o := &handOverLoop{rnd: rand.New(rand.NewPCG(uint64(i), 8)), received: make([][]byte, members)}
		out[i] = o
		looping.Go(func() {
			fan := fanout.New(0, fanout.Limits{StripBytes: 1 << 10}, handOverEncoder{}, h, o, o)
			var batch []*ring.Message
			for ended := false; ; {
				select {
				case <-done:
					ended = true
				default:
				}
				if slot := uint32(len(all[i])); slot < members && o.rnd.IntN(4) == 0 {
					head := l.Head() // also where it is none of a message
					m := member{[][]string{{"A"}, {"B"}, {"A", "B"}, {"A", "B", "C"}}[o.rnd.IntN(4)], head - min(head, o.rnd.Uint64N(40))}
					if m.after > fan.Applied() {
						ahead[i]++
					}
					all[i] = append(all[i], m)
					fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
					if _, err := fan.Subscribe(slot, &fanout.Subscription{Channels: m.channels, From: fanout.After, Sequence: m.after}); err != nil {
						t.Error(err)
					}
				}
				batch = readers[i].Next(batch[:0], 1+o.rnd.IntN(32), 1<<30)
				fan.Apply(batch)
				more := fan.Flush(64)
				for _, slot := range o.full {
					fan.Writable(slot)
				}
				stalled := len(o.full) > 0
				o.full = o.full[:0]
				if ended && !more && !stalled && !readers[i].Waiting() && len(all[i]) == members {
					return
				}
			}
		})
	}
	looping.Wait()

	lineage := l.Lineage()
	for sequence := range l.Head() + 1 {
		if at, ok := l.Lineage().Resolve(lineage.Cursor(sequence), l.Head()); !ok || at != sequence {
			t.Fatalf("the cursor of %d resolves to %d, %v", sequence, at, ok)
		}
	}
	met := 0
	for i := range loops {
		met += ahead[i]
		for slot, m := range all[i] {
			want := m.after
			got := out[i].received[slot]
			next := func() bool { // moves want to the member's next message
				for want++; want <= l.Head(); want++ {
					for _, c := range m.channels {
						if channelOf[want] == c {
							return true
						}
					}
				}
				return false
			}
			for ; len(got) >= 8; got = got[8:] {
				if q := binary.BigEndian.Uint64(got); !next() || q != want {
					t.Fatalf("loop %d, member %d on %v after %d: got %d (%q), want %d", i, slot, m.channels, m.after, q, got[:8], want)
				}
			}
			if len(got) != 0 || next() {
				t.Fatalf("loop %d, member %d on %v after %d: %d bytes left over, the next would be %d", i, slot, m.channels, m.after, len(got), want)
			}
		}
	}
	if met == 0 {
		t.Error("no cursor was ahead of its loop: the test met too little")
	}
	t.Logf("%d members, %d began ahead of their loop", loops*members, met)
}
