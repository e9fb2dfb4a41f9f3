package endtoend_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"peal/server"
	"peal/server/rules"
)

const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

// deflated opens a WebSocket that has negotiated compression, or has not.
func (p *peal) deflated(query, offer string) *wire {
	p.t.Helper()
	w := p.dial()
	head := w.upgrade(query, offer)
	if got := strings.Contains(head, "\r\nSec-WebSocket-Extensions: "+agreed+"\r\n"); got != (offer != "") {
		p.t.Fatalf("%q: %q", offer, head)
	}
	return w
}

// rawFrame is one of a client, whose mask is 0.
func rawFrame(first byte, payload string) string {
	b := []byte{first, 0x80}
	switch n := len(payload); {
	case n > 65535:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	case n > 125:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= byte(n)
	}
	return string(b) + "\x00\x00\x00\x00" + payload
}

// pack compresses as a client does (RFC 7692 §7.2.1).
func pack(text string) string {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, 9) // the level is legal
	_, _ = io.WriteString(z, text) // a buffer takes everything
	_ = z.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// message reads a text message of the server, compressed or not.
func (w *wire) message() (text string, compressed bool) {
	w.t.Helper()
	first, payload := w.frame()
	switch first {
	case 0x81:
		return payload, false
	case 0xC1:
	default:
		w.t.Fatalf("frame begins %x: %q", first, payload)
	}
	b, err := io.ReadAll(flate.NewReader(strings.NewReader(payload + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b), true
}

// What clients send, by RFC 7692 §6 and §7.2.2, and what becomes of it: a message, or the
// code with which the connection is closed.
func TestDeflatedFramesOfClients(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	long := strings.Repeat("so long ", 8000) // 64,000 B, in 200
	p := compressing(t, 1<<20)               // what comes back is not compressed
	for name, c := range map[string]struct {
		sent string
		want string
		code uint16
	}{
		"compressed":                   {rawFrame(0xC1, hello), "Hello", 0},
		"not compressed":               {rawFrame(0x81, "Hello"), "Hello", 0},
		"fragments":                    {rawFrame(0x41, hello[:3]) + rawFrame(0x00, hello[3:5]) + rawFrame(0x80, hello[5:]), "Hello", 0},
		"fragments with a ping inside": {rawFrame(0x41, hello[:3]) + rawFrame(0x8A, "") + rawFrame(0x80, hello[3:]), "Hello", 0},
		"fragments, the last empty":    {rawFrame(0x41, hello) + rawFrame(0x80, ""), "Hello", 0},
		"BFINAL":                       {rawFrame(0xC1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello", 0},
		"two blocks":                   {rawFrame(0xC1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello", 0},
		"a stored block":               {rawFrame(0xC1, "\x00\x05\x00\xfa\xffHello\x00"), "Hello", 0},
		"as long as may be":            {rawFrame(0xC1, pack(strings.Repeat("x", 64<<10))), strings.Repeat("x", 64<<10), 0},
		"UTF-8 over two blocks":        {rawFrame(0xC1, pack("gr\xc3")+"\x00\x00\xff\xff"+pack("\xbc\xc3\x9fe")), "grüße", 0},

		"one byte too long":         {rawFrame(0xC1, pack(strings.Repeat("x", 64<<10+1))), "", 1009},
		"a bomb":                    {rawFrame(0xC1, pack(strings.Repeat("\x00", 64<<20))), "", 1009},
		"too long while compressed": {rawFrame(0xC1, strings.Repeat("x", 70_000)), "", 1009},
		"no DEFLATE":                {rawFrame(0xC1, "Hello"), "", 1007},
		"half of it":                {rawFrame(0xC1, hello[:4]), "", 1007},
		"BFINAL at the end":         {rawFrame(0xC1, "\xf3\x48\xcd\xc9\xc9\x07\x00"), "", 1007},
		"no UTF-8 inside":           {rawFrame(0xC1, pack("\xff\xfe")), "", 1007},
		"half a character":          {rawFrame(0xC1, pack("gr\xc3")), "", 1007},
		"RSV1 on a continuation":    {rawFrame(0x41, hello[:3]) + rawFrame(0xC0, hello[3:]), "", 1002},
		"RSV1 on a ping":            {rawFrame(0xC9, ""), "", 1002},
		"RSV2":                      {rawFrame(0xA1, "Hello"), "", 1002},
		"RSV1 and RSV3":             {rawFrame(0xD1, hello), "", 1002},
		"a context from before":     {rawFrame(0xC1, hello) + rawFrame(0xC1, "\xf2\x00\x11\x00\x00"), "", 1007},
	} {
		w := p.deflated("channel=frames", offer).send(c.sent)
		if c.code == 0 {
			if got, _ := w.message64(); got != c.want {
				t.Errorf("%s: %.60q", name, got)
				continue
			}
		}
		if c.code == 0 {
			w.send(rawFrame(0x81, "and on"))
			if got, _ := w.message(); got != "and on" {
				t.Errorf("%s: then %.60q", name, got)
			}
			w.conn.Close()
			continue
		}
		first, payload := w.frame()
		if first != 0x88 || len(payload) < 2 || binary.BigEndian.Uint16([]byte(payload)) != c.code {
			t.Errorf("%s: % x %q, want close %d", name, first, payload, c.code)
		}
		w.conn.Close()
	}
	// Without the extension, every such bit fails as ever.
	first, payload := p.deflated("channel=frames", "").send(rawFrame(0xC1, hello)).frame()
	if first != 0x88 || binary.BigEndian.Uint16([]byte(payload)) != 1002 {
		t.Errorf("not negotiated: % x %q", first, payload)
	}
	p.publish("frames", long) // the others are well
}

// message64 is message for one of up to 64 KiB and more.
func (w *wire) message64() (string, bool) {
	w.t.Helper()
	if head, err := w.r.Peek(2); err == nil && head[1] == 127 {
		head, err = w.r.Peek(10)
		if err != nil {
			w.t.Fatal(err)
		}
		n := binary.BigEndian.Uint64(head[2:])
		b := make([]byte, 10+n)
		if _, err := io.ReadFull(w.r, b); err != nil {
			w.t.Fatal(err)
		}
		return string(b[10:]), false
	}
	return w.message()
}

// Clients with and without compression share a channel, the cursor means the same to all,
// and short messages go as they are.
func TestDeflatedAndPlainClientsOfOneChannel(t *testing.T) {
	p := compressing(t, 100)
	long := strings.Repeat("all work and no play ", 40)
	narrow := strings.Replace(offer, "client_max", "server_max_window_bits=8; client_max", 1)
	queries := []string{"channel=mixed", "channel=mixed&format=json", "channel=mixed&channel=other"}
	plain := []*wire{}
	packed := []*wire{}
	for _, q := range queries {
		plain = append(plain, p.deflated(q, ""))
		packed = append(packed, p.deflated(q, offer))
	}
	small := p.dial()
	if head := small.upgrade("channel=mixed", narrow); !strings.Contains(head, agreed+"; server_max_window_bits=8\r\n") {
		t.Fatal(head)
	}
	var cursor string
	for i := range 20 {
		text := fmt.Sprint(i)
		if i%2 == 0 {
			text += long
		}
		at := p.publish("mixed", text)
		if i == 9 {
			cursor = at
		}
		for k := range plain {
			a, is := plain[k].message()
			b, was := packed[k].message()
			if a != b || is || was != (i%2 == 0) || !strings.Contains(a, text) {
				t.Fatalf("%s, message %d: %.80q, compressed %v; %.80q, compressed %v", queries[k], i, a, is, b, was)
			}
		}
		if got, was := small.message(); got != text || was != (i%2 == 0) {
			t.Fatalf("narrow, message %d: %.80q, compressed %v", i, got, was)
		}
	}
	// And from the history.
	again := p.deflated("channel=mixed&cursor="+cursor, offer)
	for i := 10; i < 20; i++ {
		if got, was := again.message(); !strings.HasPrefix(got, fmt.Sprint(i)) || was != (i%2 == 0) {
			t.Fatalf("resumed, message %d: %.80q, compressed %v", i, got, was)
		}
	}
	gone := p.deflated("channel=mixed&format=json&cursor=zzz-1", offer)
	if got, was := gone.message(); !strings.HasPrefix(got, `{"gap":[`) || was {
		t.Errorf("gap: %.80q, compressed %v", got, was)
	}
}

// Whether a message is compressed is decided by the rule of its channel, for a connection
// of peal.v1 that subscribes to both kinds too.
func TestDeflateByRule(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.DeflateMinBytes = 1
		c.Channels = []rules.Rule{{Match: "news.*", Deflate: rules.Yes}}
	})
	if head := p.dial().upgrade("channel=secret", offer); strings.Contains(head, "Extensions") {
		t.Errorf("negotiated for a channel that is not compressed: %q", head)
	}
	long := strings.Repeat("all work and no play ", 40)
	w := p.deflated("channel=news.1", offer+"Sec-WebSocket-Protocol: peal.v1\r\n")
	w.message() // connected
	w.send(rawFrame(0x81, `{"id":1,"command":"subscribe","channel":"secret"}`))
	w.message()
	for _, c := range []string{"news.1", "secret"} {
		p.publish(c, long)
		if got, was := w.message(); !strings.Contains(got, long) || was != (c == "news.1") {
			t.Errorf("%s: compressed %v, %.80q", c, was, got)
		}
	}
}

// upgrade makes the connection a WebSocket, and returns the head of the response.
func (w *wire) upgrade(query, lines string) (head string) {
	w.t.Helper()
	w.send("GET /ws?" + query + " HTTP/1.1\r\n" + hostLine + handshake + lines + "\r\n")
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := w.r.ReadString('\n')
		if err != nil {
			w.t.Fatal(err)
		}
		head += line
	}
	return head
}
