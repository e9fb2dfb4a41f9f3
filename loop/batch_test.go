package loop_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// recorder is a layer that notes the system calls of its loop while it is on.
type recorder struct {
	loop.Kernel
	mu      sync.Mutex
	on      bool
	calls   []string
	sockets []int32
	longest int // send
}

func (k *recorder) note(call string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.on {
		k.calls = append(k.calls, call)
	}
}

func (k *recorder) Add(socket int32) error {
	k.mu.Lock()
	k.sockets = append(k.sockets, socket)
	k.mu.Unlock()
	return k.Kernel.Add(socket)
}

func (k *recorder) Read(socket int32, b []byte) (int, error) {
	n, err := k.Kernel.Read(socket, b)
	if n > 0 {
		k.note("read")
	}
	return n, err
}

func (k *recorder) Send(socket int32, b []byte) (int, bool, error) {
	if strings.HasPrefix(string(b), "m ") || len(b) > 2 && strings.HasPrefix(string(b[2:]), "m ") { // or in a frame
		k.note("delivery")
	} else {
		k.note("response")
	}
	k.mu.Lock()
	if k.on {
		k.longest = max(k.longest, len(b))
	}
	k.mu.Unlock()
	if len(b) > 4 && strings.HasPrefix(string(b[4:]), "nobody") { // behind the head of a long frame
		return 0, false, unix.EPIPE
	}
	return k.Kernel.Send(socket, b)
}

func (k *recorder) Shutdown(socket int32) {
	k.note("shutdown")
	k.Kernel.Shutdown(socket)
}

func (k *recorder) Yield() {
	k.note("yield")
	k.Kernel.Yield()
}

// waiting is how many sockets have something to read.
func (k *recorder) waiting() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, fd := range k.sockets {
		if bytes, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil && bytes > 0 {
			n++
		}
	}
	return n
}

// recorded starts a server with one loop whose system calls are noted.
func recorded(t *testing.T, c loop.Config) (*server, *recorder) {
	t.Helper()
	onlyPlain(t)
	k := &recorder{}
	c.Loops = 1
	s := start(t, options{config: c, open: func(number int, h loop.Handler) (loop.Kernel, error) {
		below, err := loop.OpenMachine(number, h)
		k.Kernel = below
		return k, err
	}})
	return s, k
}

// inOneBatch has all requests be there before the loop looks at its sockets again, then those that
// hang up do, and returns what the loop has called when done returns: all was received.
func (s *server) inOneBatch(k *recorder, requests map[*client]string, done func(), hangUp ...*client) []string {
	s.t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	s.group.PostTo(0, func() { close(held); <-release })
	<-held
	for c, request := range requests {
		c.send(request)
	}
	s.await("requests in the kernel", func() bool { return k.waiting() == len(requests) })
	for _, c := range hangUp {
		c.reset()
	}
	k.mu.Lock()
	k.on = true
	k.mu.Unlock()
	close(release)
	done()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.on = false
	calls := k.calls
	k.calls = nil
	return calls
}

// times is so many of the same calls.
func times(n int, call string) []string { return slices.Repeat([]string{call}, n) }

func TestABatchIsReadThenAnsweredThenDelivered(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	const publishers = 8
	subscriber, own := s.dial(), map[*client]string{}
	subscriber.sse("shared now")
	var publisher []*client
	for range publishers {
		c := s.dial()
		c.send("echo here\n")
		c.expect("here")
		publisher = append(publisher, c)
		own[c] = "pub shared x\n"
	}
	calls := s.inOneBatch(k, own, func() {
		for _, c := range publisher {
			if answer := c.line(); !strings.HasPrefix(answer, "ok ") {
				t.Errorf("answer %q", answer)
			}
		}
		for n := range publishers {
			subscriber.expect(fmt.Sprintf("m %d shared x", n+1))
		}
	})
	// Deliveries of one batch to one client are one send; nothing waits for a turn.
	if want := slices.Concat(times(publishers, "read"), times(publishers, "response"), times(1, "delivery")); !slices.Equal(calls, want) {
		t.Errorf("%v, want %v", calls, want)
	}
}

func TestALonePublicationWaitsForNoTurn(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	subscriber, publisher := s.dial(), s.dial()
	subscriber.sse("a now")
	publisher.send("echo here\n")
	publisher.expect("here")
	calls := s.inOneBatch(k, map[*client]string{publisher: "pub a x\n"}, func() {
		publisher.expect("ok 1")
		subscriber.expect("m 1 a x")
	})
	if want := []string{"read", "response", "delivery"}; !slices.Equal(calls, want) {
		t.Errorf("%v, want %v", calls, want)
	}
}

func TestPipelinedRequestsAreOneSend(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	c := s.dial()
	c.send("echo here\n")
	c.expect("here")
	calls := s.inOneBatch(k, map[*client]string{c: strings.Repeat("echo a\n", 20) + "ec"}, func() {
		c.expect(slices.Repeat([]string{"a"}, 20)...)
	})
	if want := []string{"read", "response"}; !slices.Equal(calls, want) {
		t.Errorf("%v, want %v", calls, want)
	}
	c.send("ho b\necho c\n")
	c.expect("b", "c")
}

// What costs much does not delay the responses and deliveries of a whole batch.
func TestDearEventsOfABatchDoNotDelayWhatIsReady(t *testing.T) {
	s, k := recorded(t, loop.Config{TurnWork: 50})
	subscriber, requests := s.dial(), map[*client]string{}
	subscriber.sse("a now")
	var all []*client
	for range 16 {
		c := s.dial()
		for range 8 { // so that it is not new, and not dear
			c.send("echo here\n")
			c.expect("here")
		}
		all = append(all, c)
		requests[c] = "pub a x\n"
	}
	calls := s.inOneBatch(k, requests, func() {
		for i, c := range all {
			if answer := c.line(); !strings.HasPrefix(answer, "ok ") {
				t.Errorf("client %d: %q", i, answer)
			}
		}
		for n := range len(all) {
			subscriber.expect(fmt.Sprintf("m %d a x", n+1))
		}
	})
	reads, longest := 0, 0
	for _, call := range calls {
		if call == "read" {
			reads++
			longest = max(longest, reads)
		} else if call == "delivery" {
			reads = 0
		}
	}
	if longest > 6 || longest < 2 { // a request and its response are 12 units and a few
		t.Errorf("%d requests were read before anything was delivered: %v", longest, calls)
	}
}

func TestAResponseOfABatchComesBeforeItsEnd(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	last, gone, half, kept := s.dial(), s.dial(), s.dial(), s.dial()
	for _, c := range []*client{last, gone, half, kept} {
		c.send("echo here\n")
		c.expect("here")
	}
	calls := s.inOneBatch(k, map[*client]string{last: "last a\n", half: "echo b\n", kept: "echo c\n", gone: "echo d\n"}, func() {
		half.tcp().CloseWrite()
		last.expect("a")
		last.expectEnd()
		half.expect("b")
		half.expectEnd()
		kept.expect("c")
	})
	end := slices.Index(calls, "shutdown")
	if n := len(slices.DeleteFunc(slices.Clone(calls[:max(end, 0)]), func(c string) bool { return c != "response" })); end < 0 || n == 0 {
		t.Errorf("%v: the end comes before every response", calls)
	}
	gone.expect("d")
}

// A request, and behind it a reset: the response is kept when the connection is closed. The
// others get theirs.
func TestAResponseToAClientThatHasGoneIsDropped(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	requests := map[*client]string{}
	var all []*client
	for range 9 {
		c := s.dial()
		c.send("echo here\n")
		c.expect("here")
		all = append(all, c)
		requests[c] = "echo a\n"
	}
	calls := s.inOneBatch(k, requests, func() {
		for i, c := range all {
			if i%2 == 0 {
				c.expect("a")
			}
		}
	}, all[1], all[3], all[5], all[7])
	if n := len(calls) - len(slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return c == "response" })); n != 5 {
		t.Errorf("%d responses are sent, want one for each client that is there: %v", n, calls)
	}
	for i, c := range all {
		if i%2 == 0 {
			c.send("echo b\n")
			c.expect("b")
			c.Close()
		}
	}
	s.awaitEmpty()
}

// More responses than are kept, and all to clients that read them late.
func TestLongResponsesOfABatchArriveWhole(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	requests := map[*client]string{}
	var all []*client
	for range 6 {
		c := s.dial()
		c.send("echo here\n")
		c.expect("here")
		all = append(all, c)
		requests[c] = "big 40000\necho next\n"
	}
	s.inOneBatch(k, requests, func() {
		for _, c := range all {
			big := make([]byte, 40_000)
			if _, err := io.ReadFull(c.r, big); err != nil {
				t.Fatal(err)
			}
			if rest := c.line(); strings.Trim(rest, "x") != "" {
				t.Errorf("behind it: %.80q", rest)
			}
			c.expect("next")
		}
	})
}
