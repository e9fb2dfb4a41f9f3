package loadtest

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/loadtest/liar"
)

// openFleet opens subscribers in this process, which are closed at the test's end.
func openFleet(t *testing.T, spec Spec) (*fleet, Opened) {
	t.Helper()
	f, err := newFleet(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.kind.close)
	return f, f.kind.open(t.Context())
}

// waitFor waits until what was received is as it should be.
func waitFor(t *testing.T, f *fleet, as func(Received) bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		r := f.sink.sample()
		if as(r) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", r)
		}
	}
}

// socketServer accepts one connection, in TLS with a config, makes a WebSocket of it,
// with extensions, and does as say says; raw is below TLS.
func socketServer(t *testing.T, config *tls.Config, extensions string, say func(c, raw net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the connection
		defer close(ended)
		raw, err := l.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		c := raw
		if config != nil {
			c = tls.Server(raw, config)
		}
		q, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		header := ""
		if extensions != "" {
			header = "\r\nSec-WebSocket-Extensions: " + extensions
		}
		accept := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(accept[:])+header+"\r\n\r\n") // the client sees it missing
		say(c, raw)
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}

// serverFrame is a message of the given size as a text frame.
func serverFrame(sequence uint64, size int) []byte {
	message := AppendMessage(nil, Stamp{Run: 1, Sequence: sequence, Scheduled: Now()}, size)
	return []byte(liar.Frame(0x81, string(message)))
}

func TestSecuredSubscribersReadRecordsOfAnySizeUntilTheEnd(t *testing.T) {
	ca := newAuthority(t)
	for name, end := range map[string]func(c, raw net.Conn){
		"close_notify":     func(c, _ net.Conn) { _ = c.(*tls.Conn).CloseWrite() },
		"no close_notify":  func(c, _ net.Conn) {},
		"a cut record":     func(_, raw net.Conn) { _, _ = raw.Write([]byte{23, 3, 3, 0, 80, 1, 2, 3}) },
		"a broken record":  func(_, raw net.Conn) { _, _ = raw.Write(append([]byte{23, 3, 3, 0, 80}, make([]byte, 80)...)) },
		"not even a frame": func(c, _ net.Conn) { _, _ = c.Write([]byte{0x81}) },
	} {
		for _, kind := range []Kind{Epoll, GWS} {
			t.Run(name+", "+string(kind), func(t *testing.T) {
				addr := socketServer(t, ca.server("push.test"), "", func(c, raw net.Conn) {
					for i, size := range []int{StampBytes, 16 << 10, 1 << 20, 125} {
						_, _ = c.Write(serverFrame(uint64(i+1), size)) // what is not sent does not arrive
					}
					for _, b := range serverFrame(5, StampBytes) {
						_, _ = c.Write([]byte{b})
					}
					end(c, raw)
				})
				f, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: addr, TLS: &TLS{CA: ca.pem, ServerName: "push.test"}}, Kind: kind, Connections: 1})
				if err := opened.Err(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, f, func(r Received) bool { return r.Closed == 1 && r.Open == 0 })
				if r := f.sink.report([]uint64{5}, nil); r.Delivered != 5 || !r.Clean() || kind == Epoll && r.Traffic.Read < 1<<20+16<<10 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

func TestSubscribersCheckTheServersCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	for _, kind := range []Kind{Epoll, GWS} {
		addr := socketServer(t, ca.server("push.test"), "", func(net.Conn, net.Conn) {})
		_, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: addr, TLS: &TLS{CA: other.pem}}, Kind: kind, Connections: 1})
		if opened.Failed != 1 || !strings.Contains(opened.FirstError, "--ca") {
			t.Errorf("%s: %+v", kind, opened)
		}
	}
}

// Browsers that come for the first time have no session, and those that come back do.
func TestReturningSubscribersResumeTheirTLSSessions(t *testing.T) {
	const connections = 5
	var full, resumed atomic.Int32
	config := newAuthority(t).server("localhost")
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if s.DidResume {
			resumed.Add(1)
		} else {
			full.Add(1)
		}
		return nil
	}
	s := liar.StartOdd(t, liar.Oddity{TLS: config})
	f, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: s.Addr, TLS: &TLS{Insecure: true}}, Transport: SSE, Connections: connections, Resume: true, Window: 2})
	if opened.Err() != nil || full.Load() != connections || resumed.Load() != 0 {
		t.Fatalf("%v: %d full handshakes, %d resumed", opened.Err(), full.Load(), resumed.Load())
	}
	err := f.kind.drop(0)
	if back := f.kind.open(t.Context()); errors.Join(err, back.Err()) != nil || full.Load() != connections || resumed.Load() != connections {
		t.Errorf("%v, %v: %d full handshakes, %d resumed", err, back.Err(), full.Load(), resumed.Load())
	}
}

func TestSecuredSubscribersGiveUpOnASilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts; nothing comes
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, kind := range []Kind{Epoll, GWS} {
		_, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: l.Addr().String(), TLS: &TLS{}}, Kind: kind, Connections: 5, Window: 2, Timeout: 100 * time.Millisecond})
		if opened.Failed != 5 || opened.Connections != 0 {
			t.Errorf("%s: %+v, want 5 failed", kind, opened)
		}
	}
}

func TestSubscribersTryTheAddressesInOrder(t *testing.T) {
	for _, kind := range []Kind{Epoll, GWS} {
		addr := socketServer(t, nil, "", func(c, _ net.Conn) { _, _ = io.Copy(io.Discard, c) })
		_, port, _ := net.SplitHostPort(addr)
		f, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: "127.0.0.1:" + port, More: []string{"127.0.0.2:" + port, addr}}, Kind: kind, Connections: 1})
		if err := opened.Err(); err != nil || f.sink.sample().Open != 1 {
			t.Errorf("%s: %v", kind, err)
		}
	}
	_, err := newFleet(Spec{Endpoint: Endpoint{Addr: "[::1]:1"}, Source: "127.0.0.2", Connections: 1})
	if err == nil || !strings.Contains(err.Error(), "both must be") {
		t.Error(err)
	}
	addr := socketServer(t, nil, "", func(c, _ net.Conn) { _, _ = io.Copy(io.Discard, c) })
	if _, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: "127.0.0.1:1", More: []string{addr}}, Source: "::1", Connections: 1}); opened.Err() != nil {
		t.Error(opened.Err())
	}
}
