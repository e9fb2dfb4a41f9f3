package loop_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
)

// Each kind of connection goes on in the next process where it was.
func TestConnectionsGoOnInTheNextProcess(t *testing.T) {
	plaintextOnly(t)
	for _, loops := range []int{1, 2, 3} {
		t.Run(fmt.Sprint("from 2 loops to ", loops), func(t *testing.T) {
			s := start(t, options{})
			idle, half, waiting, raw, publisher := s.dial(), s.dial(), s.dial(), s.dial(), s.dial()
			json, sse, poll, pipelined := s.dial(), s.dial(), s.dial(), s.dial()
			idle.send("echo 1\n")
			idle.expect("1")
			half.send("echo 1\nec")
			half.expect("1")
			waiting.send("wait word echo 1\necho 2\n")
			s.expectWaiting("word")
			raw.ws("wsraw", "a now publish")
			publisher.ws("wsraw", "b now publish")
			publisher.send(string(masked(0x01, "öne")), string(masked(0x89, "in between")), string(masked(0x00, " and t")))
			publisher.expectFrame(opPong, "in between")
			json.ws("wsjson", "a,b now named 60")
			json.expectFrame(opText, "open 0\n")
			frame := string(masked(0x81, "#half a frame"))
			raw.send(frame[:9])
			sse.sse("a,b now named")
			poll.send("poll b now 60 named\n")
			pipelined.send("poll a now 60\necho behind\necho it")
			s.await("subscribers", func() bool { return s.journal.subscribers() == 8 })
			s.publish("a", "one")
			json.expectFrame(opText, "m 1 a one\n")
			sse.expect("m 1 a one")
			raw.expectFrame(opText, "one")
			pipelined.expect("poll 1 0 1", "m 1 a one", "behind")

			s.freezeWhen("input of 5 connections", func(all []loop.ConnState) bool { return count(all, withInput) == 5 })
			n := s.handOver(options{config: loop.Config{Loops: loops}})
			if left := s.left.inOrder(); len(left) > 0 {
				t.Errorf("sessions %v have left the process that handed them over", left)
			}
			if got := n.carried.sorted(); len(got) != 9 {
				t.Errorf("fronts have the sessions %v, want 9", got)
			}
			idle.send("echo 2\n")
			idle.expect("2")
			half.send("ho 2\n")
			half.expect("2")
			n.pass("word")
			waiting.expect("1", "2")
			pipelined.send(" now\n")
			pipelined.expect("it now")
			publisher.send(string(masked(0x80, "wo")))
			json.expectFrame(opText, "m 2 b öne and two\n")
			publisher.expectFrame(opText, "öne and two")
			sse.expect("m 2 b öne and two")
			poll.expect("poll 2 0 1", "m 2 b öne and two")
			raw.send(frame[9:])
			n.await("the other half of a frame", func() bool { return n.received.Load() == 1 })
			n.publish("a", "two")
			json.expectFrame(opText, "m 3 a two\n")
			sse.expect("m 3 a two")
			raw.expectFrame(opText, "two")
			raw.sendFrame(opClose, closePayload(1000, ""))
			raw.expectClose(1000)

			fresh := n.dial()
			fresh.sse("a now named")
			old := s.named.inOrder()
			if newest := n.named.inOrder(); len(newest) != 1 || newest[0] <= slices.Max(old) {
				t.Errorf("sessions %v are new, and %v were there", newest, old)
			}
			for _, c := range []*client{idle, half, waiting, publisher, json, sse, poll, pipelined, fresh} {
				c.Close()
			}
			n.awaitEmpty()
			if got, want := n.left.sorted(), slices.Sorted(slices.Values(append(old, n.named.inOrder()...))); !slices.Equal(got, want) {
				t.Errorf("sessions %v have left, want %v", got, want)
			}
		})
	}
}

// What a socket has not taken is sent by the next process, once, and what was a block is one.
func TestHalfSentMessagesAreHandedOver(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{sendBuffer: 8 << 10, config: loop.Config{Loops: 1}})
	const readers, big = 5, 3 << 20
	var sse, ws []*client
	for range readers {
		c, w := s.dialWith(4096), s.dialWith(4096)
		c.sse("a now")
		w.ws("wsjson", "a now")
		w.expectFrame(opText, "open 0\n")
		sse, ws = append(sse, c), append(ws, w)
	}
	request := s.dialWith(4096)
	request.send(fmt.Sprintf("big %d\necho behind\n", big))
	last := s.dialWith(4096)
	last.send(fmt.Sprintf("biglast %d\n", big))
	s.await("full sockets", func() bool { return s.sum(held) >= 2*big-(64<<10) })
	one := strings.Repeat("1", big)
	s.publish("a", one)
	s.publish("a", "two")
	state := s.freezeWhen("12 full sockets", func(all []loop.ConnState) bool { return count(all, withLane) == 2*readers+2 })
	if n := len(state.Loops[0].Rests); n != 4 {
		t.Errorf("%d rests, want one for each of 2 encodings, and those of 2 responses", n)
	}
	heldThen := s.sum(held)
	n := s.handOver(options{config: loop.Config{Loops: 1}})
	if now := n.sum(held); now > heldThen {
		t.Errorf("%d bytes are held, and %d were", now, heldThen)
	}
	n.publish("a", "three")
	for i := range readers {
		sse[i].expect("m 1 a "+one, "m 2 a two", "m 3 a three")
		ws[i].expectFrame(opText, "m 1 a "+one+"\n")
		ws[i].expectFrame(opText, "m 2 a two\n")
		ws[i].expectFrame(opText, "m 3 a three\n")
	}
	request.expect(strings.Repeat("x", big), "behind")
	last.expect(strings.Repeat("x", big))
	last.expectEnd()
}

// A member receives a gap where the process before would have sent one, and it is sent once.
func TestGapsBehindAHandOver(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{sendBuffer: 8 << 10, keep: 2, config: loop.Config{Loops: 1}})
	c, raw, poll := s.dialWith(4096), s.dialWith(4096), s.dial()
	c.sse("a,b now")
	raw.ws("wsraw", "a now")
	poll.send("poll c now 60\n")
	s.await("subscribers", func() bool { return s.journal.subscribers() == 4 })
	big := strings.Repeat("1", 3<<20)
	s.publish("a", big)
	s.await("full sockets", func() bool { return s.sum(held) > 0 })
	s.publish("b", "2")
	for i := range 5 {
		s.publish("a", fmt.Sprint(3+i))
	}
	s.freezeWhen("full sockets", func(all []loop.ConnState) bool { return count(all, withLane) == 2 })
	n := s.handOver(options{config: loop.Config{Loops: 1}})
	c.expect("m 1 a "+big, "gap a 1 5", "m 2 b 2", "m 6 a 6", "m 7 a 7")
	raw.expectFrame(opText, big)
	raw.expectClose(4409)
	n.publish("c", "8")
	poll.expect("poll 8 0 1", "m 8 c 8")
	n.publish("b", "9")
	c.expect("m 9 b 9")
}

// Timers go on with what is left of them.
func TestTimersAreHandedOver(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{config: loop.Config{Loops: 1}})
	poll, deadline, long := s.dial(), s.dial(), s.dial()
	poll.send("poll a now 60\n")
	deadline.sse("a now 60")
	long.sse("a now 600")
	s.await("subscribers", func() bool { return s.journal.subscribers() == 3 })
	s.group.Age(0, 58*time.Second)
	state := s.freezeWhen("3 connections", func(all []loop.ConnState) bool { return len(all) == 3 })
	for _, h := range state.Loops[0].Conns {
		if left := max(h.Deadline, h.Timer); h.Deadline < 500*time.Second && left > 3*time.Second && h.Kind != loop.KindEvents {
			t.Errorf("%s has %v left", h.Kind, left)
		}
	}
	n := s.handOver(options{config: loop.Config{Loops: 1}})
	poll.expect("poll 0 0 0")
	expectDue := func(c *client) {
		for line := c.line(); line != "due"; line = c.line() {
			if !strings.HasPrefix(line, "beat ") {
				t.Fatalf("%q, want heartbeats and the deadline", line)
			}
		}
	}
	expectDue(deadline)
	n.group.Age(0, 530*time.Second)
	long.send("what is discarded")
	n.group.Age(0, 20*time.Second)
	expectDue(long)
}

// What clients do during the hand-over is found by the next process: an end, a request, a new connection.
func TestWhatComesMeanwhileIsForTheNextProcess(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{})
	sse, ws, idle, gone, poll := s.dial(), s.dial(), s.dial(), s.dial(), s.dial()
	sse.sse("b now")
	ws.ws("wsraw", "a now publish")
	gone.sse("a now named")
	poll.send("poll a now 60\necho behind\n")
	idle.send("echo 1\n")
	idle.expect("1")
	s.await("subscribers", func() bool { return s.journal.subscribers() == 4 })
	s.freeze()
	sse.halfClose()
	gone.reset()
	idle.send("echo 2\n")
	idle.halfClose()
	poll.halfClose()
	ws.sendFrame(opText, "from ws")
	fresh := s.dial()
	fresh.send("echo fresh\n")
	for _, c := range []*client{sse, ws, idle, fresh, poll} {
		c.silent()
	}
	n := s.handOver(options{})
	sse.expectEnd()
	idle.expect("2")
	idle.expectEnd()
	fresh.expect("fresh")
	ws.expectFrame(opText, "from ws")
	if line := poll.line(); line != "poll 0 0 0" && line != "poll 1 0 1" {
		t.Errorf("a half-closed poll has %q", line)
	} else if line == "poll 1 0 1" {
		poll.expect("m 1 a from ws")
	}
	poll.expect("behind")
	poll.expectEnd()
	n.await("the one that was reset", func() bool { return slices.Equal(n.left.inOrder(), s.named.inOrder()) })
	ws.Close()
	fresh.Close()
	n.awaitEmpty()
}

// Connections that say good-bye reach their end.
func TestEndingConnectionsAreHandedOver(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{})
	closing, lingering, sse := s.dial(), s.dial(), s.dial()
	closing.ws("wsraw", "a now publish")
	closing.sendFrame(opText, "throw me out")
	op, payload := closing.frame()
	lingering.send("last 1\n")
	lingering.expect("1")
	sse.sse("a now")
	s.freezeWhen("one of each kind", func(all []loop.ConnState) bool {
		kinds := map[loop.Kind]int{}
		for _, h := range all {
			kinds[h.Kind]++
		}
		return kinds[loop.KindClosing] == 1 && kinds[loop.KindLingering] == 1 && kinds[loop.KindEvents] == 1
	})
	n := s.handOver(options{})
	closing.sendFrame(opClose, payload[:2])
	closing.expectEnd()
	lingering.send("a body that nobody reads")
	lingering.expectEnd()
	if op != opClose || n.sum(connections) == 0 {
		t.Errorf("frame %d, %d connections", op, n.sum(connections))
	}
	sse.Close()
	lingering.Close()
	n.awaitEmpty()
}

// Connections that are handed over are counted with their addresses.
func TestAddressesAreCountedInTheNextProcess(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{config: loop.Config{Loops: 1}})
	a, b := s.dialFrom("127.0.0.2", 0), s.dialFrom("127.0.0.2", 0)
	c := s.dialFrom("127.0.0.3", 0)
	for _, one := range []*client{a, b, c} {
		one.send("peer\n")
		one.line()
	}
	s.freeze()
	n := s.handOver(options{config: loop.Config{Loops: 1}})
	if got := n.group.Addresses(); got != 2 {
		t.Errorf("%d addresses are counted, want 2", got)
	}
	a.send("peer\n")
	if got := a.line(); !strings.HasPrefix(got, "127.0.0.2:") {
		t.Errorf("the peer is %s", got)
	}
	for _, one := range []*client{a, b, c} {
		one.Close()
	}
	n.awaitEmpty()
}

// Clients of trusted proxies go on with their addresses, and are counted with them.
func TestClientsOfProxiesAreHandedOver(t *testing.T) {
	plaintextOnly(t)
	trusted := func(peer netip.Addr) bool { return peer == netip.MustParseAddr("127.0.0.9") }
	s := start(t, options{config: loop.Config{Loops: 1}, trusted: trusted})
	http, sse, poll := s.dialFrom("127.0.0.9", 0), s.dialFrom("127.0.0.9", 0), s.dialFrom("127.0.0.9", 0)
	http.send("as 10.1.1.1:1 echo 1\n")
	http.expect("1")
	sse.send("as 10.1.1.2:2 sse a now\n")
	sse.expect("stream", "open 0")
	poll.send("as 10.1.1.3:3 poll a now 60\n")
	s.await("subscribers", func() bool { return s.journal.subscribers() == 2 })
	s.freeze()
	n := s.handOver(options{config: loop.Config{Loops: 1}, trusted: trusted})
	if got := n.group.Addresses(); got != 1 { // a connection of a proxy has no client of its own, but a stream
		t.Errorf("%d addresses are counted, want 1", got)
	}
	var clients []string
	for slot := range uint32(3) {
		clients = append(clients, n.group.PeerOf(0, slot))
	}
	slices.Sort(clients)
	if want := []string{"10.1.1.1:1", "10.1.1.2:2", "10.1.1.3:3"}; !slices.Equal(clients, want) {
		t.Errorf("the clients are %v, want %v", clients, want)
	}
	http.send("echo 2\nvia\n")
	http.expect("2", "secure=false trusted=true named=false")
	n.publish("a", "one")
	poll.expect("poll 1 0 1", "m 1 a one")
	poll.send("via\n")
	poll.expect("secure=false trusted=true named=false")
	sse.expect("m 1 a one")
	for _, c := range []*client{http, sse, poll} {
		c.Close()
	}
	n.awaitEmpty()
}

// A loop that runs takes connections over, too.
func TestImportIntoRunningLoops(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{})
	sse, idle := s.dial(), s.dial()
	sse.sse("a now")
	idle.send("echo 1\necho 2")
	idle.expect("1")
	state := s.freezeWhen("2 connections", func(all []loop.ConnState) bool { return len(all) == 2 && count(all, withInput) == 1 })
	n := s.next(options{})
	n.run()
	if taken, err := n.takeOver(state); taken != 2 || err != nil {
		t.Fatalf("%d connections were taken over, error %v", taken, err)
	}
	s.group.Abandon(patient(t))
	n.publish("a", "one")
	sse.expect("m 1 a one")
	idle.send("\n")
	idle.expect("2")
}
