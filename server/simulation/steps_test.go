package simulation_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing/synctest"
	"time"
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
		w.reply()
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
	switch w.rnd.IntN(22) {
	case 0, 1, 2:
		n := 1 + w.rnd.IntN(5)
		w.note("publish %d", n)
		for range n {
			w.publish()
		}
	case 3, 4:
		w.note("the log works")
		for range 1 + w.rnd.IntN(12) {
			w.engine.work()
		}
	case 5, 6, 7:
		n := w.rnd.IntN(40)
		for _, s := range w.stations {
			if w.rnd.IntN(3) > 0 {
				w.note("loop %d applies %d", s.number, n)
				s.apply(n)
			}
		}
	case 8, 9, 10, 11:
		s, n := w.anyStation(), 1+w.rnd.IntN(20)
		w.note("loop %d flushes %d", s.number, n)
		s.flush(n)
	case 12, 13:
		w.makeRoom(w.connected())
	case 14, 15:
		w.arrive()
	case 16:
		w.leave(w.connected())
	case 17:
		w.timer(w.connected())
	case 18:
		w.pass()
	case 19, 20:
		if c := w.connected(); c != nil && c.talk != nil {
			w.command(c)
		}
	case 21:
		switch w.rnd.IntN(10) {
		case 1:
			w.note("the disk is copied")
			w.backUp()
		case 0:
			clean := w.rnd.IntN(3) == 0
			w.note("restart, clean=%v", clean)
			w.restart(clean)
		}
	}
}

func (w *world) anyStation() *station { return w.stations[w.rnd.IntN(len(w.stations))] }

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
	for _, n := range w.plan.names {
		if w.rnd.IntN(len(w.plan.names)) < 2 {
			set = append(set, n)
		}
	}
	if len(set) == 0 {
		set = []string{w.anyName()}
	}
	slices.Sort(set)
	return set
}

// connected chooses a connection, nil if there is none.
func (w *world) connected() *conn {
	if len(w.clients) == 0 {
		return nil
	}
	n := w.rnd.IntN(len(w.clients))
	for i := range w.clients {
		if c := w.clients[(n+i)%len(w.clients)].conn; c != nil {
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
	c.socket.room += w.room()
	w.note("%s gets room", c)
	c.station.writable(c)
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
		w.anyStation().open(c)
	}
	switch conn := c.conn; {
	case conn.ended:
		return
	case conn.talk != nil:
		w.command(conn)
		return
	case len(conn.hears) > 0 || conn.waiting != nil:
		return // it is being served
	}
	if c.channels == nil || w.rnd.IntN(3) == 0 {
		c.channels = w.anySet()
	}
	w.ask(c, w.anyAsk(c, c.anyStart()))
}

func (w *world) ask(c *client, a ask) {
	s := c.conn.station
	w.note("%s asks loop %d for %s", c.conn, s.number, a)
	s.send(c.conn, a)
}

// leave ends a connection: both ends know, or the loop finds out by sending. A
// client may come back elsewhere at once.
func (w *world) leave(c *conn) {
	if c == nil {
		return
	}
	w.note("%s leaves", c)
	if w.rnd.IntN(2) == 0 && !c.socket.full {
		w.readConn(c)
		c.socket.dead = true // the client is gone for itself only when the loop notices
		return
	}
	client := c.client
	c.station.close(c)
	if w.rnd.IntN(2) == 0 {
		w.anyStation().open(client)
		w.ask(client, w.anyAsk(client, client.resume()))
	}
}

// timer is the connection's: a heartbeat, or the end of a poll.
func (w *world) timer(c *conn) {
	if c == nil {
		return
	}
	w.note("the timer of %s", c)
	c.station.heartbeat(c)
	c.station.expire(c)
}

// pass lets time pass and the hub sweep.
func (w *world) pass() {
	d := time.Duration(w.rnd.IntN(3000)) * time.Millisecond
	w.note("%v pass", d)
	time.Sleep(d)   // of the bubble
	synctest.Wait() // an engine's goroutine may have been woken too
	w.hub.Sweep(time.Now())
}

// isOver tells whether the server has ended an event stream, and all has left.
func (c *conn) isOver() bool {
	return c.state == stateClosing && c.transport == eventStream && c.station.fan.LaneEmpty(c.slot)
}

// check holds what must be true after each step.
func (w *world) check() {
	for _, c := range w.clients {
		if c.conn != nil && (c.conn.ended || c.conn.isOver()) {
			c.conn.station.close(c.conn) // the server has said good-bye
		}
	}
	for _, s := range w.stations {
		st := s.fan.Stats()
		// One item more than the limit is let in before somebody is given up.
		if limit := w.plan.fan.HeldBytes + 8000; st.Held > limit {
			w.fail("loop %d holds %d bytes for its connections, limit %d", s.number, st.Held, limit)
		}
		if unread := s.reader.Behind(); unread > uint64(w.plan.ringSlots) {
			w.fail("loop %d is %d behind in a ring of %d", s.number, unread, w.plan.ringSlots)
		}
	}
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
	for range 1000 { // more than any engine has left to do
		w.engine.work()
		for _, s := range w.stations {
			s.sender.late = false
			s.apply(everything)
		}
	}
	for round := 0; w.failure == "" && !w.settle(); round++ {
		if round == 2000 {
			w.fail("it does not come to rest")
		}
	}
	for _, c := range w.clients {
		if w.failure != "" {
			return
		}
		if n := len(c.conn.socket.arrived); n > 0 {
			w.fail("%s: its stream ends inside something: %.60q", c.conn, c.conn.socket.arrived)
		}
		for _, h := range c.conn.hears {
			if x := w.oracle.missing(h, w.oracle.head()); x != nil {
				w.fail("%s at %d: in the end %d on %s never came", c.conn, h.position, x.Sequence, x.Channel)
			}
		}
		w.counts[resumes] += c.backs
	}
	w.endAll()
}

// settle is a round of finish. It reports whether there is nothing more to do.
func (w *world) settle() bool {
	done := true
	for _, c := range w.clients {
		if c.conn == nil {
			w.anyStation().open(c)
			done = false
		}
		conn := c.conn
		conn.socket.room = 1 << 20
		conn.station.writable(conn)
		if conn.socket.dead {
			conn.station.close(conn)
			done = false
			continue
		}
		if len(conn.hears) == 0 && conn.talk == nil && conn.waiting == nil && !conn.ended {
			if c.channels == nil {
				c.channels = w.anySet()
			}
			w.ask(c, w.anyAsk(c, c.resume()))
			done = false
		}
		done = done && !conn.answering && conn.waiting == nil
	}
	for _, s := range w.stations {
		done = !s.flush(1000) && done
	}
	w.reply()
	w.read()
	w.check()
	for _, c := range w.clients {
		done = done && c.conn != nil && (len(c.conn.hears) > 0 || c.conn.talk != nil) // nobody was given up or answered
	}
	return done
}

// endAll closes everything: nothing may be left of it.
func (w *world) endAll() {
	for _, c := range w.clients {
		c.conn.station.close(c.conn)
	}
	for _, s := range w.stations {
		if st := s.fan.Stats(); st.Members != 0 || st.Views != 0 || st.Channels != 0 || st.Held != 0 {
			w.fail("loop %d: left behind: %+v", s.number, st)
		}
	}
	if n := w.hub.Stats().Subscribers; n != 0 {
		w.fail("%d subscribers are left", n)
	}
}
