package simulation_test

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/log"
)

// guest is somebody with a cursor who moves between nodes.
type guest struct {
	w        *nodes
	name     string
	channels []string
	transit  transport
	cursor   string // the last it was given, "" for none
	at       uint64 // its sequence

	node    *node
	conn    *conn
	decoder decoder
	wire    []byte // of its request
	began   bool   // the front has the request
	behind  bool   // then its node had not read as far as its cursor, or anything lately
	ended   bool   // the server has said good-bye, or has answered
	since   int    // troubles that there had been when it came

	position uint64            // everything up to here came, or a gap covers it, or it is excused
	lost     map[string]uint64 // by channel: told to be gone up to here
	foreign  bool              // a gap from nowhere is due on each channel that is not in lost
	debts    []debt
}

// debt is an entry that a guest has passed without a word, so that there must come one: the store has lost it after
// a node had shown it, or has begun an epoch with lower sequences of which the node of the guest has not heard.
type debt struct {
	of      *record
	channel string
}

func (g *guest) String() string {
	at := "nowhere"
	if g.node != nil {
		at = fmt.Sprint("node ", g.node.site)
	}
	return fmt.Sprintf("%s (%s, %s %v, at %d)", g.name, at, g.transit.path(), g.channels, g.position)
}

// visit has a guest come, go, or move.
func (w *nodes) visit() {
	g := w.guests[w.rnd.IntN(len(w.guests))]
	n := w.up()
	if n == nil || n.isPaused() && w.rnd.IntN(2) == 0 {
		return
	}
	g.come(n)
}

// leaveNode has a guest end its connection.
func (w *nodes) leaveNode() { w.guests[w.rnd.IntN(len(w.guests))].leave() }

// come connects it to n, unless it is served there.
func (g *guest) come(n *node) {
	w := g.w
	if g.conn != nil && g.node == n && !g.ended && w.rnd.IntN(4) > 0 {
		return
	}
	from := g.node
	g.leave()
	if g.channels == nil || w.rnd.IntN(12) == 0 { // others: the cursor says nothing of them
		g.channels, g.cursor, g.at = w.anySet(), "", 0
		g.lost, g.debts = nil, nil
	}
	g.transit = [...]transport{webSocket, eventStream, poll}[w.rnd.IntN(3)]
	s := start{how: fromNow}
	switch {
	case g.cursor != "":
		s = start{how: fromCursor, text: g.cursor}
		if from != n {
			w.counts[moves]++
		}
	case w.rnd.IntN(3) == 0:
		s.how = fromEarliest
	}
	a := ask{transport: g.transit, json: true, channels: g.channels, start: s, timeout: 5}
	if w.bug.members {
		a.who = g.nameOn(n)
	}
	g.node, g.decoder, g.wire = n, a.decoder(), a.head()
	g.began, g.ended, g.since = false, false, w.store.troubles
	g.conn = n.connect(g)
	g.conn.socket.write(g.wire)
	g.conn.socket.deliver(len(g.wire))
	w.note("%s comes to node %d from %s", g, n.site, s)
}

// leave ends its connection; what has come is read.
func (g *guest) leave() {
	c := g.conn
	if c == nil {
		return
	}
	if g.node.conns[c.socket.peer] == g {
		g.node.readGuest(g)
	}
	g.gone()
	c.socket.finish()
	c.socket.deliver(len(c.socket.wire))
	c.socket.gone = true
	if c.socket.full {
		c.socket.abort()
	}
}

// gone: nothing more is read of its connection.
func (g *guest) gone() {
	if g.conn != nil {
		delete(g.node.conns, g.conn.socket.peer)
		g.conn.left = true
	}
	g.conn, g.node = nil, nil
}

// stay has it be served somewhere, and take all there is.
func (g *guest) stay() {
	if g.conn == nil || g.ended {
		if n := g.w.up(); n != nil {
			g.come(n)
		}
	}
	if g.conn != nil {
		g.conn.socket.widen(1 << 20)
	}
}

// isSettled tells whether it has all that its node has, and waits.
func (g *guest) isSettled() bool {
	return g.conn != nil && g.began && !g.ended && len(g.conn.socket.out) == 0 && !g.conn.socket.full
}

// begins notes what the server has made of its request.
func (g *guest) begins(n *node, call *loop.Call) {
	g.began, g.behind = true, g.at > n.log.Head() || g.isStranger(n) || time.Since(n.log.Progress().Current) > time.Second
	s := call.Sub
	if s == nil {
		return
	}
	g.foreign = false
	switch s.From {
	case fanout.Now:
		g.position, g.lost, g.debts = n.hub.Head(), map[string]uint64{}, nil
		g.cursor, g.at = "", 0
	case fanout.After:
		if s.Sequence != g.at {
			g.w.fail("%s: its cursor %s is taken for %d", g, g.cursor, s.Sequence)
		}
		g.position = g.at
	case fanout.Foreign:
		if !g.w.store.hasLost(g.at) {
			g.w.fail("%s: nothing was lost since it received the cursor %s, and node %d (head %d) does not know it", g, g.cursor, n.site, n.log.Head())
		}
		g.position, g.lost, g.foreign, g.debts = 0, map[string]uint64{}, true, nil
	default: // earliest
		g.position, g.lost, g.debts = 0, map[string]uint64{}, nil
		for _, name := range g.channels {
			g.lost[name] = n.floor
		}
	}
	if g.lost == nil {
		g.lost = map[string]uint64{}
	}
}

// judge says whether it may receive it now.
func (g *guest) judge(it item) {
	w := g.w
	switch it.kind {
	case itemMessage:
		g.judgeMessage(it.message)
	case itemCursor, itemPing:
		if it.kind == itemPing {
			g.conn.write(appendFrame(nil, finalFrame|opPong, []byte(it.cursor), w.rnd.Uint32()))
		}
		if it.cursor != "" {
			g.judgeCursor(it.cursor)
		}
	case itemGap:
		g.judgeGaps(it.gaps)
	case itemAnswer:
		g.judgeGaps(it.gaps)
		for _, m := range it.answer {
			g.judgeMessage(m)
		}
		g.judgeCursor(it.cursor)
		g.ended = true
	case itemClose, itemRefused:
		g.ended = true
		w.counts[turnedBack]++
		g.judgeTurnedBack(fmt.Sprint(it.code, it.refusal))
	}
}

// isStranger reports whether its cursor names an epoch that the node does not know: then the node
// looks at the store before it tells of a gap, and the guest comes back once.
func (g *guest) isStranger(n *node) bool {
	c, err := log.ParseCursor(g.cursor)
	return err == nil && n.isUnaware(c.Epoch)
}

// isUnaware reports whether the node does not know an epoch.
func (n *node) isUnaware(epoch log.Epoch) bool {
	l := n.log.Lineage()
	return epoch != l.Epoch() && !slices.ContainsFunc(l.Predecessors(), func(p log.Predecessor) bool { return p.Epoch == epoch })
}

// judgeTurnedBack: a guest is to come back only where something is wrong, or where its
// node is not as far as its cursor.
func (g *guest) judgeTurnedBack(why string) {
	n := g.node
	if g.w.store.troubles == g.since && n.pausedUntil.IsZero() && !g.behind {
		g.w.fail("%s: it is turned back (%s), though nothing has happened, and node %d is at %d", g, why, n.site, n.log.Head())
	}
}

func (g *guest) judgeMessage(m wireMessage) {
	w := g.w
	r := w.store.recordOf(m.cursor)
	switch {
	case r == nil:
		w.fail("%s: %.60q (cursor %q) was never in the log", g, m.data, m.cursor)
		return
	case !slices.Contains(g.channels, m.channel) || r.entry.Channel != m.channel:
		w.fail("%s: %s is on the channel %q", g, r, m.channel)
	case !bytes.Equal(r.entry.Data, m.data) || r.entry.Event != m.event:
		w.fail("%s: %s came as %.60q", g, r, m.data)
	case r.sequence <= g.position:
		w.fail("%s: %s came after %d", g, r, g.position)
	case g.foreign && g.owesForeign():
		w.fail("%s: %s came before the gap of a cursor that means nothing", g, r)
	}
	g.cover(r.sequence - 1)
	g.position = r.sequence
	g.learns(m.cursor, r.sequence)
	w.counts[delivered]++
}

func (g *guest) judgeCursor(text string) {
	c, err := log.ParseCursor(text)
	switch {
	case err != nil:
		g.w.fail("%s: the cursor %q: %v", g, text, err)
	case c.Sequence < g.position:
		g.w.fail("%s: the cursor %s goes back from %d", g, text, g.position)
	}
	if g.foreign && g.owesForeign() {
		g.w.fail("%s: the cursor %s came before the gap of a cursor that means nothing", g, text)
	}
	g.cover(c.Sequence)
	g.learns(text, c.Sequence)
}

func (g *guest) owesForeign() bool {
	return slices.ContainsFunc(g.channels, func(name string) bool { _, ok := g.lost[name]; return !ok })
}

func (g *guest) learns(text string, at uint64) { g.cursor, g.at = text, at }

// cover moves it past everything up to a sequence, which came, or was told to be gone.
func (g *guest) cover(upto uint64) {
	for _, r := range g.w.store.between(g.position, upto) {
		if r.entry.Kind != log.KindPublication || !slices.Contains(g.channels, r.entry.Channel) || r.sequence <= g.lost[r.entry.Channel] {
			continue
		}
		if !r.lost && !g.node.isUnaware(r.cursor.Epoch) && !g.onTheWay(r, upto) {
			g.w.fail("%s: it is to be at %d, but %s did not come", g, upto, r)
			return
		}
		g.debts = append(g.debts, debt{r, r.entry.Channel})
	}
	g.position = max(g.position, upto)
}

// onTheWay reports whether what leads past r was on its way to it when its node heard that it lacks r: the store had begun
// an epoch with lower sequences. Then the gap comes behind it.
func (g *guest) onTheWay(r *record, upto uint64) bool {
	return upto < g.node.floor && !slices.Contains(r.seen, g.node)
}

func (g *guest) judgeGaps(gaps []wireGap) {
	for _, gap := range gaps {
		g.w.counts[told]++
		if fault := g.judgeGap(gap); fault != "" {
			g.w.fail("%s: the gap %+v: %s", g, gap, fault)
		}
	}
}

func (g *guest) judgeGap(gap wireGap) (fault string) {
	to, err := log.ParseCursor(gap.To)
	switch {
	case err != nil:
		return "its end is no cursor"
	case !slices.Contains(g.channels, gap.Channel):
		return "it is not subscribed to it"
	case gap.Reason == "slow" && g.w.plan.loop.Fanout.HeldBytes > 0:
		return "nobody is slow"
	}
	if gap.From == "" {
		if !g.foreign {
			return "its cursor was good"
		}
	} else if to.Sequence <= g.position && len(g.debts) == 0 {
		return fmt.Sprintf("it is at %d", g.position)
	}
	if to.Sequence > g.node.floor {
		return fmt.Sprintf("node %d has everything behind %d", g.node.site, g.node.floor)
	}
	g.lost[gap.Channel] = max(g.lost[gap.Channel], to.Sequence)
	g.debts = slices.DeleteFunc(g.debts, func(d debt) bool { return d.channel == gap.Channel && d.of.sequence <= to.Sequence })
	return ""
}

// judgeEnd: nothing is missing, and nothing was lost without a word.
func (g *guest) judgeEnd() {
	g.cover(g.node.applied)
	for _, d := range g.debts {
		if !d.of.lost {
			g.w.fail("%s: %s did not come, and nobody said so", g, d.of)
		} else if n := d.of.seenBy(); n != nil {
			g.w.fail("%s: %s, which node %d had shown, was lost, and nobody said so", g, d.of, n.site)
		}
	}
}

// seesEnd is the end of its connection.
func (g *guest) seesEnd() {
	if !g.ended {
		g.w.counts[turnedBack]++
		if g.began || g.node.machine.listener.closed {
			g.judgeTurnedBack("its connection ends")
		}
	}
	g.leave()
}
