package loop_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/loop/ring"
)

// Two messages at a time, the second while the loops deliver the first and go to
// sleep again: a wake-up that is lost leaves it in the ring, and nothing else
// happens that could save it.
func TestNoWakeUpIsLost(t *testing.T) {
	rounds := 20_000
	if testing.Short() {
		rounds = 2_000
	}
	s := start(t, options{config: loop.Config{Heartbeat: time.Hour}}) // none, however slow the machine is
	s.group.StopTicks()
	var all []*client
	for range 2 { // one on each loop
		c := s.dial()
		c.sse("a now")
		all = append(all, c)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range rounds {
		s.publish("a", "x")
		for begin, wait := time.Now(), time.Duration(random.IntN(100_000)); time.Since(begin) < wait; { // a spin, as short as the race
		}
		s.publish("a", "x")
		for _, c := range all {
			c.SetReadDeadline(time.Now().Add(patience))
			for n := 2*i + 1; n <= 2*i+2; n++ {
				line, err := c.r.ReadSlice('\n')
				if err != nil || string(line) != fmt.Sprintf("m %d a x\n", n) {
					t.Fatalf("seed %d, message %d: %q, %v", seed, n, line, err)
				}
			}
		}
	}
}

// watcher calls encoding on the loop, while that looks at the ring.
type watcher struct {
	encoder
	encoding func()
}

func (w *watcher) Encode(m *ring.Message, k ring.Encoding) []byte {
	w.encoding()
	return w.encoder.Encode(m, k)
}

// The rule that TestNoWakeUpIsLost rests on, without its luck: a loop that looks
// at the ring can be woken again. A few looks may meet the wake-up of their own
// message: when the loop has not gone to sleep since the message before.
func TestLoopCanBeWokenWhenItLooks(t *testing.T) {
	var armed atomic.Int64
	w := &watcher{}
	s := start(t, options{config: loop.Config{Loops: 1}, encoder: w})
	w.encoding = func() {
		if s.group.Armed(0) {
			armed.Add(1)
		}
	}
	s.group.StopTicks()
	c := s.dial()
	c.sse("a now")
	for i := range 200 {
		s.publish("a", "x")
		c.expect(fmt.Sprintf("m %d a x", i+1))
	}
	if n := armed.Load(); n > 60 {
		t.Errorf("%d of 200 times a publisher would not have woken the loop", n)
	}
}

// What is for nobody here must not end the looking.
func TestBacklogIsTakenToItsEnd(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	s.group.StopTicks()
	c := s.dial()
	c.sse("a now")
	held, goOn := make(chan struct{}), make(chan struct{})
	s.group.PostTo(0, func() { close(held); <-goOn })
	<-held
	for range 3000 {
		s.publish("nobody", "x")
	}
	s.publish("a", "x")
	close(goOn)
	c.expect("m 3001 a x")
}

func TestManyPublishersInsideAndOutside(t *testing.T) {
	const outside, inside, each = 6, 6, 500
	s := start(t, options{slots: 512})
	s.group.StopTicks()
	var g sync.WaitGroup
	for range 8 {
		c := s.dial()
		c.sse("a,b now")
		g.Go(func() {
			var last uint64
			c.SetReadDeadline(time.Now().Add(3 * patience))
			for n := range (outside + inside) * each {
				line, err := c.r.ReadString('\n')
				var sequence uint64
				if _, e := fmt.Sscanf(line, "m %d", &sequence); err != nil || e != nil || sequence != last+1 {
					t.Errorf("message %d: %q after %d, %v", n, line, last, err)
					c.Close()
					return
				}
				last = sequence
			}
		})
	}
	for k := range outside {
		g.Go(func() {
			for range each {
				for {
					if _, ok := s.journal.publish([]string{"a", "b"}[k%2], "x"); ok {
						break
					}
					runtime.Gosched() // the ring is full: a loop is behind
				}
			}
		})
	}
	for k := range inside {
		c := s.dial()
		ws := k%2 == 0
		if ws {
			c.ws("wsraw", "c now publish") // its own channel's messages would wake nobody else
			c.Close()
			c = s.dial()
		}
		g.Go(func() {
			c.SetDeadline(time.Now().Add(3 * patience))
			for done := 0; done < each; {
				if _, err := c.Conn.Write([]byte("pub b x\n")); err != nil {
					t.Error(err)
					return
				}
				line, err := c.r.ReadString('\n')
				if err != nil {
					t.Error(err)
					return
				}
				if strings.HasPrefix(line, "ok ") {
					done++
				}
			}
		})
	}
	g.Wait()
}

// After the loops have ended, their descriptors' numbers belong to others.
func TestWakeAfterTheEndWritesNowhere(t *testing.T) {
	s := prepare(t, options{})
	s.group.Start()
	s.group.Drain(testContext())
	var readers []*os.File
	for range 20 { // these take the numbers that are free
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		readers = append(readers, r)
	}
	s.group.Wake()
	s.group.Pause(true)
	s.group.Answer(loop.Ref{}, []byte("late"))
	s.group.PostTo(1, func() {})
	for i, r := range readers {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}, 0); err != nil || n != 0 {
			t.Errorf("pipe %d was written to", i)
		}
	}
}
