package endtoend_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/server"
)

// tiny is a server whose one loop, which is also where its publishers are, is a
// whole ring behind after four messages.
func tiny(t *testing.T) *peal {
	return startWith(t, func(c *server.Config) { c.Loop.Loops, c.RingSlots = 1, 4 })
}

// masked is one short text frame of a client; the key is zero, so the payload
// stands there as it is.
func masked(text string) string {
	return string([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text
}

// A loop handles all that one read brought before it takes from the ring again.
// A publisher there that waited for room would wait for itself.
func TestAPublisherInsideALoopCannotDeadlockIt(t *testing.T) {
	p := tiny(t)
	listener := p.dialSocket("/ws?channel=a", nil)

	// Raw WebSocket: closed with 1013 in the middle of its burst.
	w := p.dial()
	w.send("GET /ws?channel=a HTTP/1.1\r\n"+hostLine+handshake+"\r\n").want("GET", 101)
	w.send(strings.Repeat(masked("burst"), 500))
	rest := readAll(w)
	if code := "\x03\xf5"; !strings.Contains(rest, "\x88") || !strings.Contains(rest, code) {
		t.Errorf("the burst ends with %.200q, want a close frame with 1013", rest)
	}

	// HTTP, pipelined: what there is room for is accepted, the rest told to come back.
	w = p.dial()
	w.send(strings.Repeat(post("/publish?channel=a", "x"), 50))
	accepted, refused := 0, 0
	for range 50 {
		switch a := w.answer("POST"); {
		case a.status == 200:
			accepted++
		case a.status == 429 && a.header.Get("Retry-After") != "":
			refused++
		default:
			t.Fatalf("status %d, %v", a.status, a.header)
		}
	}
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted, %d refused, want some of both", accepted, refused)
	}

	// peal.v1: each command has its answer.
	v1 := p.dial()
	v1.send("GET /ws HTTP/1.1\r\n"+hostLine+handshake+"Sec-WebSocket-Protocol: peal.v1\r\n\r\n").want("GET", 101)
	v1.unmasked() // connected
	burst := ""
	for i := range 50 {
		burst += masked(fmt.Sprintf(`{"id":%d,"command":"publish","channel":"a","data":"x"}`, i))
	}
	v1.send(burst)
	done, full := 0, 0
	for i := range 50 {
		switch text := v1.anyFrame(); {
		case strings.HasPrefix(text, fmt.Sprintf(`{"id":%d,"ok":true,`, i)):
			done++
		case strings.HasPrefix(text, fmt.Sprintf(`{"id":%d,"error":{"code":`, i)):
			full++
		default:
			t.Fatalf("answer %d: %s", i, text)
		}
	}
	if done == 0 || full == 0 {
		t.Errorf("%d done, %d refused, want some of both", done, full)
	}

	// Nobody was hurt, and what was accepted was delivered.
	if got := p.publish("a", "after"); got == "" {
		t.Error("no cursor")
	}
	for n := 0; ; n++ {
		if text := listener.next().data; text == "after" {
			if n < accepted+done {
				t.Errorf("%d messages came before the last, but %d were accepted", n, accepted+done)
			}
			return
		}
	}
}
