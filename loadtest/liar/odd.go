package liar

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
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
	Pieces    int    // bytes in one write, with TLS in one record; 0: all at once

	TLS *tls.Config // nil: none

	// Garbage is sent to subscribers instead of the second message and all after it.
	Garbage string
	// BadAnswer is sent to publishers instead of a response to the second message.
	BadAnswer string
}

// Odd is one odd server: /ws, /sse, /poll and POST /publish, of one channel.
type Odd struct {
	Addr string
	Oddity
	wait sync.WaitGroup

	mu       sync.Mutex
	messages []string
	changed  *sync.Cond
	conns    map[net.Conn]bool
	ended    bool
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
		switch q.URL.Path {
		case "/publish":
			n := s.add(string(body))
			if s.BadAnswer != "" && n > 1 {
				w.write(s.BadAnswer)
				return
			}
			s.answer(w, last, "", fmt.Sprintf(`{"cursor":"%d"}`, n))
		case "/poll":
			if !s.poll(w, last, q) {
				return
			}
		case "/sse":
			s.stream(w)
			return
		case "/ws":
			s.socket(w, r, q)
			return
		default:
			s.answer(w, last, "", "hello")
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

// answer writes a response of 200.
func (s *Odd) answer(w piecewise, last bool, header, body string) {
	switch {
	case s.Old:
		w.write("HTTP/1.0 200 OK\r\n" + header + "\r\n" + body)
		return
	case s.Chunked:
		header += "Transfer-Encoding: chunked\r\n"
		body = chunks(body) + "0\r\nTrailer: x\r\n\r\n"
	default:
		header += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if last {
		header += "Connection: close\r\n"
	}
	w.write("HTTP/1.1 200 OK\r\n" + header + "\r\n" + body)
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

func (s *Odd) add(message string) int {
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

// garbled reports whether message number at is garbage.
func (s *Odd) garbled(at int) bool { return s.Garbage != "" && at > 0 }

func (s *Odd) poll(w piecewise, last bool, q *http.Request) bool {
	at, err := strconv.Atoi(q.FormValue("cursor"))
	if err != nil {
		at = s.count()
	}
	message, ok := s.after(at)
	if !ok {
		return false
	}
	if s.garbled(at) {
		w.write(s.Garbage)
		return true
	}
	cursor := strconv.Itoa(at + 1)
	if q.FormValue("format") == "raw" {
		s.answer(w, last, "peal-CURSOR:"+cursor+"\r\n", message)
		return true
	}
	data, _ := json.Marshal(message) // a string
	s.answer(w, last, "", fmt.Sprintf(`{"cursor":"%s","messages":[{"channel":"c0","cursor":"%s","data":%s}]}`, cursor, cursor, data))
	return true
}

func (s *Odd) stream(w piecewise) {
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
	w.write(head + "Content-Type: text/event-stream\r\n\r\n" + wrap(text))
	for ; ; at++ {
		message, ok := s.after(at)
		if !ok {
			return
		}
		event := "event" + colon + "gone" + s.Lines + "id" + colon + strconv.Itoa(at+1) + s.Lines + "data" + colon + message + s.Lines + s.Lines
		if s.garbled(at) {
			event = s.Garbage
			w.write(event)
			continue
		}
		if !w.write(wrap(event)) {
			return
		}
	}
}

func (s *Odd) socket(w piecewise, r io.Reader, q *http.Request) {
	s.wait.Go(func() { _, _ = io.Copy(io.Discard, r) }) // ends with the connection; pongs
	at := s.count()
	sum := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	w.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: upgrade\r\nsec-websocket-accept:" + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
	for ; ; at++ {
		message, ok := s.after(at)
		if !ok {
			return
		}
		text := part(0x81, message)
		if s.Fragments {
			third := len(message) / 3
			text = part(0x01, message[:third]) + part(0x89, "one") + part(0x00, message[third:2*third]) + part(0x00, "") + part(0x8A, "two") + part(0x80, message[2*third:])
		}
		if s.garbled(at) {
			text = s.Garbage
		}
		if !w.write(text) {
			return
		}
	}
}

// part is a frame of less than 64 KiB.
func part(first byte, payload string) string {
	if n := len(payload); n > 125 {
		return string([]byte{first, 126, byte(n >> 8), byte(n)}) + payload
	}
	return string([]byte{first, byte(len(payload))}) + payload
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
