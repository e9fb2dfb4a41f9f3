package loadtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveConns calls serve with each connection and its number until the test ends.
func serveConns(t *testing.T, serve func(conn *net.TCPConn, n int)) (listener net.Listener) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute)) // whatever happens, it ends
				serve(conn.(*net.TCPConn), n)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); wait.Wait() })
	return listener
}

// cutter answers publications, but for what a seed says: it cuts responses at any byte,
// stalls there first, refuses, resets connections and renews them.
type cutter struct {
	mu     sync.Mutex
	random *rand.Rand
	whole  int // 2xx responses that were sent to the end
	single bool
	early  int // requests that came before the last was answered
}

var cutterResponses = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nTrailer: y\r\n\r\n",
	"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow",
	"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
	"SSH-2.0 what\r\n\r\n",
}

func (c *cutter) serve(conn *net.TCPConn, n int) {
	for r := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.ReadAll(request.Body); err != nil {
			return
		}
		c.mu.Lock()
		if c.single && r.Buffered() > 0 {
			c.early++
		}
		response := cutterResponses[0]
		if c.random.IntN(3) == 0 {
			response = cutterResponses[c.random.IntN(len(cutterResponses))]
		}
		cut, resets := len(response), c.random.IntN(40) == 0
		if c.random.IntN(5) == 0 {
			cut = c.random.IntN(len(response))
		}
		stall := c.random.IntN(cut + 1)
		if c.random.IntN(10) > 0 {
			stall = 0
		}
		if final := response[max(strings.LastIndex(response, "HTTP/"), 0):]; cut == len(response) && !resets && final[9:11] == "20" {
			c.whole++
		}
		c.mu.Unlock()
		if resets {
			_ = conn.SetLinger(0)
			return
		}
		if stall > 0 {
			_, _ = io.WriteString(conn, response[:stall])
			time.Sleep(5 * time.Millisecond)
		}
		if _, err := io.WriteString(conn, response[stall:cut]); err != nil {
			return
		}
		if cut < len(response) || strings.Contains(response, "close") || strings.HasPrefix(response, "HTTP/1.0") || response[0] == 'S' {
			_ = conn.CloseWrite()
			_, _ = io.Copy(io.Discard, r) // so that what it did not read resets nothing
			return
		}
	}
}

// TestPublisherCountsAddUp publishes to a server that breaks off wherever it can: what
// was sent is accepted or refused, exactly as the server knows.
func TestPublisherCountsAddUp(t *testing.T) {
	pipelined(t, func(t *testing.T, pipeline int) {
		t.Parallel()
		seed := rand.Uint64()
		c := &cutter{random: rand.New(rand.NewPCG(seed, 0)), single: pipeline == 1}
		p := publisherTo(t, serveConns(t, c.serve).Addr().String(), 3, pipeline)
		for round := range 20 {
			c.mu.Lock()
			c.whole = 0
			c.mu.Unlock()
			const messages = 40
			for i := range messages {
				p.Queue(i%3, []byte("x"))
				if i%4 == 3 {
					p.Flush()
				}
			}
			o := p.Settle(20 * time.Second)
			spans := uint64(0)
			for _, stream := range o.Excused {
				for _, s := range stream {
					spans += s.Last - s.First + 1
				}
			}
			reasons := 0
			for _, e := range o.Refusals {
				reasons += e.Count
			}
			c.mu.Lock()
			if o.Accepted != uint64(c.whole) || o.Accepted+o.Refused != messages || o.Unanswered > o.Refused || spans != o.Refused || reasons != int(o.Refused) || (o.Reason == nil) != (o.Refused == 0) {
				t.Errorf("seed %d, round %d: of %d %+v, %d excused; the server accepted %d", seed, round, messages, o, spans, c.whole)
			}
			if c.early > 0 {
				t.Errorf("%d requests were pipelined", c.early)
			}
			c.mu.Unlock()
		}
	})
}

// TestPublisherGivesUpOnAConnectionThatSaysNothing: the others of its channel are sent
// over the next.
func TestPublisherGivesUpOnAConnectionThatSaysNothing(t *testing.T) {
	listener := serveConns(t, func(conn *net.TCPConn, n int) {
		if n == 0 {
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		accept(conn, n)
	})
	p, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: listener.Addr().String()}, Path: func(int) string { return "/" }, timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Publish(0, []byte("one")); err == nil || !strings.Contains(err.Error(), "no response within 1s") {
		t.Errorf("%v, want no response", err)
	}
	for i := 0; err != nil || i == 0; i++ { // a busy machine may take a second, too
		if _, err = p.Publish(0, []byte("two")); err != nil && i == 10 {
			t.Fatal(err)
		}
	}
}

// accept answers everything, and hangs up at a request with the header Last.
func accept(conn *net.TCPConn, _ int) {
	for r := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.ReadAll(request.Body)
		if request.Header.Get("Last") != "" {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
}

// TestPublisherRefusesWhatIsDueInItsPause takes the server away: nothing waits for the
// publisher's own delay. When the server is back, it publishes again.
func TestPublisherRefusesWhatIsDueInItsPause(t *testing.T) {
	listener := serveConns(t, accept)
	addr, header := listener.Addr().String(), ""
	p, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: addr}, Path: func(int) string { return "/" },
		Compose: func(dst []byte, _ int, payload []byte) []byte {
			return AppendRequest(dst, "POST", "/", addr, header, payload)
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Publish(0, []byte("one")); err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	header = "Last: yes\r\n"
	if _, err := p.Publish(0, []byte("two")); err == nil || !strings.Contains(err.Error(), "connection ended") {
		t.Errorf("%v, want the end of the connection", err)
	}
	header = ""
	c := p.targets[0].conns[0]
	paused := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.pausing != nil
	}
	for i := 0; ; i++ { // attempts fail at once, so it is nearly always in the pause
		if i == 10_000 {
			t.Fatal("no pause between attempts")
		}
		if paused() {
			p.Queue(0, []byte("three"))
			o := p.Settle(20 * time.Second)
			if o.Refused != 1 || o.Unanswered != 0 || !strings.Contains(fmt.Sprint(o.Reason), "no connection") {
				t.Errorf("%+v, want it refused", o)
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	again, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Skip("another has taken the port")
	}
	defer again.Close()
	served := make(chan struct{})
	go func() { // ends with the publisher's connection, or the listener
		defer close(served)
		if conn, err := again.Accept(); err == nil {
			accept(conn.(*net.TCPConn), 0)
			_ = conn.Close()
		}
	}()
	err = errors.New("none")
	for i := 0; err != nil && i < 10_000; i++ {
		if _, err = p.Publish(0, []byte("four")); err != nil {
			time.Sleep(time.Millisecond)
		}
	}
	if err != nil {
		t.Errorf("the server is back: %v", err)
	}
	_ = p.Close()
	_ = again.Close()
	<-served
}

// clientFrame reads one frame of a client.
func clientFrame(r *bufio.Reader) (opcode byte, payload string, err error) {
	head := make([]byte, 6) // of a short frame, with its mask
	if _, err = io.ReadFull(r, head); err != nil {
		return 0, "", err
	}
	b := make([]byte, head[1]&127)
	if _, err = io.ReadFull(r, b); err != nil {
		return 0, "", err
	}
	for i := range b {
		b[i] ^= head[2+i&3]
	}
	return head[0] & 15, string(b), nil
}

// TestWebSocketPublisherKeepsTheProtocol: header lines in the upgrade, a conversation
// before the first message, pings, fragments, a close frame, and then another connection.
func TestWebSocketPublisherKeepsTheProtocol(t *testing.T) {
	said := [2]chan string{make(chan string, 100), make(chan string, 100)} // on each connection
	listener := serveConns(t, func(conn *net.TCPConn, n int) {
		r := bufio.NewReader(conn)
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		said[min(n, 1)] <- fmt.Sprintf("%s %s %s", request.URL, request.Host, request.Header.Get("Cookie"))
		_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+leanAccept+"\r\n\r\n"+
			"\x01\x03wel\x89\x04what\x80\x04come")
		for {
			opcode, payload, err := clientFrame(r)
			if err != nil {
				return
			}
			said[min(n, 1)] <- fmt.Sprintf("%d %s", opcode, payload)
			switch {
			case payload == "hello":
				_, _ = io.WriteString(conn, "\x81\x02ok")
			case payload == "last" && n == 0:
				_, _ = io.WriteString(conn, "\x88\x06\x03\xe9away")
			}
		}
	})
	p, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: listener.Addr().String(), Host: "chat.example"}, WebSocket: true, Header: "Cookie: a=b\r\n",
		Path: func(int) string { return "/socket?x=1" },
		Converse: func(stream int) func([]byte) ([]byte, bool, error) {
			return func(message []byte) (frames []byte, ready bool, err error) {
				switch string(message) {
				case "":
					return nil, false, nil
				case "welcome":
					return appendMasked(nil, 1, []byte("hello")), false, nil
				case "ok":
					return nil, true, nil
				}
				return nil, false, fmt.Errorf("unexpected %q", message)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := func(conn int, all ...string) {
		t.Helper()
		for _, w := range all {
			select {
			case got := <-said[conn]:
				if got != w {
					t.Errorf("the server read %q, want %q", got, w)
				}
			case <-time.After(time.Minute):
				t.Fatalf("the server read nothing, want %q", w)
			}
		}
	}
	opening := []string{"/socket?x=1 chat.example a=b", "10 what", "1 hello"}
	want(0, opening...)
	for _, text := range []string{"first", "last"} {
		p.Queue(0, []byte(text))
	}
	if o := p.Settle(20 * time.Second); o.Accepted != 2 || o.Refused != 0 {
		t.Errorf("%+v, want two accepted", o)
	}
	want(0, "1 first", "1 last", "8 \x03\xe9away")
	want(1, opening...)
	p.Queue(0, []byte("more"))
	if o := p.Settle(20 * time.Second); o.Accepted != 1 {
		t.Errorf("%+v, want it accepted", o)
	}
	want(1, "1 more")
}
