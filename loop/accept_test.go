package loop_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// dialMany opens n connections from several goroutines at once.
func (s *server) dialMany(n int) []net.Conn {
	s.t.Helper()
	all := make([]net.Conn, n)
	var g sync.WaitGroup
	const dialers = 16
	for d := range dialers {
		g.Go(func() {
			for i := d; i < n; i += dialers {
				c, err := s.connect(0)
				if err != nil {
					s.t.Errorf("connection %d: %v", i, err)
					return
				}
				all[i] = c
			}
		})
	}
	g.Wait()
	s.t.Cleanup(func() {
		for _, c := range all {
			if c != nil {
				c.Close()
			}
		}
	})
	if s.t.Failed() {
		s.t.FailNow()
	}
	return all
}

func TestBurstIsSpreadEvenly(t *testing.T) {
	const n = 3000
	s := start(t, options{})
	s.dialMany(n)
	s.awaitConnections(n)
	all := s.stats()
	if a, b := all[0].Connections, all[1].Connections; max(a, b)-min(a, b) > n/100 {
		t.Errorf("loops have %d and %d of %d connections", a, b, n)
	}
}

func TestConnectionLimitRefusesAndRecovers(t *testing.T) {
	onlyPlain(t)
	s := start(t, options{config: loop.Config{MaxConnections: 10}})
	var open []*client
	for range 10 {
		c := s.dial()
		c.send("echo in\n")
		c.expect("in")
		open = append(open, c)
	}
	for range 3 {
		c := s.dial()
		c.send("echo out\n")
		c.expect("refused: connections")
		c.expectEnd()
		c.Close()
	}
	if n := s.stats()[0].Refused; n != 3 {
		t.Errorf("refused %d, want 3", n)
	}
	open[3].Close()
	open[7].Close()
	s.awaitConnections(8)
	for range 2 {
		c := s.dial()
		c.send("echo again\n")
		c.expect("again")
	}
}

// What is reserved counts as connections, and there is room for it only beside those that are open.
func TestReservedDescriptorsCount(t *testing.T) {
	onlyPlain(t)
	s := start(t, options{config: loop.Config{MaxConnections: 3}})
	first := s.dial()
	first.echo()
	if !s.group.Reserve() || s.group.Reserve() {
		t.Fatal("beside one connection of three, there is not room for one more with its connection")
	}
	s.dial().echo()
	c := s.dial()
	c.send("echo out\n")
	c.expect("refused: connections")
	c.expectEnd()
	s.group.Release()
	s.dial().echo()
	if s.group.Reserve() {
		t.Error("reserved beside three connections")
	}
	first.Close()
	s.awaitConnections(2)
	if s.group.Reserve() {
		t.Error("reserved without room for its connection")
	}
	if !t.Failed() {
		s.group.LimitAdmission(loop.Config{MaxConnections: 4})
		if !s.group.Reserve() {
			t.Error("not reserved with room for both")
		}
		s.group.Release()
	}
}

// exhaustedServer is the server of TestDescriptorExhaustion, in a process with
// few descriptors. It prints its address, then its Stats whenever it is asked.
func exhaustedServer() int {
	fd, addr, err := loop.Listen("127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	w := &world{journal: newJournal(64, 0)}
	g, err := loop.New(loop.Config{Loops: 2, MaxConnections: 100_000, Log: slog.New(slog.DiscardHandler)}, w.journal.ring, nil)
	if err == nil {
		err = g.Serve(loop.Parts{
			Listeners: []int{fd}, Front: func(i int) loop.Front { return front{w, i} }, Encoder: encoder{}, Source: w.journal,
		})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	w.journal.wake = g.Wake
	limit := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Println(err)
		return 1
	}
	limit.Cur = uint64(openDescriptors() + exhaustedRoom)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Println(err)
		return 1
	}
	failed := g.Start()
	fmt.Println(addr)
	asked := make(chan struct{})
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			asked <- struct{}{}
		}
		close(asked)
	}()
	for {
		select {
		case err := <-failed:
			fmt.Println(err)
			return 1
		case _, more := <-asked:
			if !more {
				return 0
			}
			all, err := g.Stats(testContext())
			if err != nil {
				fmt.Println(err)
				return 1
			}
			fmt.Println(all[0].Connections+all[1].Connections, all[0].Refused)
		}
	}
}

// exhaustedRoom is how many connections have descriptors in that process.
const exhaustedRoom = 50

func TestDescriptorExhaustion(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	says := bufio.NewReader(out)
	address, err := says.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	numbers := func() (open, refused int) {
		t.Helper()
		fmt.Fprintln(in, "?")
		line, err := says.ReadString('\n')
		if err != nil {
			t.Fatalf("server: %q, %v", line, err)
		}
		if _, err := fmt.Sscan(line, &open, &refused); err != nil {
			t.Fatalf("server: %q", line)
		}
		return open, refused
	}

	// Connections beyond the descriptors are refused, those within it served.
	served, refused := []net.Conn{}, 0
	for i := range 2 * exhaustedRoom {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		switch answer, err := ask(c, "echo "+strconv.Itoa(i)+"\n"); {
		case err == nil && answer == strconv.Itoa(i)+"\n":
			served = append(served, c)
		case strings.HasPrefix(answer, "HTTP/1.1 503 "), errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
			refused++
		default:
			t.Fatalf("connection %d: %q, %v", i, answer, err)
		}
	}
	if n := len(served); n > exhaustedRoom+5 || n < exhaustedRoom-5 { // the runtime may open or close one
		t.Errorf("%d connections were served with %d descriptors", n, exhaustedRoom)
	}
	open, counted := numbers()
	if open != len(served) || counted != refused {
		t.Errorf("server counts %d open and %d refused, clients %d and %d", open, counted, len(served), refused)
	}

	// Those that were served go on, and freed descriptors are used again.
	for i, c := range served {
		if answer, err := ask(c, "echo still\n"); err != nil || answer != "still\n" {
			t.Fatalf("connection %d: %q, %v", i, answer, err)
		}
	}
	for _, c := range served[:20] {
		c.Close()
	}
	if !eventually(patience, func() bool { open, _ := numbers(); return open == len(served)-20 }) {
		t.Fatal("closed connections were not noticed")
	}
	for i := range 20 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if answer, err := ask(c, "echo back\n"); err != nil || answer != "back\n" {
			t.Fatalf("connection %d after descriptors were free: %q, %v", i, answer, err)
		}
	}
}

// ask sends a request and reads one line of the answer.
func ask(c net.Conn, request string) (string, error) {
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestResetsBeforeAccept(t *testing.T) {
	onlyPlain(t)
	s := start(t, options{})
	s.group.Pause(true)
	s.stats() // behind it in the same queue: accepting is paused now
	for range 200 {
		s.dial().reset()
	}
	s.group.Pause(false)
	c := s.dial()
	c.send("echo fine\n")
	c.expect("fine")
	c.Close()
	s.awaitEmpty()
}

func TestPauseLeavesConnectionsWaiting(t *testing.T) {
	onlyPlain(t)
	s := start(t, options{})
	before := s.dial()
	before.send("echo 1\n")
	before.expect("1")
	s.group.Pause(true)
	s.stats()
	var waiting []*client
	for range 100 { // more than one batch
		c := s.dial()
		c.send("echo 2\n")
		waiting = append(waiting, c)
	}
	before.send("echo 3\n")
	before.expect("3")
	if n := s.sum(connections); n != 1 {
		t.Errorf("%d connections while accepting was paused, want 1", n)
	}
	s.group.Pause(false)
	for _, c := range waiting {
		c.expect("2")
	}
}

// A burst must not keep those who are connected from being read.
func TestAcceptingLeavesTimeForReading(t *testing.T) {
	onlyPlain(t)
	const n = 2000
	loads := make(chan int, 1)
	s := prepare(t, options{config: loop.Config{Loops: 1}})
	s.echoed = func(string) { loads <- s.group.Load() }
	s.failed = s.group.Start()
	t.Cleanup(func() { s.group.Drain(testContext()) })
	c := s.dial()
	c.send("echo 1\n")
	c.expect("1")
	<-loads
	s.group.Pause(true)
	s.stats()
	s.dialMany(n)
	held, goOn := make(chan struct{}), make(chan struct{})
	s.group.PostTo(0, func() { close(held); <-goOn })
	<-held
	s.group.Pause(false)
	c.send("echo 2\n") // both are there when the loop looks again
	close(goOn)
	c.expect("2")
	if load := <-loads; load > n/2 {
		t.Errorf("a request was answered only after %d of %d waiting connections had been accepted", load-1, n)
	}
	s.awaitConnections(n + 1)
}

func TestThousandResetsAtOnce(t *testing.T) {
	s := start(t, options{})
	all := make([]*client, 1000)
	for i := range all {
		all[i] = s.dial()
		all[i].send("sse a,b now\n")
	}
	for _, c := range all {
		c.expect("stream", "open 0")
	}
	stay := s.dial()
	stay.sse("a now")
	var g sync.WaitGroup
	for part := range 4 {
		g.Go(func() {
			for i := part; i < len(all); i += 4 {
				all[i].reset()
			}
		})
	}
	for range 50 {
		s.publish("a", "to whom it may concern")
	}
	g.Wait()
	s.awaitConnections(1)
	for i := range 50 {
		stay.expect(fmt.Sprintf("m %d a to whom it may concern", i+1))
	}
	stay.reset()
	s.awaitEmpty()
}

func TestLoopThatEndsUnaskedIsReported(t *testing.T) {
	s := prepare(t, options{})
	failed := s.group.Start()
	s.group.EndUnasked(1)
	select {
	case err := <-failed:
		if !errors.Is(err, loop.ErrLoopEnded) {
			t.Errorf("error %v, want ErrLoopEnded", err)
		}
	case <-time.After(patience):
		t.Error("a loop ended and nobody was told")
	}
	s.group.Drain(shortContext(50 * time.Millisecond)) // one loop is gone: nothing answers for it
}
