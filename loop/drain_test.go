package loop_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/loop/admit"
)

func TestDrainInTheMiddleOfAFanOut(t *testing.T) {
	const streams, sockets, polls, idle, messages, bytes = 150, 100, 50, 20, 200, 2000
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	s := prepare(t, options{sendBuffer: 32 << 10})
	s.failed = s.group.Start()
	var all []*client
	open := func(n int, begin func(c *client)) (some []*client) {
		for range n {
			c := s.dialWith(16 << 10)
			begin(c)
			some = append(some, c)
		}
		all = append(all, some...)
		return some
	}
	sse := open(streams, func(c *client) { c.sse("a,b now") })
	ws := open(sockets, func(c *client) { c.ws("wsraw", "a now publish") })
	poll := open(polls, func(c *client) { c.send("poll quiet now 60\n") })
	rest := open(idle, func(c *client) { c.send("echo 1\n"); c.expect("1") })
	s.await("subscribers", func() bool { return s.journal.subscribers() == 2*streams+sockets+polls })

	var g sync.WaitGroup
	check := func(some []*client, f func(c *client) error) {
		for _, c := range some {
			g.Go(func() {
				c.SetDeadline(time.Now().Add(2 * patience))
				if err := f(c); err != nil {
					t.Error(err)
				}
				c.Close()
			})
		}
	}
	check(sse, func(c *client) error {
		for i := range messages {
			want := fmt.Sprintf("m %d %s %s\n", i+1, []string{"a", "b"}[i%2], body(i, bytes))
			if line, err := c.r.ReadString('\n'); err != nil || line != want {
				return fmt.Errorf("stream, message %d: %.30q, %v", i, line, err)
			}
		}
		if b, err := io.ReadAll(c.r); err != nil || string(b) != "bye\n" {
			return fmt.Errorf("stream ends with %.50q, %v", b, err)
		}
		return nil
	})
	check(ws, func(c *client) error {
		for i := 0; i < messages; i += 2 {
			if op, p, err := readFrame(c.r); err != nil || op != opText || p != body(i, bytes) {
				return fmt.Errorf("WebSocket, message %d: %d %.30q, %v", i, op, p, err)
			}
		}
		op, p, err := readFrame(c.r)
		if err != nil || op != opClose || p[:2] != closePayload(1001, "") {
			return fmt.Errorf("WebSocket ends with %d %q, %v", op, p, err)
		}
		if _, err := c.Conn.Write(masked(0x80|opClose, p[:2])); err != nil {
			return err
		}
		if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
			return fmt.Errorf("after the close frame: %q, %v", b, err)
		}
		return nil
	})
	ends := func(want string) func(c *client) error {
		return func(c *client) error {
			if b, err := io.ReadAll(c.r); err != nil || string(b) != want {
				return fmt.Errorf("%.50q, %v; want %q and the end", b, err, want)
			}
			return nil
		}
	}
	check(poll, ends(fmt.Sprintf("poll %d 0 0\n", messages)))
	check(rest, ends(""))

	for i := range messages {
		s.publish([]string{"a", "b"}[i%2], body(i, bytes))
	}
	s.group.Drain(testContext())
	g.Wait()
	select {
	case err := <-s.failed:
		t.Errorf("a loop that was told to end: %v", err)
	default:
	}
	if n := s.journal.subscribers(); n != 0 {
		t.Errorf("%d subscribers left", n)
	}
	if c, err := net.DialTimeout("tcp", s.addr.String(), time.Second); err == nil {
		c.Close()
		t.Error("still accepts")
	}
	expectNothingLeft(t, goroutines, descriptors)
}

func expectNothingLeft(t *testing.T, goroutines, descriptors int) {
	t.Helper()
	if !eventually(patience, func() bool { return runtime.NumGoroutine() <= goroutines && openDescriptors() <= descriptors }) {
		t.Errorf("%d goroutines (%d before), %d descriptors (%d before)", runtime.NumGoroutine(), goroutines, openDescriptors(), descriptors)
	}
}

func TestDrainDeadlineWithAStalledClient(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	s := prepare(t, options{sendBuffer: 8 << 10})
	s.group.Start()
	stalled, fine := s.dialWith(4<<10), s.dial()
	stalled.ws("wsraw", "a now")
	later := s.dial()
	later.send("later never\n")
	<-s.later
	fine.sse("a now")
	data := strings.Repeat("d", 10_000)
	for range 50 {
		s.publish("a", data)
	}
	s.await("a full socket", func() bool { return s.sum(func(s loop.Stats) int { return int(s.Fanout.Full) }) > 0 })
	ended := make(chan error, 1)
	go func() { // ends with the connection
		b, err := io.ReadAll(fine.r)
		if n := strings.Count(string(b), data); err == nil && (n != 50 || !strings.HasSuffix(string(b), "bye\n")) {
			err = fmt.Errorf("%d messages and %.10q", n, b[max(0, len(b)-10):])
		}
		ended <- err
	}()
	const limit = time.Second
	begin := time.Now()
	s.group.Drain(shortContext(limit))
	if d := time.Since(begin); d < limit || d > limit+patience {
		t.Errorf("drained in %v, the limit is %v", d, limit)
	}
	if err := <-ended; err != nil {
		t.Errorf("the client that reads: %v", err)
	}
	for _, c := range []*client{stalled, later, fine} {
		c.Close()
	}
	expectNothingLeft(t, goroutines, descriptors)
}

// A request that is half here, or with a worker, when the drain begins is
// answered, and then the connection ends.
func TestDrainAnswersWhatHasBegun(t *testing.T) {
	s := prepare(t, options{sendBuffer: 8 << 10})
	s.group.Start()
	half, later, poll := s.dial(), s.dial(), s.dial()
	half.send("body 10\n12345")
	half.expect("continue")
	later.send("later x\n")
	p := <-s.later
	// A poll whose answer waits behind one that the client has not taken.
	slow := s.dialWith(4 << 10)
	slow.send("big 60000\npoll a now 60\n")
	poll.send("poll a now 60\necho behind\n")
	s.await("polls", func() bool { return s.journal.subscribers() == 2 && s.sum(held) > 0 })
	drained := make(chan struct{})
	go func() { // ends with the drain
		defer close(drained)
		s.group.Drain(testContext())
	}()
	poll.expect("poll 0 0 0") // so the drain has passed
	half.send("67890")
	half.expect("got 10")
	half.expectEnd()
	s.group.Answer(p.ref, []byte("worked\n"))
	later.expect("worked")
	later.expectEnd()
	slow.expect(strings.Repeat("x", 60_000), "poll 0 0 0")
	slow.expectEnd()
	for _, c := range []*client{half, later, poll, slow} {
		c.Close()
	}
	select {
	case <-drained:
	case <-time.After(patience):
		t.Error("the drain goes on though all clients are gone")
		<-drained
	}
}

func TestDrainOfNobody(t *testing.T) {
	s := prepare(t, options{})
	s.group.Start()
	begin := time.Now()
	s.group.Drain(testContext())
	if d := time.Since(begin); d > patience/2 { // half of what the drain may take
		t.Errorf("drained in %v", d)
	}
	s.group.Drain(testContext()) // once more does nothing
}

// What was read of a WebSocket, and waits for its turns, is handled before the
// server says good-bye.
func TestDrainHandlesWhatWasRead(t *testing.T) {
	const n = 3000
	s := prepare(t, options{config: loop.Config{Loops: 1}})
	echoed, drains := make(chan struct{}), make(chan struct{})
	s.world.echoed = func(string) { close(echoed); <-drains }
	s.run()
	c, other := s.dial(), s.dial()
	c.ws("wsjson", "a now publish")
	c.expectFrame(opText, "open 0\n")
	held, goOn := make(chan struct{}), make(chan struct{})
	s.group.PostTo(0, func() { close(held); <-goOn })
	<-held
	c.send(strings.Repeat(string(masked(0x80|opText, "#")), n))
	other.send("echo x\n")
	close(goOn)
	<-echoed // in the same batch of events c was read, or will be
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		s.group.Drain(ctx)
		close(drained)
	}()
	runtime.Gosched()
	close(drains)
	c.expectClose(1001)
	c.Close()
	other.Close()
	<-drained
	if got := s.received.Load(); got != n {
		t.Errorf("%d of %d messages handled", got, n)
	}
}

// In each pass the good-byes that it may say, and no more; who has none yet is served.
func TestEachPassOfADrainSaysSoManyGoodByes(t *testing.T) {
	const clients, each = 90, 20
	s := start(t, options{})
	for n := range clients {
		c := s.dial()
		defer c.Close()
		if n%3 == 2 {
			c.ws("wsraw", "a now")
		} else {
			c.sse("a now")
		}
	}
	keep := s.dial()
	keep.send("echo 1\n")
	keep.expect("1")
	defer keep.Close()
	streams := func() (n int) { // without good-bye
		closed := uint64(0)
		for _, one := range s.stats() {
			n += one.Transports.SSE + one.Transports.WebSocket
			closed += one.Closes[1001]
		}
		return n - int(closed) // those still count as WebSockets until their clients answer
	}
	s.await("streams", func() bool { return streams() == clients })
	s.group.StopAccepting()
	pass := func(more int) {
		done := make(chan int, 1)
		s.group.SayGoodBye(more, func(open int) { done <- open })
		<-done
	}
	pass(0)
	pass(0)
	if n := streams(); n != clients {
		t.Errorf("%d of %d streams after passes without a good-bye", n, clients)
	}
	for left := clients + 1; left > 0; left -= min(each, left) { // with keep
		pass(each)
		for range 3 { // what a pass may say and did not, the next may
			pass(0)
		}
		if n, most := streams(), max(0, left-each); n > most || n < most-1 {
			t.Errorf("%d streams left after a pass, want %d or one less", n, most)
		}
		if left == clients+1 {
			s.publish("a", "still served")
		}
	}
	keep.expectEnd()
}

// A connection whose first request is on its way is served, and then closed.
func TestDrainWaitsForTheFirstRequest(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1}})
	s.group.Start()
	c := s.dial()
	s.await("the connection", func() bool { return s.group.Load() == 1 })
	drained := make(chan struct{})
	go func() { // ends with the drain
		defer close(drained)
		s.group.Drain(testContext())
	}()
	s.await("the end of the listener", func() bool {
		other, err := net.DialTimeout("tcp", s.addr.String(), time.Second)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	c.send("echo 1\n")
	c.expect("1")
	c.expectEnd()
	c.Close()
	<-drained
}

// Connections that wait in the backlog, here for the rate of new ones, are served and
// not reset, unless another process keeps the listener open.
func TestDrainServesTheBacklog(t *testing.T) {
	onlyPlain(t) // a client of TLS would wait for its handshake
	const waiting = 100
	s := prepare(t, options{config: loop.Config{Admission: admit.Limits{Rate: admit.Rate{Interval: time.Hour, Burst: 1}}}})
	s.group.Start()
	first := s.dial()
	first.send("echo 1\n")
	first.expect("1")
	var late []*client
	for range waiting {
		c := s.dial()
		c.send("echo 2\n")
		late = append(late, c)
	}
	s.await("a pause", func() bool { return s.stats()[0].Admission.Pauses > 0 })
	drained := make(chan struct{})
	go func() { // ends with the drain
		defer close(drained)
		s.group.Drain(testContext())
	}()
	for _, c := range late {
		c.expect("2")
		c.expectEnd()
		c.Close()
	}
	first.expectEnd()
	first.Close()
	<-drained
}

func TestDrainLeavesTheBacklogOfAnInheritedListener(t *testing.T) {
	onlyPlain(t)
	var kept int
	s := prepare(t, options{
		config:    loop.Config{Admission: admit.Limits{Rate: admit.Rate{Interval: time.Hour, Burst: 1}}},
		inherited: 1,
		listen: func(t testing.TB) (int, net.Addr) {
			fd, addr := listenTCP(t, 0)
			var err error
			if kept, err = unix.Dup(fd); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(kept) })
			return fd, addr
		},
	})
	s.group.Start()
	first := s.dial()
	first.send("echo 1\n")
	first.expect("1")
	s.dial()
	s.await("a pause", func() bool { return s.stats()[0].Admission.Pauses > 0 })
	s.group.Drain(testContext())
	fd, _, err := unix.Accept(kept)
	if err != nil {
		t.Fatalf("the connection that waited: %v", err)
	}
	unix.Close(fd)
}
