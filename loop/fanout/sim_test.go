package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// The simulation: a log, a history with small limits, sockets that take any
// number of bytes, stall and die, and clients that decode what arrived and
// check it against the log. One seed is one schedule.

type sim struct {
	t        *testing.T
	seed     uint64
	rnd      *rand.Rand
	enc      *simEncoder
	hist     *simHistory
	out      *simSender
	fan      *fanout.Fan
	limits   fanout.Limits
	waiting  []*ring.Message // published, not yet taken by this loop
	clients  map[uint32]*simClient
	free     []uint32
	next     uint32
	session  uint64
	names    []string
	likes    []string   // matchers that clients subscribe to; none in most seeds
	past     *simPast   // of them
	sets     [][]string // what clients subscribe to
	most     int        // clients at a time
	crowd    bool       // many clients of few views; they come, go and get room together
	few      bool       // views begin and end to share
	common   bool       // many views of few clients, with a channel in common
	whole    bool       // strips are never cut, and nothing is retained
	losing   bool       // the store of the log loses entries now and then
	moving   bool       // all members are handed over to another fan now and then
	applied  uint64     // by fans that have handed their members over
	shareTo  *int       // see ShareUpTo
	visitTo  *int       // see VisitUpTo
	policies map[string]fanout.Policy
	steps    []string
	failed   bool
	tally
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), clients: map[uint32]*simClient{}}
	s.enc = &simEncoder{encodes: map[[2]uint64]int{}}
	s.hist = &simHistory{keep: map[string]int{}, kept: map[string][]*ring.Message{}, discarded: map[string]uint64{}, joined: map[string]int{}}
	s.names = []string{"A", "B", "C", "D", "E"}
	for _, c := range s.names {
		s.hist.keep[c] = s.rnd.IntN(30)
		if s.rnd.IntN(3) == 0 {
			s.hist.keep[c] = 1000
		}
	}
	s.out = &simSender{fail: s.fail, landed: s.landed, sockets: map[fanout.Conn]*simSocket{}, rnd: s.rnd, timing: timing(seed % uint64(timings))}
	s.most, s.sets = 40, [][]string{{"A"}, {"B"}, {"A", "B"}, {"A", "B", "C"}, {"D"}, {"C", "D", "E"}, {"E"}}
	if seed%4 == 1 { // views that a turn cannot visit to their end
		s.crowd, s.most, s.sets = true, 180, [][]string{{"A", "B"}, {"A", "B"}, {"A", "B"}, {"A", "C"}, {"A"}}
	}
	if seed%4 == 2 {
		s.common, s.most, s.sets = true, 60, nil
		if s.crowd = seed%8 == 6; s.crowd { // more views than a turn can visit
			s.most = 180
		}
		own := []string{"F", "G", "H", "I", "J", "K", "L", "M"}
		for i, one := range own {
			s.names = append(s.names, one)
			s.hist.keep[one] = s.rnd.IntN(3)
			s.sets = append(s.sets, []string{"A", one}, []string{"A", "B", one})
			for _, two := range own[i+1:] {
				s.sets = append(s.sets, []string{"A", one, two}, []string{"A", "B"}) // one of them has many members
			}
		}
		s.hist.keep["A"] = s.rnd.IntN(3)
		if s.crowd { // what is let go too early is lost
			clear(s.hist.keep)
		}
	}
	s.limits = fanout.Limits{WaitingBytes: 1000 + s.rnd.IntN(20_000), StripBytes: 50 + s.rnd.IntN(1000), LaneBytes: 300, HeldBytes: 4000, AnswerMessages: 1 + s.rnd.IntN(8), AnswerBytes: 400}
	if s.crowd && s.common { // many strips, and rounds that take several turns
		s.limits.StripBytes, s.limits.WaitingBytes = 50+s.rnd.IntN(100), 1<<20
	}
	if s.whole = seed%8 == 3; s.whole {
		s.limits.StripBytes = 1 << 20
		clear(s.hist.keep)
	}
	s.losing = seed%7 < 3
	s.moving = seed%11 < 3
	s.begin(0)
	if s.few = s.rnd.IntN(3) == 0; s.few {
		s.shareUpTo(1 + s.rnd.IntN(60))
	}
	if s.crowd && !s.common && seed%8 == 1 {
		s.few = true
		s.shareUpTo(0)
	}
	if s.crowd && !s.common || s.rnd.IntN(2) == 0 {
		s.visitUpTo(1 + s.rnd.IntN(8))
	}
	if seed%5 < 3 {
		s.policies = map[string]fanout.Policy{"C": fanout.Latest, "D": fanout.Latest, "E": fanout.Disconnect}
	}
	if seed/3%3 == 1 {
		s.addLikes()
	}
	return s
}

// begin has a new fan whose loop has applied everything up to applied.
func (s *sim) begin(applied uint64) {
	s.fan = fanout.New(applied, s.limits, s.enc, s.hist, s.out, s)
	s.out.end = s.fan.End
	s.fan.UsePolicy(func(channel string) fanout.Policy { return s.policies[channel] })
	if s.past != nil {
		s.fan.UsePatterns(simPatterns{}, s.past)
	}
	if s.shareTo != nil {
		s.fan.ShareUpTo(*s.shareTo)
	}
	if s.visitTo != nil {
		s.fan.VisitUpTo(*s.visitTo)
	}
}

func (s *sim) shareUpTo(n int) {
	s.shareTo = &n
	s.fan.ShareUpTo(n)
}

func (s *sim) visitUpTo(n int) {
	s.visitTo = &n
	s.fan.VisitUpTo(n)
}

func (s *sim) fail(format string, args ...any) {
	if !s.failed {
		s.failed = true
		from := max(0, len(s.steps)-12)
		s.t.Errorf("seed %d: %s\nlast steps: %s", s.seed, fmt.Sprintf(format, args...), strings.Join(s.steps[from:], "; "))
	}
}

func (s *sim) step() {
	acts := 16
	if s.losing {
		acts++
	}
	if s.moving && s.rnd.IntN(40) == 0 {
		s.handOver()
	}
	switch s.rnd.IntN(acts) {
	case 0, 1:
		n := 1 + s.rnd.IntN(6)
		s.note("publish %d", n)
		for range n {
			s.publish()
		}
	case 2, 3:
		n := s.rnd.IntN(10)
		s.note("apply %d", n)
		s.apply(n)
	case 4, 5, 6:
		n := 1 + s.rnd.IntN(20)
		s.note("flush %d", n)
		s.flush(n)
		for i := s.rnd.IntN(6); i == 0 && len(s.out.out) > 0; { // till all was reported
			s.flush(n)
		}
	case 7, 8:
		for range s.howMany() {
			s.room(s.some())
		}
	case 9:
		for len(s.clients) < s.most {
			c := s.attach()
			from, at := s.start()
			s.note("%s connects, encoding %d, channels %v, from %d at %d", c.name, c.encoding, c.channels, from, at)
			s.subscribe(c, from, at)
			if !s.crowd || s.rnd.IntN(20) == 0 {
				break
			}
		}
	case 10:
		if c := s.some(); c != nil && c.encoding < encPoll {
			s.note("private item for %s", c.name)
			s.write(c, s.rnd.IntN(4) == 0)
		} else if c != nil && c.parked {
			s.expire(c)
		}
	case 11:
		if s.rnd.IntN(4) == 0 {
			for range s.howMany() {
				s.die(s.some())
			}
		}
	case 12:
		if c := s.some(); c != nil && c.encoding < encPoll && !c.closing && s.rnd.IntN(3) == 0 {
			s.resubscribe(c)
		}
	case 13:
		if c := s.some(); c != nil && c.encoding < encPoll && !c.closing {
			s.change(c)
		}
	case 14:
		if c := s.some(); c != nil && c.encoding < encPoll && !c.closing && s.rnd.IntN(4) == 0 {
			s.close(c)
		}
	case 15:
		if s.out.timing == anyTime {
			s.note("reports between two turns")
			s.out.some()
		}
	case 16:
		if s.rnd.IntN(4) == 0 {
			s.lose()
		}
	}
	for _, c := range s.clients {
		s.decode(c)
		half, private := s.fan.Held(c.slot)
		if private > s.limits.LaneBytes+c.answers+20 || half > 500 {
			s.fail("%s holds %d and %d bytes", c.name, half, private)
		}
		if s.fan.LaneEmpty(c.slot) {
			c.answers = 0
		}
	}
	if st := s.fan.Stats(); st.Held > s.limits.HeldBytes+500 {
		s.fail("all lanes hold %d bytes, limit %d", st.Held, s.limits.HeldBytes)
	}
	if names := s.fan.Miscounted(); len(names) > 0 {
		s.fail("the passes of %v do not count the views with news", names)
	}
}

// idle is called when the fan says that it has nothing to do: then everybody
// whose socket is not full has all that was applied.
func (s *sim) idle() {
	if len(s.out.out) > 0 {
		return
	}
	for _, c := range s.clients {
		s.decode(c)
		if c.socket.full || c.socket.dead {
			continue
		}
		if c.idle || c.closing || c.expired {
			s.fail("%s: nothing to do, but Idle did not come (%v), or its end (%v), or its answer (%v)", c.name, c.idle, c.closing, c.expired)
		}
		if !c.parked {
			continue
		}
		if x := s.missing(c, c.position, s.fan.Applied()+1); x != nil {
			s.fail("%s: nothing to do, but %d on %s did not come (at %d)", c.name, x.Sequence, x.Channel, c.position)
		}
		if !s.fan.CaughtUp(c.slot) {
			s.fail("%s: nothing to do, but it has not caught up", c.name)
		}
	}
	if n := s.fan.Passes(); n > 0 {
		s.fail("nothing to do, but %d views keep strips", n)
	}
	if n := s.fan.Stats().Waiting + s.fan.Loose(); n != 0 {
		s.fail("nothing to do, but %d bytes wait", n)
	}
}

// run is one schedule. A panic is a failure with its seed.
func (s *sim) run(steps int) {
	defer func() {
		if p := recover(); p != nil {
			s.fail("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for i := 0; i < steps && !s.failed; i++ {
		s.step()
		if n := s.fan.FullMembers(); s.fan.Stats().Stalled != n {
			s.fail("%d sockets are full, and %d are counted", n, s.fan.Stats().Stalled)
		}
	}
	if !s.failed {
		s.finish()
	}
}

// TestSimulation runs seeded schedules. A failure prints its seed; run it alone
// with PEAL_SEED. PEAL_SEEDS is how many are run, with both from PEAL_SEED on.
func TestSimulation(t *testing.T) {
	seeds, steps := uint64(400), 600
	if testing.Short() {
		seeds = 60
	}
	first := uint64(1)
	if v := numberFromEnv(t, "PEAL_SEED"); v != 0 {
		first, seeds = v, 1
	}
	if v := numberFromEnv(t, "PEAL_SEEDS"); v != 0 {
		seeds = v
	}
	var all tally
	var by [timings]tally
	for seed := first; seed < first+seeds; seed++ {
		s := newSim(t, seed)
		s.run(steps)
		all.add(s.tally)
		by[s.out.timing].add(s.tally)
		if s.failed {
			break
		}
	}
	t.Logf("seeds %d–%d, %d steps each: %s", first, first+seeds-1, steps, &all)
	if seeds >= 60 && all.moved == 0 && !t.Failed() {
		t.Error("no member was handed over")
	}
	if seeds > 1 && all.little() && !t.Failed() {
		t.Error("the schedules met too little to prove anything")
	}
	for kind, a := range by {
		t.Logf("of these %d with reports %s: %s; with bytes on their way: %d subscriptions changed, %d ended, %d private items, %d polls expired, %d goodbyes, %d connections gone",
			a.seeds, timing(kind), &a, a.met.change, a.met.resubscribe, a.met.write, a.met.expire, a.met.close, a.met.drop)
		if seeds >= 400 && !t.Failed() && (a.little() || a.late() != (timing(kind) != atOnce)) {
			t.Errorf("the schedules with reports %s met too little to prove anything, or too much", timing(kind))
		}
	}
}
