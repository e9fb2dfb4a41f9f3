package loop_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
)

func TestByteByByte(t *testing.T) {
	s := start(t, options{})
	c := s.dial()
	reads := func() int { return s.sum(func(s loop.Stats) int { return int(s.Reads) }) }
	for _, b := range []byte("echo a\nbody 5\n12345echo b\nsse a now\n") {
		before := reads()
		c.send(string([]byte{b}))
		s.await("the byte", func() bool { return reads() > before })
	}
	c.expect("a", "continue", "got 5", "b", "stream", "open 0")
	s.publish("a", "hello")
	c.expect("m 1 a hello")
	c.Close()
	s.awaitEmpty()
}

func TestPipelinedRequestsAreAnsweredTogether(t *testing.T) {
	onlyPlain(t)
	s := start(t, options{config: loop.Config{Loops: 1, TurnWork: 1 << 20}})
	c := s.dial()
	const n = 500
	var in, want strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "echo %d\n", i)
		fmt.Fprintf(&want, "%d\n", i)
	}
	c.send(in.String()) // one segment: loopback's hold 64 KiB
	got := make([]byte, want.Len())
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != want.String() {
		t.Fatalf("answers: %.60q, %v", got, err)
	}
	raw, err := c.tcp().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err != nil || info.Data_segs_in > 3 {
			t.Errorf("%d answers came in %d segments, error %v", n, info.Data_segs_in, err)
		}
	})
}

func TestPipelinedAnswersLargerThanTheSocket(t *testing.T) {
	s := start(t, options{sendBuffer: 8 << 10})
	c := s.dialWith(4 << 10)
	var in strings.Builder
	for i := range 50 {
		fmt.Fprintf(&in, "echo before %d\nbig 100000\n", i)
	}
	c.send(in.String(), "last done\n")
	s.await("a full socket", func() bool { return s.sum(held) > 0 })
	for range 20 { // further requests wait for the answer to leave
		if n := s.sum(held); n > 3*100_000 {
			t.Fatalf("%d bytes of answers are held", n)
		}
	}
	big := strings.Repeat("x", 100_000)
	for i := range 50 {
		c.expect(fmt.Sprintf("before %d", i), big)
	}
	c.expect("done")
	c.expectEnd()
	c.Close()
	s.awaitEmpty()
}

func TestLaterAnswersInRequestOrder(t *testing.T) {
	s := start(t, options{})
	c := s.dial()
	c.send("echo 1\nlater 2\necho 3\nlater 4\nlastlater 5\necho never\n")
	c.expect("1")
	for _, want := range []string{"2", "4", "5"} {
		p := <-s.later
		if p.text != want {
			t.Fatalf("request %q, want %q", p.text, want)
		}
		select {
		case early := <-s.later:
			t.Fatalf("request %q before %q was answered", early.text, want)
		default:
		}
		s.group.Answer(p.ref, []byte(p.text+"\n"))
	}
	c.expect("2", "3", "4", "5")
	c.expectEnd()
}

func TestStaleRefIsIgnored(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	old := s.dial()
	old.send("later old\n")
	stale := <-s.later
	old.reset() // a half-closed one would be answered
	s.awaitEmpty()
	c := s.dial()
	c.send("later new\n")
	fresh := <-s.later
	if stale.ref.Slot != fresh.ref.Slot {
		t.Fatalf("slots %d and %d: this test is of one used again", stale.ref.Slot, fresh.ref.Slot)
	}
	s.group.Answer(stale.ref, []byte("wrong\n"))
	s.group.Answer(fresh.ref, []byte("right\n"))
	c.expect("right")
	c.send("echo next\n")
	c.expect("next")
}

func TestRequestsBehindAParkedPoll(t *testing.T) {
	s := start(t, options{})
	c := s.dial()
	c.send("echo 1\npoll a,b now 60\necho 2\npoll a 0 60\necho 3\n")
	c.expect("1")
	s.await("the poll", func() bool { return s.journal.subscribers() == 2 })
	c.silent()
	s.publish("b", "for you")
	c.expect("poll 1 0 1", "m 1 b for you", "2")
	s.publish("a", "and you")
	c.expect("poll 2 0 1", "m 2 a and you", "3")
	c.Close()
	s.awaitEmpty()
}

// What a request behind a poll publishes leaves without any further event: it
// is published in the middle of a fan-out.
func TestPublishBehindAParkedPoll(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	s.group.StopTicks()
	subscriber := s.dial()
	subscriber.sse("b now")
	c := s.dial()
	for i := range 100 {
		c.send("poll a now 60\npub b echoed\n")
		s.await("the poll", func() bool { return s.journal.subscribers() == 2 })
		first := s.publish("a", "go")
		c.expect(fmt.Sprintf("poll %d 0 1", first), fmt.Sprintf("m %d a go", first), fmt.Sprintf("ok %d", first+1))
		subscriber.SetReadDeadline(time.Now().Add(patience))
		if _, err := subscriber.r.ReadString('\n'); err != nil {
			t.Fatalf("round %d: what was published inside a flush lies in the ring: %v", i, err)
		}
	}
}

func TestPollTimesOutEmpty(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	c := s.dial()
	s.publish("other", "x")
	c.send("poll a now 1\necho next\nlastpoll a now 1\n")
	c.expect("poll 1 0 0", "next", "poll 1 0 0")
	c.expectEnd()
}

func TestPollAnswersAtOnceWhatWaits(t *testing.T) {
	s := start(t, options{keep: 3})
	for i := range 5 {
		s.publish("a", fmt.Sprint(i))
	}
	c := s.dial()
	c.send("poll a first 60\n")
	c.expect("poll 5 0 3", "m 3 a 2", "m 4 a 3", "m 5 a 4")
	c.send("poll a 1 60\n")
	c.expect("poll 5 1 3", "gap a 1 2", "m 3 a 2", "m 4 a 3", "m 5 a 4")
	c.send("poll a 4 60\n")
	c.expect("poll 5 0 1", "m 5 a 4")
	c.send("poll a last:2 60\n")
	c.expect("poll 5 0 2", "m 4 a 3", "m 5 a 4")
}

func TestHangUpIsForgotten(t *testing.T) {
	s := start(t, options{})
	for round := range 20 {
		var all []*client
		for i := range 10 {
			c := s.dial()
			switch i % 5 {
			case 0:
				c.send("poll a,b now 60\n")
			case 1:
				c.send("later x\n")
			case 2:
				c.send("poll a now 60\necho 1\npoll a now 60\n")
			case 3:
				c.send("sse a,c now\n")
			case 4:
				c.send("wsraw a now publish\n")
			}
			all = append(all, c)
		}
		refs := []parked{<-s.later, <-s.later}
		s.await("subscribers", func() bool { return s.journal.subscribers() == 12 })
		for i, c := range all {
			if (i+round)%2 == 0 {
				c.reset()
			} else {
				c.Close()
			}
		}
		s.publish("a", "too late") // some are gone, some not yet
		for _, p := range refs {
			s.group.Answer(p.ref, []byte("to nobody\n")) // which may be somebody who only half-closed
		}
		s.awaitEmpty()
	}
}

func TestReplyCloseLingers(t *testing.T) {
	s := start(t, options{})
	for i := range 20 {
		c := s.dial()
		// The client goes on sending after the request that ends the connection:
		// closing with that unread would reset it and could lose the answer.
		c.send("biglast 300000\n", strings.Repeat("echo never\n", 2000))
		c.SetReadDeadline(time.Now().Add(patience))
		time.Sleep(time.Duration(rand.IntN(2)) * time.Millisecond) // for variety, nothing waits for it
		b, err := io.ReadAll(c.r)
		if err != nil || len(b) != 300_001 {
			t.Fatalf("round %d: %d bytes, error %v", i, len(b), err)
		}
		c.Close()
	}
	s.awaitEmpty()
}

func TestContinueIsSaidOnce(t *testing.T) {
	s := start(t, options{})
	c := s.dial()
	for range 2 {
		c.send("body 200000\n")
		c.expect("continue")
		for range 20 {
			c.send(strings.Repeat("z", 10_000))
		}
		c.expect("got 200000")
	}
	c.send("body 3\nabc")
	c.expect("got 3")
	c.Close()
	s.awaitEmpty()
}

// While a connection waits for an answer, little of what follows is read, and
// all of it is answered afterwards.
func TestReadingPausesBehindAnAnswer(t *testing.T) {
	const parkedBytes = 4 << 10
	for name, wait := range map[string]string{"poll": "poll a now 60\n", "later": "later x\n"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{config: loop.Config{Loops: 1, ParkedBytes: parkedBytes}})
			c := s.dial()
			c.send(wait)
			var answer func()
			if name == "later" {
				p := <-s.later
				answer = func() { s.group.Answer(p.ref, []byte("late\n")) }
			} else {
				s.await("the poll", func() bool { return s.journal.subscribers() == 1 })
				answer = func() { s.publish("a", "x") }
			}
			// So much lies in the kernel when the loop looks for the first time.
			held, goOn := make(chan struct{}), make(chan struct{})
			s.group.PostTo(0, func() { close(held); <-goOn })
			<-held
			const n = 300_000
			sent := make(chan error, 1)
			go func() { // ends when all is read, or the connection is closed
				var err error
				for i := 0; i < n && err == nil; i += 1000 {
					var b []byte
					for k := range 1000 {
						b = fmt.Appendf(b, "echo %d\n", i+k)
					}
					_, err = c.Conn.Write(b)
				}
				sent <- err
			}()
			s.await("input in the kernel", func() bool { return sentBytes(t, c) > readBytes/2 })
			close(goOn)
			input := func() int { return s.sum(func(s loop.Stats) int { return s.InputBytes }) }
			s.await("input", func() bool { return input() >= parkedBytes })
			for range 50 { // while the sender tries to send more
				if held := input(); held > 2*parkedBytes {
					t.Fatalf("%d bytes of input are kept, ParkedBytes is %d", held, parkedBytes)
				}
			}
			answer()
			if name == "later" {
				c.expect("late")
			} else {
				c.expect("poll 1 0 1", "m 1 a x")
			}
			for i := range n {
				c.expect(fmt.Sprint(i))
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			c.Close()
			s.awaitEmpty()
		})
	}
}

// What lay unread in the kernel when the answer left brings no event any more.
func TestReadsOnAfterAnAnswer(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, ParkedBytes: 1 << 10}})
	s.group.StopTicks()
	c := s.dial()
	c.send("later x\n")
	p := <-s.later
	var in strings.Builder
	const n = 3000
	for i := range n {
		fmt.Fprintf(&in, "echo %d\n", i)
	}
	c.send(in.String())
	s.await("input", func() bool {
		return sentBytes(t, c) >= in.Len() && s.stats()[0].InputBytes >= 1<<10
	})
	s.group.Answer(p.ref, []byte("late\n"))
	c.expect("late")
	for i := range n {
		c.expect(fmt.Sprint(i))
	}
}

// A client that sends without end must not have its loop to itself.
func TestFastSenderLeavesTimeForOthers(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	var senders []*client
	stop := make(chan struct{})
	ended := make(chan struct{}, 3)
	for range 3 {
		c := s.dial()
		c.sse("a now") // its input is discarded as fast as it comes
		senders = append(senders, c)
	}
	garbage := make([]byte, 1<<20)
	for _, c := range senders {
		c.SetWriteDeadline(time.Time{})
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := c.Conn.Write(garbage); err != nil {
					return
				}
			}
		}()
	}
	c := s.dial()
	for i := range 200 {
		c.send(fmt.Sprintf("echo %d\n", i))
		c.expect(fmt.Sprint(i))
	}
	close(stop)
	for _, c := range senders {
		c.Close()
		<-ended
	}
}

func TestHeadTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, options{config: loop.Config{HeadTimeout: time.Second, IdleTimeout: time.Hour}})
	silent, half, dripping, second := s.dial(), s.dial(), s.dial(), s.dial()
	idle := s.dial()
	idle.send("echo 1\n")
	idle.expect("1")
	half.send("echo hal")
	second.send("echo 1\necho hal")
	second.expect("1")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // a byte now and then does not help
		defer close(done)
		for range time.Tick(100 * time.Millisecond) {
			select {
			case <-stop:
				return
			default:
				io.WriteString(dripping.Conn, "e")
			}
		}
	}()
	for _, c := range []*client{half, second, dripping} {
		c.SetReadDeadline(time.Now().Add(patience))
		if b, err := io.ReadAll(c.r); string(b) != "late\n" || isTimeout(err) {
			t.Errorf("%q, %v; want the refusal and the end", b, err)
		}
	}
	close(stop)
	<-done
	for _, c := range []*client{idle, silent} {
		c.send("echo 2\n")
		c.expect("2")
	}
}

// A head has the time of a head, a body a second more for each KiB of it that has
// come, and a connection that sent nothing yet is an idle one.
func TestUnfinishedRequestsAreRefused(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, HeadTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}})
	silent, head, trickle, steady, late := s.dial(), s.dial(), s.dial(), s.dial(), s.dial()
	s.awaitConnections(5)
	head.send("echo " + strings.Repeat("x", 5000))
	trickle.send("body 30000\n0123456789")
	for _, c := range []*client{steady, late} {
		c.send("echo first\nbody 30000\n", strings.Repeat("x", 15_000))
		c.expect("first", "continue")
	}
	s.await("the input", func() bool { return s.stats()[0].InputBytes > 35_000 })
	trickle.expect("continue")
	age := func(d time.Duration) {
		s.group.Age(0, d)
		s.stats() // behind it
	}
	age(12 * time.Second)
	for _, c := range []*client{head, trickle} {
		c.expect("late")
		c.expectEnd()
	}
	age(7 * time.Second)
	steady.send(strings.Repeat("x", 15_000), "echo next\n")
	steady.expect("got 30000", "next")
	age(8 * time.Second) // 27 s in all, and the body had 24
	late.expect("late")
	late.expectEnd()
	silent.send("echo here\n")
	silent.expect("here")

	other := s.dial()
	s.awaitConnections(3)
	age(74 * time.Second)
	for _, c := range []*client{silent, other} {
		c.SetReadDeadline(time.Now().Add(patience))
		age(2 * time.Second)
		c.expectEnd() // without a word
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, options{config: loop.Config{IdleTimeout: 2 * time.Second, HeadTimeout: time.Second}})
	busy, idle, poll := s.dial(), s.dial(), s.dial()
	idle.send("echo 1\n")
	idle.expect("1")
	poll.send("poll a now 60\n")
	stream := s.dial()
	stream.sse("a now")
	begin := time.Now()
	for time.Since(begin) < 4*time.Second {
		busy.send("echo 1\n")
		busy.expect("1")
		time.Sleep(100 * time.Millisecond) // the client's own pace
	}
	idle.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(idle.r); len(b) > 0 || isTimeout(err) {
		t.Errorf("%q, %v; want the end", b, err)
	}
	s.publish("a", "still here")
	poll.expect("poll 1 0 1", "m 1 a still here")
	stream.expect("m 1 a still here")
}

func TestInputLimitClosesWhoAsksForMore(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, InputBytes: 100_000}})
	modest := s.dial()
	modest.send("body 1000\n")
	modest.expect("continue")
	greedy := s.dial()
	greedy.send("body 1000000\n")
	greedy.expect("continue")
	greedy.SetWriteDeadline(time.Now().Add(patience))
	greedy.Conn.Write(make([]byte, 1_000_000)) // fails or not, as the reset comes
	greedy.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(greedy.r); len(b) > 0 || isTimeout(err) {
		t.Errorf("%q, %v; want the end", b, err)
	}
	modest.send(strings.Repeat("z", 1000))
	modest.expect("got 1000")
	modest.Close()
	s.awaitEmpty()
}

const readBytes = 64 << 10 // what the loop reads at a time

// sentBytes is how much has arrived in the server's kernel.
func sentBytes(t *testing.T, c *client) (n int) {
	t.Helper()
	raw, err := c.tcp().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Bytes_sent)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
