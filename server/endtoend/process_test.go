package endtoend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestSIGTERMInTheMiddleOfAFanOut: the server says good-bye in the word of each
// transport, and nobody has a hole in what they received.
func TestSIGTERMInTheMiddleOfAFanOut(t *testing.T) {
	p := launch(t, "--listen", "127.0.0.1:0", "--loops", "2")
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := newCrowd(ctx, p)
	var list []*listener
	for n := range 250 {
		list = append(list, &listener{kind: kind(n % int(kinds)), channels: []string{"busy"}, from: "cursor=earliest"})
	}
	c.openAll(list)
	for n := range 50 {
		l := &listener{kind: polling, channels: []string{"quiet"}, from: fmt.Sprintf("n=%d", n)}
		list = append(list, l)
		if err := c.open(l); err != nil {
			t.Fatal(err)
		}
	}
	p.awaitSubscribers("quiet", 50)
	// Some are stalled when the signal comes: they are owed no less.
	gate := make(chan struct{})
	read := sync.OnceFunc(func() { close(gate) })
	defer read() // or a failed test would wait for them
	for n := range 20 {
		l := &listener{kind: kind(n % int(polling)), channels: []string{"busy"}, from: "cursor=earliest", gate: gate}
		list = append(list, l)
		if err := c.open(l); err != nil {
			t.Fatal(err)
		}
	}

	// Several publish as fast as they are answered, until nobody answers, or what the
	// stalled ones have missed would leave the history.
	const most = 700
	var acked atomic.Int64
	enough := make(chan struct{})
	var publishers sync.WaitGroup
	for n := range 4 {
		publishers.Go(func() {
			for i := 0; ctx.Err() == nil && acked.Load() < most; i++ {
				a, err := p.try("POST", "/publish?channel=busy", fmt.Sprintf("%d-%06d", n, i)+strings.Repeat(".", 1000), "Content-Type: text/plain")
				if err != nil || a.status == 503 {
					return
				}
				if a.status != 200 {
					t.Errorf("publish: %d %s", a.status, a.body)
					return
				}
				if acked.Add(1) == 150 {
					close(enough)
				}
			}
		})
	}
	<-enough
	before := int(acked.Load())
	p.signal(syscall.SIGTERM)
	publishers.Wait()
	for _, l := range list {
		if l.gate == nil {
			<-l.ended
		}
	}
	read()
	for _, l := range list {
		<-l.ended
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	longest := list[0]
	for _, l := range list {
		if len(l.got) > len(longest.got) {
			longest = l
		}
	}
	once := map[string]bool{}
	for _, id := range longest.got {
		if once[id] {
			t.Errorf("%s received %q twice", longest, id)
		}
		once[id] = true
	}
	fewest := len(longest.got)
	for _, l := range list {
		fewest = min(fewest, len(l.got))
		if n := len(l.got); !slices.Equal(l.got, longest.got[:n]) {
			t.Errorf("%s has no prefix of the one order: %s", l, difference(l.got, longest.got))
		}
		switch l.kind {
		case socketRaw, socketJSON:
			if l.code != 1001 {
				t.Errorf("%s was closed with %d (%v), want 1001", l, l.code, l.err)
			}
		case stream:
			if !errors.Is(l.err, io.EOF) {
				t.Errorf("%s ended with %v, want the end of the stream", l, l.err)
			}
		case polling:
			// Its last poll was answered; the one after it finds no server.
			if l.err == nil || errors.Is(l.err, context.DeadlineExceeded) {
				t.Errorf("%s ended with %v", l, l.err)
			}
		}
		// What was answered before the signal is owed to all who listened.
		if l.kind != polling && len(l.got) < before {
			t.Errorf("%s received %d messages, %d were accepted before the signal", l, len(l.got), before)
		}
	}
	t.Logf("%d accepted before the signal, %d in all; received %d to %d", before, acked.Load(), fewest, len(longest.got))
}

// TestParkedPollsAreAnsweredAtTheEnd: a client that waits hears from the
// server, not from its socket.
func TestParkedPollsAreAnsweredAtTheEnd(t *testing.T) {
	p := launch(t, "--listen", "127.0.0.1:0")
	cursor := p.publish("elsewhere", "x")
	json := p.dial().send(get("/poll?channel=a"))
	raw := p.dial().send(get("/poll?channel=a&format=raw"))
	pipelined := p.dial().send(get("/poll?channel=a") + get("/channels"))
	p.awaitSubscribers("a", 3)
	p.signal(syscall.SIGINT) // as Ctrl-C does; the same drain
	if got := decode[polled](t, json.want("GET", 200).body); got.Cursor != cursor || len(got.Messages) > 0 {
		t.Errorf("poll is answered %+v, want cursor %s", got, cursor)
	} else if got.RetryMS < 2000 || got.RetryMS > 5000 {
		t.Errorf("the client is to poll again after %d ms, want 2 to 5 s", got.RetryMS)
	}
	json.ended("poll")
	if got := raw.want("GET", 204); got.header.Get("Peal-Cursor") != cursor || !strings.Contains("2 3 4 5", got.header.Get("Retry-After")) || got.header.Get("Retry-After") == "" {
		t.Errorf("raw poll is answered %v", got.header)
	}
	raw.ended("raw poll")
	pipelined.want("GET", 200)
	for _, w := range []*wire{json, raw, pipelined} {
		w.conn.Close() // or the server waits for us to hang up
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestAfterACrashOldCursorsAreAGap(t *testing.T) {
	p := launch(t, "--listen", "127.0.0.1:0")
	var old string
	for i := range 10 {
		old = p.publish("a", fmt.Sprint("old ", i))
	}
	s := p.events("channel=a").opened()
	w := p.dialSocket("/ws?channel=a", nil)
	p.signal(syscall.SIGKILL)
	if code := p.exitCode(); code == 0 {
		t.Error("exit code 0 after SIGKILL")
	}
	if _, err := s.tryNext(); err == nil {
		t.Error("the stream goes on")
	}
	if code := w.closed(); code != 0 {
		t.Errorf("the WebSocket was closed with %d, by nobody", code)
	}
	p.client.CloseIdleConnections()

	p = launch(t, "--listen", p.addr) // the same port, at once
	for i := range 20 {               // more than before: the old sequence is in use again
		p.publish("a", fmt.Sprint("new ", i))
	}
	query := "channel=a&cursor=" + old
	if a := p.poll(query); len(a.Gap) != 1 || len(a.Messages) != 20 || a.texts()[0] != "new 0" {
		t.Errorf("poll: gap %+v, messages %q", a.Gap, a.texts())
	}
	if a := p.do("GET", "/poll?format=raw&"+query, ""); a.header.Get("Peal-Gap") == "" || string(a.body) != "new 0" {
		t.Errorf("raw poll: %v %q", a.header, a.body)
	}
	again := p.events("channel=a", "Last-Event-ID: "+s.lastID)
	if e := again.next(); e.name != "gap" {
		t.Errorf("SSE begins with %+v, want the event gap", e)
	}
	if e := again.next(); e.data != "new 0" {
		t.Errorf("SSE goes on with %+v", e)
	}
	socket := p.dialSocket("/ws?format=json&"+query, nil)
	if said := decode[struct{ Gap []gap }](t, []byte(socket.next().data)); len(said.Gap) != 1 {
		t.Errorf("JSON WebSocket begins with %+v", said)
	}
	if code := p.dialSocket("/ws?"+query, nil).closed(); code != 4409 {
		t.Errorf("raw WebSocket is closed with %d, want 4409", code)
	}
}

func TestASecondSignalDoesNotWaitForTheDrain(t *testing.T) {
	p := launch(t, "--listen", "127.0.0.1:0", "--drain", "5m")
	// A client that takes nothing holds the drain up.
	gate := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := newCrowd(ctx, p)
	defer close(gate)
	if err := c.open(&listener{kind: stream, channels: []string{"a"}, gate: gate}); err != nil {
		t.Fatal(err)
	}
	w := p.dialSocket("/ws?channel=a", nil)
	data := make([]byte, 32<<10)
	for range 24 { // less than the 1 MiB of history, more than the kernel takes for it
		w.send(true, string(data))
		w.next()
	}
	p.signal(syscall.SIGTERM)
	if code := w.closed(); code != 1001 {
		t.Errorf("closed with %d, want 1001", code)
	}
	if !strings.Contains(w.err.Error(), "draining: the server is going away; retry in ") {
		t.Errorf("the reason does not say when to come back: %v", w.err)
	}
	p.signal(syscall.SIGTERM)
	p.exitCode()
	if err := p.process.Exit(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the process ended with %v, want SIGTERM", err)
	}
}

// With drain-delay the server reports that it is not ready, and serves as before.
func TestReadinessEndsBeforeTheDrain(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	p := launch(t, "--listen", "127.0.0.1:0", "--admin", "unix:"+socket, "--drain-delay", "5m")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	ready := func() int {
		answer, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://localhost/readyz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if got := ready(); got != 200 {
		t.Errorf("before the signal: %d", got)
	}
	w := p.dialSocket("/ws?channel=a", nil)
	p.signal(syscall.SIGTERM)
	for end := time.Now().Add(patience); ready() != 503; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it stays ready")
		}
	}
	p.client.CloseIdleConnections()
	p.publish("a", "x") // on a new connection
	if got := w.next(); got.data != "x" {
		t.Errorf("received %q", got.data)
	}
	p.signal(syscall.SIGTERM)
	p.exitCode()
	if err := p.process.Exit(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the process ended with %v, want SIGTERM", err)
	}
}
