package trace_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"peal/server/trace"
)

// The model: publishers, and clients that come, fall behind, receive gaps and go. It
// notes for each message and each connection what became of it, one by one, as a record of
// deliveries would. A trace knows positions and gaps only, and must answer the same.

const (
	modelChannels = 5
	modelNames    = 12
	modelRetained = 12 // messages of a channel
)

type published struct {
	channel int
	exclude [16]byte
}

type connection struct {
	slot      uint32
	client    trace.Client
	id        [16]byte
	began     uint64
	ended     bool
	endedAt   uint64
	subs      map[int]bool
	fate      map[uint64]trace.Verdict // of the messages that had to do with it
	refused   map[int]trace.Verdict
	refusedAt int64
	pending   []uint64
	pos       uint64          // nothing up to here is pending
	unclear   map[uint64]bool // was being sent when another channel was subscribed
	half      uint64          // the message that the socket has a part of
	parked    bool
	pings     []uint64
	pong      uint64 // confirmed by pongs
	polled    uint64 // by polls
	cursors   map[int]uint64
	had       []episode
	span      map[int][2]uint64 // of a poll: from where on it has had all of the channel, and up to where
}

// episode is a channel that a connection had: from head on, until the moment of the last poll or of its end.
type episode struct {
	channel int
	head    uint64
	until   int64 // math.MaxInt64: a stream still has it
}

// hadUntil is until when c had a channel to which it subscribed before message m.
func (c *connection) hadUntil(ch int, m uint64) (until int64) {
	for _, e := range c.had {
		if e.channel == ch && e.head < m {
			until = max(until, e.until)
		}
	}
	return until
}

// lose ends the episode of a channel.
func (c *connection) lose(ch int, at int64) {
	for i := range c.had {
		if e := &c.had[i]; e.channel == ch && (e.until == math.MaxInt64 || c.client.Poll && c.subs[ch]) {
			e.until = at
		}
	}
}

type world struct {
	t        *testing.T
	random   *rand.Rand
	clock    int64
	head     uint64
	log      []published
	retained [modelChannels][]uint64
	dropped  [modelChannels]uint64
	open     []*connection
	all      []*connection
	free     []uint32
	slots    uint32
	sessions uint64
	record   *trace.Record
	reached  map[trace.Verdict]int
	wrong    int
	small    bool // the record forgets what it has no room for
}

func (w *world) errorf(format string, args ...any) {
	w.t.Helper()
	if w.wrong++; w.wrong < 4 {
		w.t.Errorf(format, args...)
	}
}

func newWorld(t *testing.T, seed uint64, lives, bytes int) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 17)), clock: 1, reached: map[trace.Verdict]int{}}
	w.record = trace.New(trace.Config{Lives: lives, Bytes: bytes, Head: func() uint64 { return w.head }, Now: func() time.Time { return time.UnixMilli(w.clock) }})
	return w
}

func channelName(i int) string { return fmt.Sprintf("room:%d", i) }
func idOf(session uint64) (id [16]byte) {
	id[0], id[1], id[2], id[15] = byte(session), byte(session>>8), byte(session>>16), 1
	return id
}

// better keeps the verdict that counts more.
func (c *connection) better(m uint64, v trace.Verdict) {
	if was, ok := c.fate[m]; !ok || v < was {
		c.fate[m] = v
	}
}

func (c *connection) sent(w *world, m uint64) {
	v := trace.Sent
	if x := w.log[m-1].exclude; x != [16]byte{} && x == c.id {
		v = trace.Excluded
	}
	c.better(m, v)
}

func (w *world) publish() {
	w.head++
	p := published{channel: w.random.IntN(modelChannels)}
	if w.random.IntN(6) == 0 && len(w.all) > 0 {
		p.exclude = w.all[len(w.all)-1-w.random.IntN(min(len(w.all), 20))].id
	}
	w.log = append(w.log, p)
	kept := append(w.retained[p.channel], w.head)
	if len(kept) > modelRetained {
		w.dropped[p.channel], kept = kept[0], kept[1:]
	}
	w.retained[p.channel] = kept
	for _, c := range w.open {
		if c.subs[p.channel] {
			c.pending = append(c.pending, w.head)
		}
	}
}

func (w *world) connect() {
	w.sessions++
	c := &connection{subs: map[int]bool{}, fate: map[uint64]trace.Verdict{}, refused: map[int]trace.Verdict{}, unclear: map[uint64]bool{}, cursors: map[int]uint64{}, span: map[int][2]uint64{}}
	c.client = trace.Client{Session: w.sessions<<8 | 1, Name: fmt.Sprintf("user%d", w.random.IntN(modelNames)), Poll: w.random.IntN(4) == 0}
	c.id = idOf(c.client.Session)
	if c.client.Poll {
		c.id = [16]byte{}
	}
	if w.random.IntN(2) == 0 && len(w.all) > 0 { // it reconnects, as a later connection of one that is gone
		if o := w.all[len(w.all)-1-w.random.IntN(min(len(w.all), 30))]; o.ended && o.id != [16]byte{} {
			c.id, c.client.ID, c.client.Name = o.id, o.id, o.client.Name
		}
	}
	if n := len(w.free); n > 0 {
		c.slot, w.free = w.free[n-1], w.free[:n-1]
	} else {
		c.slot = w.slots
		w.slots++
	}
	c.began, c.pos = w.head, w.head
	w.open, w.all = append(w.open, c), append(w.all, c)
	if !c.client.Poll {
		w.record.Join(c.slot, &trace.Joining{Client: c.client})
		if w.random.IntN(3) == 0 {
			return // peal.v1: on no channel yet
		}
	}
	for len(c.subs) == 0 {
		w.subscribe(c)
	}
}

// doubt notes that something changes while a message is being sent. Of two, a record knows only that there were several.
func (c *connection) doubt() {
	if c.half != 0 {
		c.unclear[c.half] = true
	}
}

// covered is what a loop would report.
func (c *connection) covered() (upto, unsure uint64) {
	if c.half != 0 {
		return min(c.pos, c.half-1), c.half
	}
	return c.pos, c.pos
}

func (w *world) subscribe(c *connection) {
	var channels []int
	for ch := range modelChannels {
		if !c.subs[ch] && w.random.IntN(2) == 0 {
			channels = append(channels, ch)
		}
	}
	if len(channels) == 0 || c.client.Poll && len(c.subs) > 0 {
		return
	}
	cursor := uint64(w.random.IntN(int(w.head) + 1))
	if w.random.IntN(2) == 0 {
		cursor = w.head - min(w.head, uint64(w.random.IntN(20)))
	}
	w.join(c, channels, trace.From(w.random.IntN(5)), cursor)
}

// join subscribes a connection, and finds out for each message that was published what that means.
func (w *world) join(c *connection, channels []int, from trace.From, cursor uint64) {
	j := &trace.Joining{Client: c.client, From: from}
	j.Covered, j.Unsure = c.covered()
	start := w.head
	switch from {
	case trace.After:
		start = cursor
	case trace.Earliest, trace.Foreign:
		for _, ch := range channels {
			start = min(start, w.dropped[ch])
		}
	case trace.Last:
		var all []uint64
		for _, ch := range channels {
			all = append(all, w.retained[ch]...)
		}
		slices.Sort(all)
		if n := 1 + w.random.IntN(5); len(all) > 0 {
			start = all[max(0, len(all)-n)] - 1
		}
	}
	j.Start = start
	for _, ch := range channels {
		j.Channels = append(j.Channels, channelName(ch))
		told := uint64(0)
		if from != trace.Now && from != trace.After && len(channels) > 1 {
			told = w.dropped[ch]
		}
		j.Told = append(j.Told, told)
		if from == trace.After {
			c.cursors[ch] = max(c.cursors[ch], start)
		}
		at, again := c.span[ch]
		goesOn := again && c.client.Poll && at[0] <= start && start <= at[1] // a poll that follows the one before
		if !goesOn || start < at[1] {
			c.span[ch] = [2]uint64{start, start}
		}
		for m := uint64(1); m <= w.head; m++ {
			if w.log[m-1].channel != ch || slices.Contains(c.pending, m) {
				continue
			}
			switch v := c.fate[m]; {
			case goesOn && start == at[1] && (v == trace.GapTold || v == trace.ByPolicy): // it was told
			case m > start && m > told:
				c.pending = append(c.pending, m) // or its gap
			case m > start && from == trace.Foreign, m <= start && from == trace.Foreign:
				c.better(m, trace.GapTold)
			case m > start, from == trace.Earliest:
				c.better(m, trace.Gone)
			case from == trace.After && goesOn:
			case from == trace.After:
				c.better(m, trace.Had)
			case m > c.began:
				c.better(m, trace.NotSubscribed)
			}
		}
		switch c.lose(ch, w.clock); { // a further poll
		case !c.client.Poll:
			c.had = append(c.had, episode{ch, w.head, math.MaxInt64})
		case !c.subs[ch]:
			c.had = append(c.had, episode{ch, w.head, w.clock})
		}
		c.subs[ch] = true
	}
	slices.Sort(c.pending)
	w.record.Join(c.slot, j)
	c.doubt()
	c.pos = min(c.pos, start)
	if c.half != 0 {
		c.pos = min(c.pos, c.half-1)
	}
	c.parked = c.client.Poll
}

// deliver gives a connection the next of what is pending: a few messages, or gaps.
func (w *world) deliver(c *connection) {
	if c.client.Poll && !c.parked {
		return
	}
	if c.half != 0 {
		if w.random.IntN(2) == 0 {
			return
		}
		c.sent(w, c.half)
		c.pending = slices.DeleteFunc(c.pending, func(m uint64) bool { return m == c.half })
		if len(c.pending) == 0 || c.pending[0] > c.half {
			c.pos = max(c.pos, c.half)
		}
		c.half = 0
	}
	for range 1 + w.random.IntN(6) {
		if len(c.pending) == 0 {
			c.pos = w.head
			break
		}
		m := c.pending[0]
		ch := w.log[m-1].channel
		if drop := w.dropped[ch]; m <= drop {
			w.gap(c, ch, m-1, drop, trace.Retention, trace.GapTold)
			continue
		}
		if w.random.IntN(40) == 0 { // the rule of the channel skips all but the newest
			if kept := w.retained[ch]; kept[len(kept)-1] > m {
				w.gap(c, ch, m-1, kept[len(kept)-1]-1, trace.Policy, trace.ByPolicy)
				continue
			}
		}
		if !c.client.Poll && w.random.IntN(12) == 0 {
			c.half = m
			break
		}
		c.sent(w, m)
		c.pending = c.pending[1:]
		c.pos = m
	}
	if c.client.Poll {
		c.parked = false
		for ch := range c.subs {
			c.span[ch] = [2]uint64{c.span[ch][0], max(c.span[ch][1], c.pos)}
		}
	}
}

func (w *world) gap(c *connection, ch int, from, to uint64, why trace.Why, v trace.Verdict) {
	w.record.Gap(c.slot, channelName(ch), from, to, why)
	c.pending = slices.DeleteFunc(c.pending, func(m uint64) bool {
		gone := w.log[m-1].channel == ch && m <= to
		if gone {
			c.better(m, v)
		}
		return gone
	})
}

// poll is the next poll of a client: from where the answer before ended, from before that, or from
// behind it.
func (w *world) poll(c *connection) {
	if c.parked || len(c.subs) == 0 {
		return
	}
	start := c.pos
	switch w.random.IntN(8) {
	case 0:
		start -= min(start, uint64(w.random.IntN(10)))
	case 1:
		start = min(w.head, start+uint64(w.random.IntN(10)))
	}
	var channels []int
	for ch := range modelChannels {
		if c.subs[ch] && (len(channels) == 0 || w.random.IntN(10) > 0) {
			channels = append(channels, ch)
		}
	}
	for ch := range modelChannels {
		if c.subs[ch] && !slices.Contains(channels, ch) {
			w.forsake(c, ch)
		}
	}
	c.pending = slices.DeleteFunc(c.pending, func(m uint64) bool { return m <= start }) // it says that it has them
	c.polled = max(c.polled, start)
	w.join(c, channels, trace.After, start)
}

// forsake ends the subscription to one channel.
func (w *world) forsake(c *connection, ch int) {
	c.lose(ch, w.clock)
	delete(c.subs, ch)
	delete(c.span, ch)
	c.pending = slices.DeleteFunc(c.pending, func(m uint64) bool {
		gone := w.log[m-1].channel == ch
		if gone {
			c.better(m, trace.NotSubscribed)
		}
		return gone
	})
}

func (w *world) unsubscribe(c *connection) {
	for ch := range modelChannels {
		if !c.subs[ch] {
			continue
		}
		c.doubt()
		covered, unsure := c.covered()
		w.record.Leave(c.slot, []string{channelName(ch)}, covered, unsure)
		if c.half != 0 && w.log[c.half-1].channel == ch {
			c.better(c.half, trace.Unclear)
			c.pending, c.half = slices.DeleteFunc(c.pending, func(m uint64) bool { return m == c.half }), 0
		}
		w.forsake(c, ch)
		return
	}
}

func (w *world) end(c *connection) {
	if !c.client.Poll {
		for ch := range c.subs {
			c.lose(ch, w.clock)
		}
	}
	c.doubt()
	covered, unsure := c.covered()
	w.record.Ending(c.slot, "1001")
	w.record.End(c.slot, covered, unsure)
	if c.half != 0 {
		c.better(c.half, trace.Unclear)
	}
	for _, m := range c.pending {
		c.better(m, trace.Disconnected)
	}
	c.pending, c.ended, c.endedAt = nil, true, w.head
	w.open = slices.DeleteFunc(w.open, func(o *connection) bool { return o == c })
	w.free = append(w.free, c.slot)
}

func (w *world) refuse() {
	ch, code, v := w.random.IntN(modelChannels), "not_allowed", trace.NotGranted
	if w.random.IntN(2) == 0 {
		code, v = "backend_only", trace.ByPolicy
	}
	w.sessions++
	c := &connection{ended: true, began: w.head, endedAt: w.head, fate: map[uint64]trace.Verdict{}, refused: map[int]trace.Verdict{}}
	c.client = trace.Client{Session: w.sessions<<8 | 1, Name: fmt.Sprintf("user%d", w.random.IntN(modelNames))}
	c.id, c.refusedAt = idOf(c.client.Session), w.clock
	w.all = append(w.all, c)
	w.record.Refuse(&c.client, []string{channelName(ch)}, code)
	if was, ok := c.refused[ch]; !ok || v < was {
		c.refused[ch] = v
	}
}

func (w *world) ping(c *connection) {
	if c.client.Poll || len(c.pending) > 0 || c.half != 0 {
		return
	}
	c.pos = w.head
	w.record.Ping(c.slot, c.pos)
	c.pings = append(c.pings, c.pos)
}

func (w *world) answerPing(c *connection) {
	if len(c.pings) == 0 {
		return
	}
	at := w.random.IntN(len(c.pings)) // a client may answer the newest only
	w.record.Pong(c.slot, c.pings[at], true)
	c.pong = max(c.pong, c.pings[at])
	c.pings = c.pings[at+1:]
}

func (w *world) step() {
	w.clock += int64(w.random.IntN(3))
	pick := func(f func(*connection)) {
		if len(w.open) > 0 {
			f(w.open[w.random.IntN(len(w.open))])
		}
	}
	switch n := w.random.IntN(100); {
	case n < 25:
		w.publish()
	case n < 55:
		pick(w.deliver)
	case n < 63:
		pick(w.ping)
	case n < 70:
		pick(w.answerPing)
	case n < 77:
		pick(func(c *connection) {
			if c.client.Poll {
				w.poll(c)
			}
		})
	case n < 83:
		pick(func(c *connection) {
			if !c.client.Poll {
				w.unsubscribe(c)
			}
		})
	case n < 88:
		pick(func(c *connection) {
			if !c.client.Poll {
				w.subscribe(c)
			}
		})
	case n < 90:
		w.refuse()
	case n < 95 || len(w.open) < 3:
		if len(w.open) < 24 {
			w.connect()
		}
	default:
		pick(w.end)
	}
}

// want is what became of message m for a connection.
func (c *connection) want(w *world, m uint64) trace.Verdict {
	v, ok := c.fate[m]
	switch {
	case slices.Contains(c.pending, m) && w.log[m-1].exclude == c.id && c.id != [16]byte{}:
		if !ok || v > trace.Excluded {
			v, ok = trace.Excluded, true
		}
	case slices.Contains(c.pending, m) && (!ok || v > trace.Behind):
		v, ok = trace.Behind, true
	case ok:
	case c.ended && c.endedAt < m:
		v = trace.Disconnected
	case c.began >= m:
		v = trace.Later
	default:
		v = trace.NotSubscribed
	}
	if r, refused := c.refused[w.log[m-1].channel]; refused && r < v {
		v = r
	}
	return v
}

// ask asks about a message and a name, and compares all of the answer.
func (w *world) ask(m uint64, name string) (known bool) {
	q := &trace.Question{Sequence: m, Channels: []string{channelName(w.log[m-1].channel)}, Exclude: w.log[m-1].exclude, Name: name, IDOf: idOf}
	live := func(slot uint32) uint64 {
		for _, c := range w.open {
			if c.slot == slot {
				covered, _ := c.covered()
				return covered
			}
		}
		w.t.Fatalf("slot %d is not open", slot)
		return 0
	}
	var f trace.Finding
	for at := w.record.Ask(q, 0, 7, live, &f); at != 0; {
		at = w.record.Ask(q, at, 7, live, &f)
	}
	a := trace.Conclude(q, []trace.Finding{f}, false)
	best, recent, any := trace.NotConnected, trace.NotConnected, false
	bySession := map[uint64]*connection{}
	ch := w.log[m-1].channel
	had := int64(0)
	for _, c := range w.all {
		if c.client.Name == name {
			had = max(had, c.hadUntil(ch, m))
		}
	}
	overtaken := trace.NotConnected
	for _, c := range w.all {
		if c.client.Name != name {
			continue
		}
		bySession[c.client.Session] = c
		v := c.want(w, m)
		switch _, refused := c.refused[ch]; {
		case len(c.refused) > 0 && !refused:
			continue // of another channel
		case refused && c.refusedAt < had:
			overtaken = v // it counts only if there is nothing else
			continue
		}
		if !any || weight(v) < weight(best) {
			best = v
		}
		if !(c.ended && c.endedAt < m) && weight(v) < weight(recent) {
			recent = v
		}
		any = true
	}
	if !any {
		best = overtaken
	}
	for _, one := range a.Found {
		c := bySession[one.Session]
		if c == nil {
			w.t.Fatalf("session %d has another name", one.Session)
		}
		want := c.want(w, m)
		w.reached[one.Verdict]++
		if one.Verdict == trace.Unclear && (c.unclear[m] || len(c.unclear) > 1 || w.small) {
			continue
		}
		if one.Verdict != want {
			w.errorf("message %d on channel %d for session %d (poll %v): %v (%+v), want %v", m, w.log[m-1].channel, one.Session>>8, c.client.Poll, one.Verdict, one, want)
		}
		if want == trace.Sent {
			w.checkConfirmed(c, one, m)
		}
	}
	if best == trace.Unclear {
		best = trace.NotKnown
	}
	// What had ended before the message may be forgotten.
	isRefusal := func(v trace.Verdict) bool { return v == trace.ByPolicy || v == trace.NotGranted }
	forgotten := w.small && (a.Verdict == recent || isRefusal(a.Verdict) && (isRefusal(best) || best >= trace.Disconnected) || recent >= trace.Disconnected && a.Verdict >= trace.Disconnected)
	if a.Verdict != best && a.Verdict != trace.NotKnown && a.Verdict != trace.Had && !forgotten {
		w.errorf("message %d for %s: %v, want %v", m, name, a.Verdict, best)
	}
	w.reached[a.Verdict]++
	if a.Verdict == trace.NotKnown && best != trace.NotKnown && a.Reason == "" {
		w.errorf("not known, without a reason")
	}
	return a.Verdict != trace.NotKnown
}

func (w *world) checkConfirmed(c *connection, one trace.Found, m uint64) {
	by := trace.Unconfirmed
	switch {
	case c.pong >= m || c.polled >= m:
		by = trace.Pong
	default:
		for _, o := range w.all { // the same client, with a cursor behind it
			if ch := w.log[m-1].channel; o != c && o.id == c.id && c.id != [16]byte{} && o.cursors[ch] >= m {
				by = trace.Reconnect
			}
		}
	}
	if one.IsConfirmed(m) && by == trace.Unconfirmed {
		w.errorf("message %d, session %d: confirmed up to %d by %v; pongs %d, polls %d", m, one.Session>>8, one.Confirmed, one.ConfirmedBy, c.pong, c.polled)
	}
	if !one.IsConfirmed(m) && by == trace.Pong {
		w.errorf("message %d, session %d: unconfirmed; pongs %d, polls %d", m, one.Session>>8, c.pong, c.polled)
	}
}

// weight is the order of verdicts where a client has several connections.
func weight(v trace.Verdict) int {
	switch v {
	case trace.NotSubscribed:
		return int(trace.Disconnected)
	case trace.Disconnected:
		return int(trace.NotSubscribed)
	}
	return int(v)
}

func TestAnswersAreThoseOfARecordOfDeliveries(t *testing.T) {
	reached := map[trace.Verdict]int{}
	asked, unknown := 0, 0
	for seed := range uint64(20) {
		w := newWorld(t, seed, 1000, 1<<20)
		for range 600 {
			w.step()
		}
		for range 1400 {
			w.step()
			if w.head == 0 {
				continue
			}
			m := w.head - uint64(w.random.IntN(int(min(w.head, 60))))
			asked++
			if w.wrong > 3 {
				break
			}
			if !w.ask(m, fmt.Sprintf("user%d", w.random.IntN(modelNames+1))) {
				unknown++
			}
		}
		for v, n := range w.reached {
			reached[v] += n
		}
	}
	if asked < 10_000 || unknown*100 > asked {
		t.Errorf("%d questions, %d of them not known: want at most 1 %% of 10,000", asked, unknown)
	}
	for v := trace.Sent; v <= trace.NotKnown; v++ {
		if reached[v] == 0 {
			t.Errorf("no question had the answer %v", v)
		}
	}
	t.Logf("%d questions, %d not known; %v", asked, unknown, reached)
}

// A record that is too small answers what it can, and nothing wrong.
func TestASmallRecordAnswersNothingWrong(t *testing.T) {
	for _, limit := range []struct{ lives, bytes int }{{30, 1 << 20}, {10, 1 << 20}, {1000, 12 << 10}} {
		known, unknown := 0, 0
		for seed := range uint64(8) {
			w := newWorld(t, 100+seed, limit.lives, limit.bytes)
			w.small = true
			for range 1500 {
				w.step()
				if s := w.record.Stats(); s.Live+s.Ended > limit.lives || s.Bytes > limit.bytes {
					t.Fatalf("%+v, the limits are %+v", s, limit)
				}
				if w.head > 0 && w.wrong == 0 {
					if w.ask(w.head-uint64(w.random.IntN(int(min(w.head, 60)))), fmt.Sprintf("user%d", w.random.IntN(modelNames+1))) {
						known++
					} else {
						unknown++
					}
				}
			}
		}
		if known == 0 || unknown == 0 {
			t.Errorf("%+v: %d known, %d not", limit, known, unknown)
		}
	}
}
