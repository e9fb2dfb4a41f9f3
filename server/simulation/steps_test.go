package simulation_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing/synctest"
	"time"

	"peal/loop"
	"peal/server/httpapi"
)

// run is one schedule. A panic is a failure with its seed.
func (w *world) run(steps int) {
	defer w.storage.stop(false) // or the bubble would wait for it
	defer func() {
		if p := recover(); p != nil {
			w.fail("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for range steps {
		w.step()
		w.read()
		w.check()
		if w.failure != "" {
			break
		}
	}
	if w.failure == "" {
		w.finish()
	}
}

func (w *world) step() {
	switch w.rnd.IntN(40) {
	case 0, 1, 2, 3:
		w.publishSome()
	case 4, 5, 6:
		w.note("the log works")
		for range 1 + w.rnd.IntN(12) {
			w.engine.work()
		}
	case 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18:
		for _, k := range w.machine.kernels {
			if w.rnd.IntN(3) > 0 {
				w.runLoop(k, 1+w.rnd.IntN(8))
			}
		}
	case 19, 20, 21:
		w.makeRoom(w.connected(nil))
	case 22, 23, 24, 25, 26:
		if w.rnd.IntN(3) == 0 {
			w.overtake()
		} else {
			w.arrive()
		}
	case 27:
		w.leave(w.connected(nil))
	case 28:
		if w.rnd.IntN(2) == 0 {
			w.halfClose(w.connected(nil))
		}
	case 29, 30:
		w.pass()
	case 31, 32, 33, 34:
		if c := w.connected(func(c *conn) bool { return c.talk != nil }); c != nil {
			w.command(c)
		}
	case 35, 36, 37:
		if c := w.connected((*conn).publishes); c != nil {
			w.publishOn(c)
		}
	case 38:
		if c := w.connected(func(c *conn) bool { return len(c.socket.wire) > 0 }); c != nil {
			w.note("the network brings more of %s", c)
			c.socket.deliver(1 + w.rnd.IntN(len(c.socket.wire)))
		}
	case 39:
		if w.rnd.IntN(2) == 0 {
			w.misfortune()
		} else {
			w.end()
		}
	}
	w.askAgain()
	w.visit()
	w.freezeOn()
	if w.draining {
		w.drainOn()
	}
}

func (w *world) publishSome() {
	n := 1 + w.rnd.IntN(5)
	w.note("publish %d", n)
	for range n {
		w.publish()
	}
}

// runLoop lets a loop have some callbacks.
func (w *world) runLoop(k *kernel, n int) {
	for i := range n {
		if w.failure != "" || !k.step(true) {
			n = i
			break
		}
	}
	if n > 0 {
		w.note("loop %d has %d callbacks", k.number, n)
	}
}

// misfortune is something rare.
func (w *world) misfortune() {
	m := w.machine
	switch w.rnd.IntN(8) {
	case 0:
		w.note("no descriptors")
		m.most, w.scarce = m.used+w.rnd.IntN(2), true
	case 1, 2:
		m.most = everything
		w.note("descriptors")
	case 3:
		w.paused = !w.paused && !w.draining
		w.note("accepting is paused: %v", w.paused)
		w.group.Pause(w.paused)
	case 4, 5, 6:
		w.dismiss(w.connected(func(c *conn) bool { return c.only() != nil && c.current().ask.named }))
	case 7:
		w.crowd()
	}
}

// crowd is more connections at once than are accepted at once. They come and go.
func (w *world) crowd() {
	if w.rnd.IntN(8) > 0 || w.draining {
		return
	}
	w.note("a crowd")
	w.scarce = true
	for range 60 + w.rnd.IntN(20) {
		c := w.open(&client{w: w, name: "one of a crowd"})
		c.left = true
		c.socket.gone, c.socket.wireEnd = true, true
		c.socket.deliver(len(c.socket.wire)) // at most the header of a proxy
	}
}

// dismiss has the backend end a connection that has a name.
func (w *world) dismiss(c *conn) {
	if c == nil {
		return
	}
	session := c.session
	w.note("%s is dismissed", c)
	w.group.Dismiss(func(_ loop.Front, other uint64) *loop.Ending {
		if other != session {
			return nil
		}
		w.counts[dismissals]++
		c.dismissed = true
		c.shallEnd()
		return httpapi.Disconnected
	}, func(int) {})
}

// end restarts the server, perhaps behind a drain, or copies its disk.
func (w *world) end() {
	switch w.rnd.IntN(5) {
	case 0:
		w.note("the disk is copied")
		w.backUp()
	case 1:
		clean := w.rnd.IntN(3) == 0
		w.note("restart, clean=%v", clean)
		w.restart(clean)
	case 2:
		if !w.draining {
			w.note("drain")
			w.counts[drains]++
			w.draining, w.drainHead = true, w.ring.Head()
			for _, c := range w.clients {
				if c.conn != nil {
					c.conn.shallEnd()
				}
			}
			w.group.StopAccepting()
		}
	}
}

// mostPasses is after how many a drain's time is over.
const mostPasses = 30

// drainOn is a part of a drain: now and then a pass, and the end when nobody is left
// or time is over.
func (w *world) drainOn() {
	switch {
	case w.passing || w.failure != "":
	case w.passes > 0 && w.left == 0 || w.passes >= mostPasses:
		w.note("the drain ends with %d connections", w.left)
		w.endGroup()
		w.restart(true)
	case w.rnd.IntN(4) == 0:
		w.passing = true
		w.passes++
		w.group.SayGoodBye(w.rnd.IntN(8), func(open int) { w.passing, w.left = false, open })
	}
}

// endGroup ends the loops, which close what is left.
func (w *world) endGroup() {
	for _, s := range w.machine.sockets {
		if s != nil && s.conn != nil {
			s.conn.excused = true
		}
	}
	w.group.Close() // as Drain does when its time is over
	for fd, s := range w.machine.sockets {
		if s != nil {
			w.fail("the loops have ended, and descriptor %d (%s) is open", fd, s.conn)
		}
	}
	w.read()
}

// room is how much a socket takes before it is full.
func (w *world) room() int {
	if w.rnd.IntN(4) == 0 {
		return 1 << 20
	}
	return w.rnd.IntN(700)
}

// anySet chooses some channels, sorted.
func (w *world) anySet() []string {
	var set []string
	for _, n := range w.plan.open {
		if w.rnd.IntN(len(w.plan.open)) < 2 {
			set = append(set, n)
		}
	}
	if len(set) == 0 {
		set = []string{w.anyName()}
	}
	slices.Sort(set)
	return set
}

// connected chooses a connection that is as it should be, nil if there is none.
func (w *world) connected(as func(*conn) bool) *conn {
	if len(w.clients) == 0 {
		return nil
	}
	n := w.rnd.IntN(len(w.clients))
	for i := range w.clients {
		if c := w.clients[(n+i)%len(w.clients)].conn; c != nil && (as == nil || as(c)) {
			return c
		}
	}
	return nil
}

// makeRoom lets a socket take more.
func (w *world) makeRoom(c *conn) {
	if c == nil {
		return
	}
	c.socket.widen(w.room())
	w.note("%s gets room", c)
}

// arrive connects a client, or has one that is connected ask for something.
func (w *world) arrive() {
	if len(w.clients) < w.plan.most && w.rnd.IntN(2) == 0 {
		w.clients = append(w.clients, &client{w: w, name: fmt.Sprint("client ", len(w.clients))})
	}
	if len(w.clients) == 0 {
		return
	}
	c := w.clients[w.rnd.IntN(len(w.clients))]
	if c.conn == nil {
		if w.draining {
			return
		}
		w.open(c)
	}
	switch conn := c.conn; {
	case conn.ended || conn.halfClosed || conn.saidClose != 0:
		return
	case conn.talk != nil:
		w.command(conn)
		return
	case conn.isStream() || len(conn.exchanges) > 0 && w.rnd.IntN(3) > 0 || len(conn.exchanges) > 3:
		return // it is being served, or sends the next request before the response
	}
	if c.channels == nil || w.rnd.IntN(3) == 0 {
		c.channels = w.anySet()
	}
	w.subscribe(c.conn, w.anyAsk(c, c.anyStart()))
}

// overtake has a client come to a loop with a cursor of a message that the loop has
// not heard of: it saw it on another.
func (w *world) overtake() {
	w.publishSome()
	w.engine.work()
	c := w.connected(func(c *conn) bool { return len(c.exchanges) == 0 && c.session != 0 && !c.halfClosed && !c.ended })
	if c == nil {
		return
	}
	at := mark{w.oracle.life(), w.oracle.head()}
	s := start{how: fromCursor, text: w.engine.Lineage().Cursor(at.sequence).String(), mark: at}
	if c.client.channels == nil {
		c.client.channels = w.anySet()
	}
	w.subscribe(c, w.anyAsk(c.client, s))
	c.socket.deliver(len(c.socket.wire))
	w.runLoop(w.machine.kernels[c.loop], 1+w.rnd.IntN(3))
}

// leave ends a connection: well, by a reset, or by silence until something is sent.
// A client may come back elsewhere at once.
func (w *world) leave(c *conn) {
	if c == nil {
		return
	}
	client := c.client
	switch n := w.rnd.IntN(4); {
	case n == 0:
		w.note("%s is reset", c)
		c.gone()
		c.socket.abort()
	case n == 1 && c.isWebSocket() && !c.halfClosed && c.saidClose == 0:
		w.note("%s says close", c)
		w.sayClose(c, 1000)
		c.saidClose = 1000
		c.shallEnd()
		return // and waits for the server's
	default:
		w.note("%s leaves", c)
		c.hangUp()
	}
	if w.rnd.IntN(2) == 0 && !w.draining {
		w.open(client)
		w.subscribe(client.conn, w.anyAsk(client, client.resume()))
	}
}

// halfClose: the client has sent all it will, and still reads.
func (w *world) halfClose(c *conn) {
	if c == nil || c.halfClosed || c.ended || c.saidClose != 0 {
		return
	}
	w.note("%s ends its side", c)
	w.counts[halves]++
	c.halfClosed = true
	c.shallEnd()
	c.socket.finish()
	if w.rnd.IntN(2) == 0 {
		c.socket.deliver(len(c.socket.wire))
	}
}

// pass lets time pass and the hub sweep.
func (w *world) pass() {
	if w.frost != thawed {
		return
	}
	d := time.Duration(w.rnd.IntN(3000)) * time.Millisecond
	w.note("%v pass", d)
	w.elapse(d)
	w.hub.Sweep(time.Now())
	w.bans.table.Sweep()
}

func (w *world) elapse(d time.Duration) {
	time.Sleep(d)   // of the bubble
	synctest.Wait() // an engine's goroutine may have been woken too
	w.machine.elapse()
}

// check holds what must be true after each step.
func (w *world) check() {
	for _, k := range w.machine.kernels {
		w.checkResting(k)
	}
	w.bans.check()
	if len(w.steps)%8 == 0 { // it looks at every shard
		if st := w.hub.Stats(); st.Bytes > w.plan.hub.TotalBytes {
			w.fail("the histories hold %d bytes, limit %d", st.Bytes, w.plan.hub.TotalBytes)
		}
	}
}

// finish has everybody come back with its cursor, lets everything arrive, and
// checks that nothing is missing and nothing is left behind.
func (w *world) finish() {
	w.note("finish")
	w.finishing = true
	w.callOff()
	if w.draining {
		w.endGroup()
		w.restart(true)
	}
	w.machine.most = everything
	w.scarce = true // those that were refused before
	limits := w.plan.loop
	limits.MaxConnections = everything
	w.group.LimitAdmission(limits)
	w.paused = false
	w.group.Pause(false)
	for range 1000 { // more than any engine has left to do
		w.askAgain()
		w.engine.work()
		w.runAll()
	}
	for round := 0; w.failure == "" && !w.settle(); round++ {
		if round == 2000 {
			w.fail("it does not come to rest")
		}
	}
	if w.failure != "" {
		return
	}
	for _, c := range w.clients {
		for _, x := range c.conn.exchanges {
			for _, h := range x.hears {
				if e := w.oracle.missing(h, w.oracle.head()); e != nil {
					w.fail("%s at %d: in the end %d on %s never came", c.conn, h.position, e.Sequence, e.Channel)
				}
			}
		}
		w.counts[resumes] += c.backs
	}
	w.endAll()
}

// runAll has the loops do all there is to do.
func (w *world) runAll() {
	for range 100_000 {
		busy := false
		for _, k := range w.machine.kernels {
			if w.failure != "" {
				return
			}
			busy = k.step(false) || busy
		}
		if !busy {
			w.read() // of what the network has done
			if w.machine.resting() {
				return
			}
		}
	}
	w.fail("the loops do not come to rest")
}

// settle is a round of finish. It reports whether there is nothing more to do.
func (w *world) settle() bool {
	done := true
	for _, c := range w.clients {
		if c.conn == nil {
			w.open(c)
			done = false
		}
		conn := c.conn
		conn.socket.widen(1 << 20)
		conn.socket.deliver(len(conn.socket.wire))
		switch {
		case conn.ended || conn.halfClosed || conn.saidClose != 0:
			done = false // its end is to come
		case len(conn.exchanges) == 0:
			if c.channels == nil {
				c.channels = w.anySet()
			}
			w.subscribe(conn, w.anyAsk(c, c.resume()))
			done = false
		}
	}
	w.askAgain()
	w.engine.work()
	w.runAll()
	w.check()
	for _, c := range w.clients {
		done = done && c.conn != nil && c.conn.isSettled()
	}
	if !done {
		w.elapse(time.Second)
	}
	return done
}

// isSettled tells whether it receives what is to come, and nothing else is under way.
func (c *conn) isSettled() bool {
	x := c.current()
	return x != nil && x.begun && x.number == 0 && len(c.exchanges) == 1 && len(c.said) == 0 && len(c.socket.out) == 0 && !c.socket.full &&
		(x.verdict == loop.Park || x.opened) && (c.talk == nil || len(c.talk.pending) == 0)
}

// endAll closes everything: nothing may be left of it.
func (w *world) endAll() {
	for _, c := range w.clients {
		c.conn.hangUp()
	}
	for range 12 { // of lingering, and of publications that the log is slow with
		w.engine.work()
		w.runAll()
		w.elapse(time.Second)
	}
	for _, k := range w.machine.kernels {
		st := w.group.StatsOf(k.number)
		if st.Connections != 0 || st.InputBytes != 0 || st.Heads != 0 || st.Fanout.Members != 0 || st.Fanout.Views != 0 || st.Fanout.Channels != 0 || st.Fanout.Held != 0 {
			w.fail("loop %d: left behind: %+v", k.number, st)
		}
	}
	if a := w.group.StatsOf(0).Admission; a.Addresses != 0 || a.Open != 0 {
		w.fail("%d addresses are counted, and %d refusals are under way", a.Addresses, a.Open)
	}
	if n := w.hub.Stats().Subscribers; n != 0 {
		w.fail("%d subscribers are left", n)
	}
	if w.failure == "" {
		w.endGroup()
	}
}
