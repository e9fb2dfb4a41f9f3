package fanout

import (
	"errors"

	"peal/loop/dense"
	"peal/loop/ring"
)

// Fan is the fan-out of one event loop. All methods belong to its goroutine.
type Fan struct {
	// Fixed at creation.
	limits  Limits
	encoder Encoder
	source  Source
	past    Past // of matchers; nil for none
	sender  Sender
	events  Events
	gapped  GapEvents // the events, if they are; nil
	encode  *ring.Cache
	report  Report

	quantum      int // viewQuantum and shareMembers, but for tests
	shareMembers int

	applied uint64 // last sequence taken from the ring
	lost    uint64 // see Lose

	slabs    []*slab
	adopted  []*ids // by slot, as slabs; nil where nobody has adopted an id
	channels index
	multi    dense.Large[*set, *view] // views of several channels
	views    []*view                  // by number; 0 is nobody
	lanes    []lane                   // by number; 0 is nobody
	marks    map[uint32]*marks        // by slot, of members with flagMarks
	policy   func(channel string) Policy
	share    func(slot uint32) uint64

	freeViews  []uint32
	freeLanes  []uint32
	freePasses []*pass
	freeMores  []*more
	freeStrips []*strip
	pooled     int // bytes of memory in freeStrips and freePasses

	dirty   queue[uint32]  // views with something to send
	due     queue[*bundle] // bundles with something to send
	behind  queue[uint32]  // members that catch up, or have a lane to empty
	waiting []uint32       // members whose gap lies beyond applied: next turn
	ending  []uint32       // views whose pass is over when the sender was flushed
	backs   []uint32       // views that keep a strip of history
	touched []*bundle      // by the Apply under way
	trims   []*bundle      // some of their strips are perhaps needed no more

	kind        int      // of work that Flush goes on with
	flights     []flight // by ticket, reset when none is out
	freeFlight  uint32   // ticket + 1; 0 for none
	outstanding int      // flights that are out
	loose       int      // bytes of strips that only flights need and strips does not count
	news        bool     // the sender has reported since the last Flush
	waves       waves
	carried     map[uint32][]string // by ticket of a flight of a subscription that has changed since: carry
	endingLater []uint32            // of ending: somebody behind, or flying, needs it
	trimsLater  []*bundle           // likewise
	held        int                 // bytes in lanes of members that were not given up: their blocks once each, and what is private
	blocks      map[*byte]block     // that lanes are the end of
	strips      int                 // bytes in the strips of passes: Room
	gather      gather              // of what waits for the channels of a view
	gathered    gathered            // its last result, which the members of a view share
	covered     reply               // the last answer to polls of a view that shares, coveredOf
	coveredOf   *view
	happened    []event
	response    []byte // of the poll that Events.Answered is about
	delivering  bool   // of these: what is queued with the sender now waits for the next Flush
	scratch     scratch
	lone        [1]link // of links
	stats       Stats
	summing     summing
	compressor  Compressor // nil: nothing is compressed
	showing     showing
	work        uint64   // done since the start: see charge
	latency     *latency // nil: see Measure
	tracer      Tracer   // nil: nobody hears of gaps
}

// New returns a fan whose loop has applied everything up to applied.
func New(applied uint64, l Limits, enc Encoder, src Source, out Sender, ev Events) *Fan {
	f := &Fan{
		limits:  l.WithDefaults(),
		encoder: enc,
		source:  src,
		sender:  out,
		events:  ev,
		applied: applied,
		views:   make([]*view, 1),
		lanes:   make([]lane, 1),
		marks:   map[uint32]*marks{},
		blocks:  map[*byte]block{},
		carried: map[uint32][]string{},
		policy:  func(string) Policy { return Resume },
		quantum: viewQuantum, shareMembers: shareMembers,
		share: func(slot uint32) uint64 { return uint64(slot) },
	}
	f.report = f.landed
	f.gapped, _ = ev.(GapEvents)
	f.summing.summer, _ = enc.(Summer)
	f.compressor, _ = enc.(Compressor)
	f.showing.namer, _ = enc.(Namer)
	f.LimitEncodings(nil)
	return f
}

// LimitEncodings bounds the bytes of encodings that the fan keeps with messages;
// see ring.Cache. limit is called for each encoding; nil is no limit. Before the
// first Apply.
func (f *Fan) LimitEncodings(limit func() int) {
	f.encode = ring.NewCache(func(m *ring.Message, k ring.Encoding) []byte {
		f.stats.Encodings++
		b := f.encoder.Encode(m, k)
		f.charge(costEncoded + len(b)*costByte)
		if f.compressor != nil {
			f.charge(f.compressor.CompressionCost(k, false, m.Size))
		}
		return b
	}, limit)
}

// UsePolicy says what becomes of slow consumers, by channel. Without it all are
// resumed. It is called when one is behind, never on the way of a delivery;
// before the first Subscribe.
func (f *Fan) UsePolicy(of func(channel string) Policy) { f.policy = of }

// UseShares says which members are counted together when HeldBytes is reached:
// those of the same number. Without it each is alone. Before the first Attach.
func (f *Fan) UseShares(of func(slot uint32) uint64) { f.share = of }

// ErrSubscribed: the member has a subscription already; Unsubscribe first.
var ErrSubscribed = errors.New("fanout: already subscribed")

// Subscribe makes the member receive, and returns its position. Nothing is sent
// before the next Flush, so what the caller writes now comes first.
func (f *Fan) Subscribe(slot uint32, s *Subscription) (position uint64, err error) {
	m := f.member(slot)
	if m.view != 0 {
		return 0, ErrSubscribed
	}
	m.origin = s.Origin
	m.flags &^= flagIgnoreGap | flagClose | flagHeadOnly | flagForeign | flagExpired | flagLive | flagSlow | flagIntroduce | flagLast | flagSummed
	for _, o := range []struct {
		on   bool
		flag uint16
	}{{s.IgnoreGap, flagIgnoreGap}, {s.Close, flagClose}, {s.HeadOnly, flagHeadOnly}, {s.Introduce, flagIntroduce}, {s.From == Foreign && s.OneShot, flagForeign}} {
		if o.on {
			m.flags |= o.flag
		}
	}
	f.beginSum(slot, m, s.Encoding)
	f.charge(len(s.Channels) * costJoined)
	v := f.find(s.Channels, s.Encoding, s.OneShot)
	if s.OneShot && v.most == 0 {
		v.most = uint16(min(f.limits.AnswerMessages, maxMost))
		if s.Most > 0 {
			v.most = min(v.most, s.Most)
		}
	}
	position, told := f.resolve(s) // before it is counted: who sees it there and publishes must reach it
	m.position = position
	f.join(slot, m, v)
	if told != nil {
		f.setMarks(slot, m, &marks{told: told})
	}
	if m.position < v.head || m.flags&flagForeign != 0 {
		f.queueBehind(slot, m)
	} else {
		m.flags |= flagLive
	}
	return m.position, nil
}

// Unsubscribe ends the member's subscription; what is in its lane still goes out.
func (f *Fan) Unsubscribe(slot uint32) { f.leave(slot, f.member(slot)) }

// Apply takes the next messages of the ring, in order and without holes. A
// caller that has more looks at Work, and asks Room.
func (f *Fan) Apply(batch []*ring.Message) {
	for _, m := range batch {
		f.applied = m.Sequence
		f.applyTo(m.Channel, m)
		for _, name := range m.Also {
			f.applyTo(name, m)
		}
		if len(f.channels.named) > 0 {
			f.applyLikes(m)
		}
	}
	if len(f.touched) > 0 {
		f.touch()
	}
}

// Lose says that a part of the log up to that sequence is lost: the source has
// discarded all channels up to there. It comes before the messages behind upto are applied;
// afterwards none up to upto is. Members that stand before receive a gap, in the turns of
// those behind, and nothing of what waits for them.
func (f *Fan) Lose(upto uint64) {
	f.lost = max(f.lost, upto)
	f.applied = max(f.applied, upto)
	for _, v := range f.views {
		if v == nil {
			continue
		}
		v.head = max(v.head, upto)
		for _, slot := range v.members {
			if m := f.member(slot); m.position < upto {
				f.queueBehind(slot, m)
			}
		}
	}
}

// Lost is what Lose was called with.
func (f *Fan) Lost() uint64 { return f.lost }

// Room reports whether the strips of messages that wait hold less than
// Limits.WaitingBytes. While they do not, what comes next stays in the ring:
// each Flush sends some of it, and strips go when all of it was sent.
func (f *Fan) Room() bool {
	return f.strips < f.limits.WaitingBytes || f.outstanding == 0 && f.dirty.empty() && f.due.empty() && f.behind.empty()
}

func (f *Fan) applyTo(name string, m *ring.Message) {
	if c := f.channels.matching(name); c != nil {
		f.addTo(c, m)
	}
}

// addTo adds m to what waits for the views of c.
func (f *Fan) addTo(c *channel, m *ring.Message) {
	for v := f.solo(c); v != nil; v = v.nextSolo {
		f.add(v, m)
	}
	for b := c; b != nil; b = b.next() {
		switch {
		case b.size() == 0:
			continue
		case b.is(flagShares):
			f.addShared(b, m)
			continue
		}
		for _, l := range f.links(b) {
			f.add(l.view, m)
		}
	}
}

// Response is the response to the poll that Events.Answered is called about, and
// nil outside that call. It is shared: nobody may change or keep it.
func (f *Fan) Response() []byte { return f.response }

// Applied is the last sequence taken from the ring.
func (f *Fan) Applied() uint64 { return f.applied }

// Pending reports whether Flush has something to do. That the sender has something
// to report, and reports it in Flush only, is the caller's to know.
func (f *Fan) Pending() bool {
	if f.choked() {
		return f.news || len(f.happened) > 0
	}
	return f.news || !f.dirty.empty() || !f.due.empty() || !f.behind.empty() || len(f.waiting) > 0 || len(f.happened) > 0
}

// Stats returns the counters and gauges of now.
func (f *Fan) Stats() Stats {
	s := f.stats
	s.Encoded = f.encode.Bytes()
	s.Channels, s.Held, s.Behind = f.channels.len(), f.held, f.behind.len()+len(f.waiting)
	s.Waiting = f.strips
	if f.latency != nil {
		s.Latency = f.latency.observed
	}
	return s
}
