package loop_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop"
)

// seedEnv repeats a schedule that failed.
const seedEnv = "PEAL_LOOP_SEED"

// TestMixedConnections: 2,000 connections, event streams, WebSockets and polls
// on two loops. All get every message of their channels once and in order, also
// those who stall, and those who leave and resume elsewhere.
func TestMixedConnections(t *testing.T) {
	seed := rand.Uint64()
	if v := os.Getenv(seedEnv); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64) // a wrong one is seed 0: it is printed
	}
	t.Logf("%s=%d", seedEnv, seed)
	const (
		subscribers = 2000
		publishers  = 4
		messages    = 30 // of each publisher
	)
	// On a starved machine this takes minutes, which no client's patience and none of the server's
	// may end: it is not about them.
	s := start(t, options{sendBuffer: 16 << 10, slots: 64, config: loop.Config{Heartbeat: time.Hour, HeadTimeout: time.Hour, IdleTimeout: time.Hour}})
	var g sync.WaitGroup
	var subscribed sync.WaitGroup
	var delivered, stalls, resumed atomic.Int64
	over := make(chan struct{}) // everything was published
	var all []*subscriber
	for i := range subscribers {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		b := &subscriber{
			server: s, random: random, kind: []string{"sse", "wsjson", "poll"}[i%3],
			channels:  [][]string{{"a"}, {"b"}, {"a", "b"}, {"b", "c"}, {"a", "b", "c"}}[random.IntN(5)],
			delivered: &delivered, stalls: &stalls, resumed: &resumed, over: over,
		}
		switch random.IntN(5) {
		case 0:
			b.stallEvery = 20 + random.IntN(40)
		case 1:
			b.leaveEvery = 10 + random.IntN(60)
		}
		b.late = random.IntN(4) == 0
		if !b.late {
			subscribed.Add(1)
		}
		all = append(all, b)
	}
	for i, b := range all {
		g.Go(func() {
			if b.late { // while the publishers are at work
				subscribed.Wait()
				time.Sleep(time.Duration(b.random.IntN(400)) * time.Millisecond) // its own moment
			}
			err := b.run(func() {
				if !b.late {
					subscribed.Done()
				}
			})
			if err != nil {
				t.Errorf("subscriber %d (%s of %v, stalls every %d, leaves every %d): %v", i, b.kind, b.channels, b.stallEvery, b.leaveEvery, err)
			}
		})
	}
	done := make(chan struct{})
	go func() { // ends when all subscribers have subscribed or failed: run calls back in either case
		subscribed.Wait()
		close(done)
	}()
	<-done
	var p sync.WaitGroup
	for k := range publishers {
		random := rand.New(rand.NewPCG(seed, uint64(1<<32+k)))
		p.Go(func() {
			for range messages {
				data := strings.Repeat("d", random.IntN(1500))
				if random.IntN(10) == 0 {
					data = strings.Repeat("D", 20_000)
				}
				channel := []string{"a", "b", "c"}[random.IntN(3)]
				for {
					if _, ok := s.journal.publish(channel, data); ok {
						break
					}
					time.Sleep(100 * time.Microsecond) // 429: come back later
				}
				if random.IntN(4) == 0 { // bursts, and pauses between them
					time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
				}
			}
		})
	}
	p.Wait()
	for _, c := range []string{"a", "b", "c"} {
		s.publish(c, "END")
	}
	close(over)
	g.Wait()
	t.Logf("%d deliveries, %d stalls, %d resumed", delivered.Load(), stalls.Load(), resumed.Load())
	if stalls.Load() == 0 || resumed.Load() == 0 {
		t.Error("nobody stalled or nobody resumed: this test tests less than it says")
	}
	if !t.Failed() {
		s.awaitEmpty()
	}
}

// subscriber receives until it has the END of each of its channels, and checks
// all of it against the journal.
type subscriber struct {
	server     *server
	random     *rand.Rand
	kind       string
	channels   []string
	late       bool
	stallEvery int // messages; 0 for never
	leaveEvery int

	delivered, stalls, resumed *atomic.Int64
	over                       chan struct{}

	conn     net.Conn
	r        *bufio.Reader
	position uint64 // everything up to here was received
	begin    uint64 // where it started
	got      []string
	ends     int
	opened   func()
}

func (b *subscriber) run(opened func()) error {
	var once sync.Once
	b.opened = func() { once.Do(opened) }
	defer b.opened()
	from := "now"
	if b.late || b.kind == "poll" {
		from = "0" // everything, for who may come after the last, or could not know its first cursor
	}
	for b.ends < len(b.channels) {
		if err := b.connect(); err != nil {
			return err
		}
		var err error
		if b.kind == "poll" {
			err = b.poll(from)
		} else {
			err = b.stream(from)
		}
		if b.random.IntN(2) == 0 {
			tcp(b.conn).SetLinger(0)
		}
		b.conn.Close()
		if err != nil {
			return err
		}
		from = fmt.Sprint(b.position)
	}
	return b.check()
}

func (b *subscriber) connect() (err error) {
	buffer := 0
	if b.stallEvery > 0 {
		buffer = 4 << 10
	}
	for {
		if b.conn, err = b.server.connect(buffer); err == nil {
			break
		}
		if !isTimeout(err) {
			return err
		}
	}
	b.conn.SetDeadline(time.Time{}) // a hang ends with the whole test, and shows where
	b.r = bufio.NewReaderSize(b.conn, 4<<10)
	return nil
}

// take notes one message line, and reports whether to go on with this connection.
func (b *subscriber) take(line string) (more bool, err error) {
	var sequence uint64
	if _, err := fmt.Sscanf(line, "m %d", &sequence); err != nil {
		return false, fmt.Errorf("%.60q: %w", line, err)
	}
	if sequence <= b.position {
		return false, fmt.Errorf("message %d after %d", sequence, b.position)
	}
	b.position = sequence
	b.got = append(b.got, fmt.Sprintf("%d/%d", sequence, len(line)))
	b.delivered.Add(1)
	if strings.HasSuffix(line, " END\n") {
		b.ends++
	}
	if b.stallEvery > 0 && len(b.got)%b.stallEvery == 0 {
		b.stalls.Add(1)
		select { // until long after its socket is full
		case <-b.over:
		case <-time.After(time.Duration(50+b.random.IntN(300)) * time.Millisecond):
		}
	}
	if b.leaveEvery > 0 && len(b.got)%b.leaveEvery == 0 {
		b.resumed.Add(1)
		return false, nil
	}
	return b.ends < len(b.channels), nil
}

func (b *subscriber) stream(from string) error {
	fmt.Fprintf(b.conn, "%s %s %s\n", b.kind, strings.Join(b.channels, ","), from)
	if line, err := b.r.ReadString('\n'); err != nil || line != "stream\n" {
		return fmt.Errorf("head %q: %w", line, err)
	}
	for {
		line, err := b.next()
		if err != nil {
			return err
		}
		var sequence uint64
		if _, err := fmt.Sscanf(line, "open %d", &sequence); err == nil {
			if from == "now" {
				b.begin, b.position = sequence, sequence
			}
			b.opened()
			continue
		}
		if more, err := b.take(line); err != nil || !more {
			return err
		}
	}
}

// next is the next line, out of a frame if need be.
func (b *subscriber) next() (string, error) {
	if b.kind == "sse" {
		return b.r.ReadString('\n')
	}
	for {
		op, payload, err := readFrame(b.r)
		if err != nil {
			return "", err
		}
		if op == opText {
			return payload, nil
		}
		if op != opPing {
			return "", fmt.Errorf("frame %d %q", op, payload)
		}
		if _, err := b.conn.Write(masked(0x80|opPong, payload)); err != nil {
			return "", err
		}
	}
}

func (b *subscriber) poll(from string) error {
	for cursor := from; ; {
		if _, err := fmt.Fprintf(b.conn, "poll %s %s 3600\n", strings.Join(b.channels, ","), cursor); err != nil {
			return err
		}
		b.opened()
		line, err := b.r.ReadString('\n')
		var sequence uint64
		var gaps, n int
		if _, e := fmt.Sscanf(line, "poll %d %d %d", &sequence, &gaps, &n); err != nil || e != nil || gaps != 0 {
			return fmt.Errorf("answer %q: %w", line, err)
		}
		more := true
		for range n {
			if line, err = b.r.ReadString('\n'); err != nil {
				return err
			}
			ok, err := b.take(line)
			if err != nil {
				return err
			}
			more = more && ok
		}
		if sequence < b.position {
			return fmt.Errorf("answer covers %d and has message %d", sequence, b.position)
		}
		b.position = sequence
		if !more {
			return nil
		}
		cursor = fmt.Sprint(sequence)
	}
}

// check compares what was received with what was published.
func (b *subscriber) check() error {
	want := map[string]bool{}
	for _, m := range b.server.journal.after(b.begin, b.channels...) {
		want[fmt.Sprintf("%d/%d", m.Sequence, len(appendLine(nil, m)))] = true
	}
	for _, m := range b.got { // sequences rise, so none is here twice
		if !want[m] {
			return fmt.Errorf("message %s is not one of its own", m)
		}
	}
	if len(b.got) != len(want) {
		return fmt.Errorf("%d of %d messages", len(b.got), len(want))
	}
	return nil
}
