package liar

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// Oddity is what is unusual about an odd server. The zero value is a plain one.
type Oddity struct {
	Interim   bool   // 100 and 103 come before each final response (RFC 9110 §15.2)
	Chunked   bool   // bodies are chunked, a few bytes in each chunk, with extensions and trailers (RFC 9112 §7.1)
	Old       bool   // HTTP/1.0: bodies end with the connection (RFC 9112 §6.3)
	Close     int    // each such response on a connection is its last, and says so; 0: none (RFC 9112 §9.6)
	HangUp    int    // the same without notice: the connection ends between requests
	Timeout   bool   // with HangUp: 408 is sent first (RFC 9110 §15.5.9)
	Fragments bool   // WebSocket messages come in fragments, with pings between them (RFC 6455 §5.4)
	Lines     string // ends of an event stream's lines: "\n" (default), "\r", "\r\n"
	Mark      bool   // a byte order mark begins an event stream
	Tight     bool   // no space behind an event stream's colons
	Heads     bool   // heads have folded lines, tabs, empty fields and several of a name (RFC 9112 §5)
	Fields    bool   // events have comments, unknown fields, ids with NUL, a retry (HTML §9.2.6)
	Spaced    bool   // JSON has spaces, escapes and its names in another order
	Pieces    int    // bytes in one write, with TLS in one record; 0: all at once

	TLS *tls.Config // nil: none

	// Head, if set, changes the head of each response to a subscriber.
	Head func(head string) string
	// Lie, if set, decides what subscribers get.
	Lie Lie
	// Mute makes a server that reads requests of subscribers and says nothing.
	Mute bool

	// Garbage is sent to subscribers instead of the second message and all after it.
	Garbage string
	// BadAnswer is sent to publishers instead of a response to the second message.
	BadAnswer string
}

// Odd is one odd server of one channel: /ws, /sse and /poll; POST /publish, and
// WebSockets at /pub that publish.
type Odd struct {
	Addr string
	Oddity
	wait sync.WaitGroup

	lies sync.Mutex

	mu          sync.Mutex
	messages    []string
	changed     *sync.Cond
	conns       map[net.Conn]bool
	subscribers int
	ended       bool
}

// StartOdd starts one, which ends with the test.
func StartOdd(t testing.TB, o Oddity) *Odd {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.TLS != nil {
		l = tls.NewListener(l, o.TLS)
	}
	s := &Odd{Addr: l.Addr().String(), Oddity: o, conns: map[net.Conn]bool{}}
	s.changed = sync.NewCond(&s.mu)
	if s.Lines == "" {
		s.Lines = "\n"
	}
	if s.Head == nil {
		s.Head = func(head string) string { return head }
	}
	s.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			s.wait.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); s.Kill(); s.wait.Wait() })
	return s
}

// Kill ends all connections, and those to come.
func (s *Odd) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for c := range s.conns {
		_ = c.Close() // its goroutine ends
	}
	s.changed.Broadcast()
}

func (s *Odd) serve(conn net.Conn) {
	defer func() {
		s.linger(conn)
		_ = conn.Close() // the client may have been first
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	w, r := piecewise{conn, s.Pieces}, bufio.NewReader(conn)
	var polls *Subscriber
	for answered := 1; ; answered++ {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		if s.Interim {
			w.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		}
		last := s.Old || s.Close > 0 && answered%s.Close == 0
		path := q.URL.Path
		if path == "/" && q.Header.Get("Upgrade") != "" {
			path = "/ws"
		}
		if s.Mute && path != "/publish" {
			_, _ = io.Copy(io.Discard, r) // ends with the connection
			return
		}
		switch path {
		case "/pub":
			s.publisher(conn, r, q)
			return
		case "/publish":
			n := s.Add(string(body))
			if s.BadAnswer != "" && n > 1 {
				w.write(s.BadAnswer)
				return
			}
			w.write(s.answer(last, "", fmt.Sprintf(`{"cursor":"%d"}`, n)))
		case "/poll":
			if polls == nil {
				polls = s.subscriber()
			}
			if !s.poll(w, polls, last, q) {
				return
			}
		case "/sse":
			s.stream(w, q)
			return
		case "/ws":
			s.socket(w, r, q)
			return
		default:
			w.write(s.answer(last, "", "hello"))
		}
		if last {
			return
		}
		if s.HangUp > 0 && answered%s.HangUp == 0 {
			if s.Timeout {
				w.write("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			}
			return
		}
	}
}

// linger ends a connection in stages, so that what is unread of it does not reset it
// before the client has read the last response (RFC 9112 §9.6).
func (s *Odd) linger(conn net.Conn) {
	_ = conn.(interface{ CloseWrite() error }).CloseWrite() // the client may have been first
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))   // as above
	_, _ = io.Copy(io.Discard, conn)
}

// answer is a response of 200.
func (s *Odd) answer(last bool, header, body string) string {
	switch {
	case s.Old:
		return s.head("HTTP/1.0 200 OK\r\n"+header) + body
	case s.Chunked:
		header += "Transfer-Encoding: chunked\r\n"
		body = chunks(body) + "0\r\nTrailer: x\r\n\r\n"
	default:
		header += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if last {
		header += "Connection: close\r\n"
	}
	return s.head("HTTP/1.1 200 OK\r\n"+header) + body
}

// head ends a head.
func (s *Odd) head(lines string) string {
	if s.Heads {
		lines = strings.ReplaceAll(lines, ": ", ":\t ") + "X-Folded: a,\r\n\tb,\r\n  c\r\nX-Empty:\r\nX-Empty: \t\r\nconnection: x-odd\r\n"
	}
	return lines + "\r\n"
}

// chunks cuts text.
func chunks(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := min(7, len(text))
		fmt.Fprintf(&b, "%x;odd=yes\r\n%s\r\n", n, text[:n])
		text = text[n:]
	}
	return b.String()
}

// Add publishes a message, and returns how many there are.
func (s *Odd) Add(message string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, message)
	s.changed.Broadcast()
	return len(s.messages)
}

func (s *Odd) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.messages)
}

// after waits for message number at, counted from 0. ok is false when the server ends.
func (s *Odd) after(at int) (message string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.messages) <= at && !s.ended {
		s.changed.Wait()
	}
	if s.ended {
		return "", false
	}
	return s.messages[at], true
}

// subscriber numbers a connection.
func (s *Odd) subscriber() *Subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers++
	return &Subscriber{Number: s.subscribers - 1}
}

// publisher takes each message of a WebSocket as a publication.
func (s *Odd) publisher(conn net.Conn, r *bufio.Reader, q *http.Request) {
	socket, err := gws.NewUpgrader(publishing{s: s}, nil).UpgradeFromConn(conn, r, q)
	if err == nil {
		socket.ReadLoop()
	}
}

type publishing struct {
	gws.BuiltinEventHandler
	s *Odd
}

func (p publishing) OnMessage(_ *gws.Conn, m *gws.Message) {
	p.s.Add(m.Data.String())
	_ = m.Close() // it returns the buffer
}

func (s *Odd) poll(w piecewise, to *Subscriber, last bool, q *http.Request) bool {
	at, err := strconv.Atoi(q.FormValue("cursor"))
	if err != nil {
		at = s.count()
	}
	for ; len(to.queue) == 0; at++ {
		message, ok := s.after(at)
		if !ok {
			return false
		}
		s.lie(to, at, message)
	}
	return to.next(w, func(message string) string {
		cursor := strconv.Itoa(at)
		if q.FormValue("format") == "raw" {
			return s.Head(s.answer(last, "peal-CURSOR:"+cursor+"\r\n", message))
		}
		body := fmt.Sprintf(`{"cursor":"%s","messages":[%s]}`, cursor, s.object(at, message))
		if s.Spaced {
			body = fmt.Sprintf(" {\n\t\"messages\" : [ %s\r\n], \"cursor\":\"%s\"} ", s.object(at, message), cursor)
		}
		return s.Head(s.answer(last, "Content-Type: application/json\r\n", body))
	})
}

// object is the JSON of a message with the cursor behind it. It escapes only quotes, so
// that what is wrong in a message is wrong there.
func (s *Odd) object(at int, message string) string {
	message = strings.ReplaceAll(message, `"`, `\"`)
	if s.Spaced && len(message) > 0 {
		return fmt.Sprintf("{ \"data\":\n \"\\u%04x%s\" , \"time\":1.5e3,\"channel\" : \"c0\", \"cursor\" : \"%d\" }", message[0], message[1:], at)
	}
	return fmt.Sprintf(`{"channel":"c0","cursor":"%d","time":1,"data":"%s"}`, at, message)
}

// written is what a stream or a WebSocket sends for a message.
func (s *Odd) written(q *http.Request, at int, message string) string {
	if q.FormValue("format") == "json" {
		return s.object(at+1, message)
	}
	return message
}

func (s *Odd) stream(w piecewise, q *http.Request) {
	at, colon := s.count(), ": "
	if s.Tight {
		colon = ":"
	}
	wrap, head := func(text string) string { return text }, "HTTP/1.1 200 OK\r\n"
	if s.Old {
		head = "HTTP/1.0 200 OK\r\n"
	}
	if s.Chunked {
		wrap, head = chunks, head+"transfer-encoding:Chunked\r\n"
	}
	text := ":" + s.Lines + "retry" + colon + "1000" + s.Lines + s.Lines
	if s.Mark {
		text = "\xef\xbb\xbf" + text
	}
	w.write(s.Head(s.head(head+"Content-Type: text/event-stream\r\n")) + wrap(text))
	extra := ""
	if s.Fields {
		extra = strings.Join([]string{":", ": data: x", "unknown: x", "Data: x", "data-: x", "id: a\x00b", "retry: soon", "event", ""}, s.Lines)
	}
	s.follow(w, at, func(at int, message string) string {
		return wrap(extra + "event" + colon + "gone" + s.Lines + "id" + colon + strconv.Itoa(at+1) + s.Lines + "data" + colon + strings.ReplaceAll(s.written(q, at, message), "\n", s.Lines+"data"+colon) + s.Lines + s.Lines)
	})
}

func (s *Odd) socket(w piecewise, r io.Reader, q *http.Request) {
	s.wait.Go(func() { _, _ = io.Copy(io.Discard, r) }) // ends with the connection; pongs
	at := s.count()
	sum := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	w.write(s.Head(s.head("HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: upgrade\r\nsec-websocket-accept:" + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n")))
	s.follow(w, at, func(at int, message string) string {
		text := s.written(q, at, message)
		if third := len(text) / 3; s.Fragments {
			return Frame(0x01, "") + Frame(0x89, strings.Repeat("p", 125)) + Frame(0x00, text[:third]) + Frame(0x89, "") + Frame(0x00, text[third:2*third]) + Frame(0x00, "") + Frame(0x8A, "two") + Frame(0x80, text[2*third:])
		}
		return Frame(0x81, text)
	})
}

// Frame is a frame with its first byte.
func Frame(first byte, payload string) string {
	switch n := len(payload); {
	case n >= 1<<16:
		return string(binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(n))) + payload
	case n > 125:
		return string([]byte{first, 126, byte(n >> 8), byte(n)}) + payload
	default:
		return string([]byte{first, byte(n)}) + payload
	}
}

// piecewise writes a few bytes at a time.
type piecewise struct {
	net.Conn
	bytes int
}

func (w piecewise) write(text string) (ok bool) {
	n := w.bytes
	if n <= 0 {
		n = len(text)
	}
	for len(text) > 0 {
		n = min(n, len(text))
		if _, err := io.WriteString(w.Conn, text[:n]); err != nil {
			return false
		}
		text = text[n:]
	}
	return true
}
