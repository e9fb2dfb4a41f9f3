package loadtest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEveryEndHasItsSide(t *testing.T) {
	for _, c := range []struct {
		err    error
		side   Side
		reason string
	}{
		{errEnded, SideServer, "connection closed (FIN)"},
		{fmt.Errorf("read: %w", unix.ECONNRESET), SideServer, "reset"},
		{fmt.Errorf("send request: %w", unix.EPIPE), SideServer, "pipe"},
		{errCut, SideServer, "in the middle"},
		{fmt.Errorf("upgrade: %w", io.EOF), SideServer, "EOF"},
		{(&head{status: 403}).upgraded("", ""), SideServer, "status 403"},
		{(&leanConn{}).streams(&head{status: 503}), SideServer, "status 503"},
		{fmt.Errorf("connect: %w", unix.ECONNREFUSED), SideNetwork, "refused"},
		{fmt.Errorf("connect: %w", unix.EHOSTUNREACH), SideNetwork, "no route"},
		{fmt.Errorf("read: %w", unix.ETIMEDOUT), SideNetwork, "timed out"},
		{fmt.Errorf("socket: %w", unix.EMFILE), SideUs, "too many open files"},
		{fmt.Errorf("connect: %w", unix.EADDRNOTAVAIL), SideUs, "cannot assign"},
		{unreadable("a masked frame"), SideUs, "a masked frame"},
		{(&head{status: 101}).upgraded("", ""), SideUs, "status 101 with Upgrade"},
		{errors.New("whatever else"), SideUs, "whatever else"},
	} {
		if e := endOf(c.err); e.Side != c.side || !strings.Contains(e.Reason, c.reason) || strings.Contains(e.Reason, ErrUnreadable.Error()) || e.Count != 1 {
			t.Errorf("%v: %+v, want side %s", c.err, e, c.side)
		}
	}
}

func TestReasonsAreBounded(t *testing.T) {
	var ends []End
	for i := range 3 * maxReasons {
		before := len(ends)
		grown := AddEnd(ends, End{SideServer, fmt.Sprint("reason ", i), 2})
		if len(ends) != before {
			t.Fatal("the old ones changed")
		}
		ends = grown
	}
	ends = AddEnd(AddEnd(ends, End{SideUs, "a late one", 1}), End{SideServer, "reason 3", 5})
	n := 0
	for _, e := range ends {
		n += e.Count
	}
	if n != 6*maxReasons+6 || len(ends) != maxReasons+2 || ends[3].Count != 7 || ends[maxReasons].Reason != "others" || ends[maxReasons+1] != (End{SideUs, "others", 1}) {
		t.Errorf("%d ends: %+v", n, ends)
	}
}

func TestCloseFrames(t *testing.T) {
	for payload, want := range map[string]string{
		"":                  "close frame without a code|",
		"\x03\xe9":          "close frame 1001|",
		"\x03\xe9bye":       `close frame 1001 "bye"|`,
		"\x0f\xa0own":       `close frame 4000 "own"|`,
		"\x03":              "close frame of one byte|one byte",
		"\x00\x05":          "close frame 5|code 5,",
		"\x03\xed":          "close frame 1005|code 1005,",
		"\x07\xd0":          "close frame 2000|code 2000,",
		"\x13\x88":          "close frame 5000|code 5000,",
		"\x03\xe8a\xff":     `close frame 1000 "a\xff"|not UTF-8`,
		"\x03\xf6gone away": `close frame 1014 "gone away"|`,
	} {
		fault, reason := closeFrame([]byte(payload))
		says, breaks, _ := strings.Cut(want, "|")
		if reason.Error() != says || (fault == "") != (breaks == "") || !strings.Contains(fault, breaks) || endOf(reason).Side != SideServer {
			t.Errorf("% x: %v, %s", payload, reason, fault)
		}
	}
}

func TestFramesThatMustNotBe(t *testing.T) {
	for frame, rule := range map[string]string{
		"\xc1\x01x":                 "§5.2", // a reserved bit
		"\x81\x81\x00\x00\x00\x00x": "§5.1", // a mask
		"\x09\x00":                  "§5.5", // a ping in fragments
		"\x89\x7e\x00\x7e":          "§5.5", // a ping of 126 bytes
		"\x81\x7e\x00\x05hello":     "§5.2", // a length in more bytes than it needs
		"\x82\x7f\x00\x00\x00\x00\x00\x00\x01\x00": "§5.2",
		"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x01": "§5.2", // the highest bit
	} {
		if _, _, err := parseFrame([]byte(frame), false); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), rule) {
			t.Errorf("% x: %v, want %s", frame, err, rule)
		}
	}
	for _, size := range []int{0, 125, 126, 65_535, 65_536} {
		whole := appendMasked(nil, 2, make([]byte, size))
		whole = append(whole[:len(whole)-size-4], make([]byte, size)...)
		whole[1] &^= 0x80
		if f, n, err := parseFrame(whole, false); len(f.payload) != size || n != len(whole) || err != nil {
			t.Errorf("%d bytes: %d, %v", size, len(f.payload), err)
		}
	}
}

func TestHandshakesThatMustNotBe(t *testing.T) {
	const good = "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nConnection: keep-alive,\r\n\t upgrade\r\nsec-websocket-accept:" + leanAccept + "\r\nEmpty:\r\n"
	for change, rule := range map[string]string{
		"":                                    "",
		"Upgrade: WebSocket=Upgrade: h2c":     "§4.1",
		"Upgrade: WebSocket=X: y":             "§4.1",
		" upgrade= close":                     "§4.1",
		leanAccept + "=" + leanKey:            "§4.1",
		"Empty:=Sec-WebSocket-Protocol: chat": "not offered",
		"Empty:=Sec-WebSocket-Extensions: x":  "not offered",
		"Empty:=Empty":                        "header line",
		"Empty:=Empty :":                      "header line",
		"\r\nEmpty:=\nEmpty:":                 "header line",
		"Empty:=Content-Length: 1\r\nTransfer-Encoding: chunked": "§6.2",
		"Empty:=Content-Length: 1\r\nContent-Length: 2":          "§6.3",
	} {
		old, replacement, _ := strings.Cut(change, "=")
		h, n, err := finalHead([]byte(strings.Replace(good, old, replacement, 1) + "\r\n"))
		if err == nil {
			err = h.upgraded("", "")
		}
		if n == 0 && err == nil || (err == nil) != (rule == "") || err != nil && (!errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), rule)) {
			t.Errorf("%q: %v, want %q", change, err, rule)
		}
	}
	if _, n, err := finalHead([]byte("HTTP/1.1 200 OK\nA: b\n\n")); n != 0 || !errors.Is(err, ErrUnreadable) {
		t.Errorf("bare line feeds: %v", err)
	}
}

func TestEventStreamsHaveTheirType(t *testing.T) {
	for contentType, ok := range map[string]bool{"text/event-stream": true, "Text/Event-Stream ; charset=utf-8": true, "": false, "text/plain": false, "application/json": false} {
		if err := new(leanConn).streams(&head{status: 200, length: -1, contentType: []byte(contentType)}); (err == nil) != ok {
			t.Errorf("%q: %v", contentType, err)
		}
	}
}
