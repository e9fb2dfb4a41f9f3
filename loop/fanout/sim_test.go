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
	sets     [][]string // what clients subscribe to
	most     int        // clients at a time
	crowd    bool       // many clients of few views; they come, go and get room together
	few      bool       // views begin and end to share
	common   bool       // many views of few clients, with a channel in common
	whole    bool       // strips are never cut, and nothing is retained
	policies map[string]fanout.Policy
	steps    []string
	failed   bool
	tally
}

// tally is what schedules met.
type tally struct {
	seeds, messages, gaps, changes, skips, fell int
	met                                         struct{ change, drop, write, resubscribe, expire, close int } // a flight
}

func (t *tally) add(o tally) {
	t.seeds++
	t.messages += o.messages
	t.gaps += o.gaps
	t.changes += o.changes
	t.skips += o.skips
	t.fell += o.fell
	t.met.change += o.met.change
	t.met.drop += o.met.drop
	t.met.write += o.met.write
	t.met.resubscribe += o.met.resubscribe
	t.met.expire += o.met.expire
	t.met.close += o.met.close
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
	s.fan = fanout.New(0, s.limits, s.enc, s.hist, s.out, s)
	s.out.end = s.fan.End
	if s.few = s.rnd.IntN(3) == 0; s.few {
		s.fan.ShareUpTo(1 + s.rnd.IntN(60))
	}
	if s.crowd && !s.common && seed%8 == 1 {
		s.few = true
		s.fan.ShareUpTo(0)
	}
	if s.crowd && !s.common || s.rnd.IntN(2) == 0 {
		s.fan.VisitUpTo(1 + s.rnd.IntN(8))
	}
	if seed%5 < 3 {
		s.policies = map[string]fanout.Policy{"C": fanout.Latest, "D": fanout.Latest, "E": fanout.Disconnect}
	}
	s.fan.UsePolicy(func(channel string) fanout.Policy { return s.policies[channel] })
	return s
}

func (s *sim) fail(format string, args ...any) {
	if !s.failed {
		s.failed = true
		from := max(0, len(s.steps)-12)
		s.t.Errorf("seed %d: %s\nlast steps: %s", s.seed, fmt.Sprintf(format, args...), strings.Join(s.steps[from:], "; "))
	}
}

// Events of the fan.
func (s *sim) Lost(slot uint32, err error) { s.drop(s.clients[slot]) }
func (s *sim) Idle(slot uint32) {
	c := s.clients[slot]
	s.decode(c)
	c.idle = false
	if c.closing {
		s.ended(c)
		return
	}
	if c.encoding >= encPoll && !c.parked && s.rnd.IntN(4) > 0 {
		if s.rnd.IntN(3) == 0 {
			s.write(c, true) // the response to a request before this one
		}
		if c.gone {
			return
		}
		s.subscribe(c, fanout.After, c.position)
		if s.rnd.IntN(4) == 0 { // the client has ended its side
			s.expire(c)
		}
	}
}
func (s *sim) Answered(slot uint32, session uint64) {
	if s.clients[slot].session != session {
		s.fail("answered: wrong session")
	}
	s.clients[slot].parked, s.clients[slot].expired = false, false
}
func (s *sim) Gapped(slot uint32) {
	c := s.clients[slot]
	s.decode(c)
	if c.encoding != encMute {
		s.fail("%s: gapped, though its encoding can tell", c.name)
	}
	real := false
	for ch := range c.channels {
		real = real || s.hist.discarded[ch] > max(c.position, c.had[ch], c.skip[ch], c.quiet[ch]) || s.policies[ch] == fanout.Latest && c.socket.slow
	}
	if !real || c.abreast && !c.socket.slow && !c.socket.dead {
		s.fail("%s: closed for a gap that is none (at %d)", c.name, c.position)
	}
	s.gaps++
	s.farewell(c)
}
func (s *sim) Fell(slot uint32) {
	c := s.clients[slot]
	s.decode(c)
	real := false
	for ch := range c.channels {
		real = real || s.policies[ch] == fanout.Disconnect && c.socket.slow && s.hist.discarded[ch] > max(c.position, c.had[ch], c.skip[ch], c.quiet[ch], c.lost[ch])
	}
	if !real {
		s.fail("%s: closed for being slow on channels %v without a reason (at %d)", c.name, c.channels, c.position)
	}
	s.fell++
	s.farewell(c)
}
func (s *sim) Slow(slot uint32) { s.drop(s.clients[slot]) }

func (s *sim) drop(c *simClient) {
	s.decode(c)
	if s.out.flying(c.conn()) != nil {
		s.met.drop++
	}
	s.fan.Detach(c.slot)
	delete(s.out.sockets, c.conn())
	c.gone = true
	delete(s.clients, c.slot)
	s.free = append(s.free, c.slot)
}

func (s *sim) attach() *simClient {
	slot := s.next
	if n := len(s.free); n > 0 {
		slot, s.free = s.free[n-1], s.free[:n-1]
	} else {
		s.next++
	}
	s.session++
	c := &simClient{name: fmt.Sprint("client", s.session), slot: slot, session: s.session, channels: map[string]bool{}, lost: map[string]uint64{}, quiet: map[string]uint64{}, had: map[string]uint64{}, skip: map[string]uint64{}, socket: &simSocket{room: s.rnd.IntN(400)}}
	if s.common && s.rnd.IntN(4) == 0 || s.whole && s.rnd.IntN(2) == 0 {
		c.socket.room = 1 << 20 // it must never be told of a gap
	}
	switch n := s.rnd.IntN(4); {
	case s.crowd && s.rnd.IntN(4) > 0:
		c.encoding = encLine
	case n == 0:
		c.encoding = encMute
	case n == 1:
		c.encoding = encPoll + ring.Encoding(s.rnd.IntN(2))
	}
	s.choose(c)
	s.clients[slot] = c
	s.out.sockets[c.conn()] = c.socket
	s.fan.Attach(c.conn(), c.session)
	return c
}

func (s *sim) choose(c *simClient) {
	clear(c.channels)
	for _, ch := range s.sets[s.rnd.IntN(len(s.sets))] {
		c.channels[ch] = true
	}
}

// start chooses where a subscription begins, sometimes ahead of this loop.
func (s *sim) start() (from fanout.From, at uint64) {
	from = fanout.From(s.rnd.IntN(4))
	if from == fanout.After {
		at = s.rnd.Uint64N(s.hist.head + 1)
		if applied := s.fan.Applied(); s.rnd.IntN(3) == 0 && s.hist.head > applied {
			at = applied + 1 + s.rnd.Uint64N(s.hist.head-applied)
		}
	}
	return from, at
}

// resubscribe gives a stream other channels. What was sent or half-sent for the
// old ones still arrives.
func (s *sim) resubscribe(c *simClient) {
	s.decode(c)
	s.unsubscribe(c)
	s.choose(c)
	from, at := s.start()
	s.note("%s changes to channels %v, from %d at %d", c.name, c.channels, from, at)
	s.subscribe(c, from, at)
}

func (s *sim) subscribe(c *simClient, from fanout.From, at uint64) {
	sub := &fanout.Subscription{Encoding: c.encoding, OneShot: c.encoding >= encPoll, From: from, Sequence: at, Count: 1 + s.rnd.IntN(12)}
	if c.encoding == encPoll1 {
		sub.Most = 1
	}
	clear(c.quiet)
	clear(c.lost)
	clear(c.had)
	clear(c.skip)
	for _, ch := range s.names {
		if c.channels[ch] {
			sub.Channels = append(sub.Channels, ch)
			if from == fanout.Earliest || from == fanout.Last {
				c.quiet[ch] = s.hist.discarded[ch]
			}
		}
	}
	position, err := s.fan.Subscribe(c.slot, sub)
	if err != nil {
		s.fail("%s: subscribe: %v", c.name, err)
		return
	}
	if from == fanout.After && position != at || from == fanout.Now && position != s.hist.head {
		s.fail("%s: subscribed from %d at %d, head %d", c.name, position, at, s.hist.head)
	}
	if from == fanout.Last {
		n := 0
		for _, m := range s.hist.all[position:] {
			if c.wants(m) && s.hist.retains(m, c.channels) {
				n++
			}
		}
		if n > sub.Count {
			s.fail("%s: the last %d begin before the last %d", c.name, sub.Count, n)
		}
	}
	c.position = position
	c.parked = true
	c.abreast = (s.whole && c.encoding < encPoll || s.common && s.fan.Shares(c.slot)) && !s.few && from == fanout.Now && !c.socket.slow
}

// expire has the time of a poll be up.
func (s *sim) expire(c *simClient) {
	flying := s.out.flying(c.conn()) != nil
	expires := s.fan.Expire(c.slot)
	s.note("%s expires: %v", c.name, expires)
	switch {
	case !expires && !c.expired && !c.socket.full && !c.socket.dead:
		s.fail("%s: its time is up, but it is no waiting poll", c.name)
	case expires && flying:
		s.met.expire++
	}
	c.expired = c.expired || expires
}

func (s *sim) some() *simClient {
	if len(s.clients) == 0 {
		return nil
	}
	n := s.rnd.IntN(int(s.next))
	for i := range int(s.next) {
		if c := s.clients[uint32((n+i)%int(s.next))]; c != nil {
			return c
		}
	}
	return nil
}

func (s *sim) note(format string, args ...any) {
	s.steps = append(s.steps, fmt.Sprintf(format, args...))
}

func (s *sim) publish() {
	m := &ring.Message{Sequence: s.hist.head + 1, Channel: s.names[s.rnd.IntN(len(s.names))]}
	if s.rnd.IntN(8) == 0 {
		m.Also = []string{s.names[s.rnd.IntN(len(s.names))], s.names[s.rnd.IntN(len(s.names))]}
	}
	if c := s.some(); c != nil && s.rnd.IntN(10) == 0 {
		m.Exclude = c.session
	}
	// duplicates among a message's channels are the publisher's to remove
	if s.common && s.rnd.IntN(2) == 0 {
		m.Channel = "A"
	}
	seen := map[string]bool{m.Channel: true}
	also := m.Also[:0]
	for _, c := range m.Also {
		if !seen[c] {
			also = append(also, c)
		}
		seen[c] = true
	}
	m.Also = also
	m.Size = len(text(m))
	s.hist.append(m)
	s.waiting = append(s.waiting, m)
}

func (s *sim) apply(n int) {
	for n = min(n, len(s.waiting)); n > 0 && s.fan.Room(); {
		part := 1 + s.rnd.IntN(n)
		s.fan.Apply(s.waiting[:part])
		s.waiting = s.waiting[part:]
		n -= part
	}
}

// unsubscribe ends the subscription of a stream.
func (s *sim) unsubscribe(c *simClient) {
	if q := s.out.flying(c.conn()); q != nil {
		q.old = true
		s.met.resubscribe++
	}
	half, _ := s.fan.Held(c.slot)
	c.socket.old, c.carried, c.changes = len(c.socket.arrived)+half, nil, nil
	s.fan.Unsubscribe(c.slot)
}

// landed is called when q was reported.
func (s *sim) landed(q *send) {
	c := s.clients[q.to.Slot]
	if c == nil || c.conn() != q.to {
		return
	}
	if q.old {
		half, _ := s.fan.Held(c.slot)
		c.socket.old = len(c.socket.arrived) + half
	}
	if len(c.changes) > 0 && q.err == nil {
		s.settle(c, q)
	}
}

func (s *sim) flush(n int) {
	s.out.turn++
	if !s.fan.Flush(n) {
		s.idle()
	}
}

// howMany is how many clients something happens to at a time.
func (s *sim) howMany() int {
	if s.crowd {
		return 1 + s.rnd.IntN(s.most/2)
	}
	return 1
}

func (s *sim) room(c *simClient) {
	if c == nil {
		return
	}
	c.socket.room += s.rnd.IntN(200)
	s.note("%s gets room", c.name)
	if c.socket.full && c.socket.room > 0 {
		c.socket.full, c.socket.sealed = false, false
		s.fan.Writable(c.slot)
	}
}

func (s *sim) die(c *simClient) {
	if c == nil {
		return
	}
	s.note("%s dies", c.name)
	if s.rnd.IntN(2) == 0 {
		c.socket.dead = true // found out by the next send
	} else {
		s.drop(c)
	}
}

func (s *sim) step() {
	switch s.rnd.IntN(16) {
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
	}
	if !s.failed {
		s.finish()
	}
}

// finish lets everything arrive and checks that nothing is missing.
func (s *sim) finish() {
	for i := 0; i < 2000 && !s.failed; i++ {
		s.apply(len(s.waiting))
		for _, c := range s.clients {
			s.decode(c)
			c.socket.room = 1 << 20
			if c.socket.full {
				c.socket.full, c.socket.sealed = false, false
				s.fan.Writable(c.slot)
			}
			if c.encoding >= encPoll && !c.parked && s.fan.CaughtUp(c.slot) {
				s.decode(c)
				s.subscribe(c, fanout.After, c.position)
			}
		}
		s.out.turn++
		if !s.fan.Flush(1000) {
			done := len(s.waiting) == 0 && len(s.out.out) == 0
			for _, c := range s.clients {
				done = done && !c.socket.full && (c.encoding < encPoll || c.parked)
			}
			if done {
				break
			}
		}
	}
	s.idle()
	for _, c := range s.clients {
		s.decode(c)
		if c.decoded != len(c.socket.arrived) {
			s.fail("%s: the stream ends inside something: %q", c.name, c.socket.arrived[c.decoded:])
		}
		if x := s.missing(c, c.position, s.hist.head+1); x != nil && !c.socket.dead {
			s.fail("%s: in the end %d on %s never came (at %d)", c.name, x.Sequence, x.Channel, c.position)
		}
		if c.private != c.wrote && !c.socket.dead {
			s.fail("%s: %d of %d private items came", c.name, c.private, c.wrote)
		}
		if got := s.fan.Position(c.slot); got < s.hist.head && !c.socket.dead {
			s.fail("%s: position %d at the end, head %d", c.name, got, s.hist.head)
		}
	}
	for k, n := range s.enc.encodes {
		if n > 1 {
			s.fail("message %d was encoded %d times in encoding %d", k[0], n, k[1])
		}
	}
	for _, c := range s.clients {
		s.drop(c)
	}
	st := s.fan.Stats()
	if st.Members != 0 || st.Views != 0 || st.Channels != 0 || st.Held != 0 || st.Waiting != 0 {
		s.fail("left behind: %+v", st)
	}
	for c, n := range s.hist.joined {
		if n != 0 {
			s.fail("channel %s has %d subscribers left", c, n)
		}
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

// little reports whether something was never met that is to be proven.
func (t *tally) little() bool {
	return t.messages < 1000 || t.gaps == 0 || t.changes == 0 || t.skips == 0 || t.fell == 0
}

// late reports whether each command has met bytes on their way.
func (t *tally) late() bool {
	m := &t.met
	return m.change > 0 && m.drop > 0 && m.write > 0 && m.resubscribe > 0 && m.expire > 0 && m.close > 0
}

func (t *tally) String() string {
	return fmt.Sprintf("%d messages checked, %d gaps, all real; %d subscriptions changed, %d times the newest alone, %d closed for being slow",
		t.messages, t.gaps, t.changes, t.skips, t.fell)
}
