package httpapi_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/loop"
)

// describe writes a subscription as one line.
func describe(s *loop.Subscription) string {
	from := [...]string{"now", fmt.Sprint("cursor ", s.Sequence), "earliest", fmt.Sprint("last ", s.Count), "gap"}
	return fmt.Sprintf("%s %s from %s", table.At(s.Encoding).Name, strings.Join(s.Channels, ","), from[s.From])
}

func TestSubscriptionsAreReadFromTheRequest(t *testing.T) {
	h := newHarness(t)
	h.log.head = 50
	check := func(target, want string, headers ...string) {
		t.Helper()
		c := h.call("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(headers, "") + "\r\n")
		if c.Sub == nil {
			t.Errorf("%s: verdict %d, %q", target, c.Verdict, c.Out)
		} else if got := describe(c.Sub); got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
	check("/sse", "sse-raw main from now")
	check("/poll", "poll-json main from now")
	check("/sse?format=json&channel=main&unknown=1", "sse-json main from now")
	check("/poll?format=raw", "poll-raw main from now")
	check("/poll?channel=b&channel=a&channel=b", "poll-json a,b from now")
	check("/poll?channel[]=b&channel[]=a", "poll-json a,b from now")
	check("/poll?channel%5B0%5D=b&channel%5B10%5D=a", "poll-json a,b from now")
	check("/poll?channel[x]=b&channel=a", "poll-json a from now")
	check("/poll?channel=a%20b+c%2F%C3%A4", "poll-json a b c/ä from now")
	check("/poll?channel=https://x/y", "poll-json https://x/y from now")
	check("/sse?cursor=z-7", "sse-raw main from cursor 7")
	check("/sse?last_event_id=z-7", "sse-raw main from cursor 7")
	check("/sse?lastEventId=z-50", "sse-raw main from cursor 50")
	check("/sse?cursor=&lastEventId=z-0", "sse-raw main from cursor 0")
	check("/sse?cursor=", "sse-raw main from now")
	check("/sse?cursor=earliest", "sse-raw main from earliest")
	check("/sse?last=10", "sse-raw main from last 10")
	check("/sse?last=0", "sse-raw main from now")
	check("/sse?last=99999999999999999999", "sse-raw main from last 1048576")
	check("/sse?cursor=z-51", "sse-raw main from gap")
	check("/sse?cursor=y-7", "sse-raw main from gap")
	check("/sse?cursor=x-3", "sse-raw main from cursor 3")
	check("/sse?cursor=x-4", "sse-raw main from gap")
	check("/sse?cursor=nonsense", "sse-raw main from gap")
	check("/sse", "sse-raw main from cursor 9", "Last-Event-ID: z-9\r\n")
	check("/sse", "sse-raw main from now", "Last-Event-ID: \r\n")
	check("/sse?last=10", "sse-raw main from cursor 9", "Last-Event-ID: z-9\r\n") // EventSource comes back to its URL
	check("/sse?last=10&lastEventId=z-9", "sse-raw main from cursor 9")
}

func TestSubscriptionsToOneChannelShareItsSet(t *testing.T) {
	h := newHarness(t)
	a, b := h.call(get("/poll?channel=x")).Sub, h.call(get("/sse?channel=x")).Sub
	if &a.Channels[0] != &b.Channels[0] {
		t.Error("two sets for one channel")
	}
}

func TestSSEHeadIsTheSameForAll(t *testing.T) {
	h := newHarness(t)
	c := h.call(get("/sse"))
	old := h.call("GET /sse HTTP/1.0\r\n\r\n")
	if c.Verdict != loop.Stream || string(c.Out) != string(old.Out) || old.Verdict != loop.Stream {
		t.Errorf("verdicts %d %d, %q, %q", c.Verdict, old.Verdict, c.Out, old.Out)
	}
	if c.Sub.Deadline != 0 {
		t.Errorf("a stream has a deadline as a poll: %v", c.Sub.Deadline)
	}
	resp, _ := readAnswer(t, "GET", c.Out)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "", "Vary": "Origin",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !resp.Close || resp.ContentLength != -1 || len(resp.TransferEncoding) > 0 {
		t.Errorf("close %v, length %d, coding %v", resp.Close, resp.ContentLength, resp.TransferEncoding)
	}
	if head := h.call("HEAD /sse HTTP/1.1\r\nHost: localhost\r\n\r\n"); head.Verdict != loop.ReplyClose || string(head.Out) != string(c.Out) {
		t.Errorf("HEAD: verdict %d, %q", head.Verdict, head.Out)
	}
}

func TestPollIsParked(t *testing.T) {
	h := newHarness(t)
	check := func(in string, timeout time.Duration, closing, headOnly bool) {
		t.Helper()
		c := h.call(in)
		if c.Verdict != loop.Park || len(c.Out) > 0 || c.Sub.Deadline != timeout || c.Close != closing || c.Sub.HeadOnly != headOnly {
			t.Errorf("%q: verdict %d, timeout %v, close %v, head only %v", in, c.Verdict, c.Sub.Deadline, c.Close, c.Sub.HeadOnly)
		}
	}
	check(get("/poll"), 25*time.Second, false, false)
	check(get("/poll?timeout=5"), 5*time.Second, false, false)
	check(get("/poll?timeout=5s"), 5*time.Second, false, false)
	check(get("/poll?timeout=1m"), time.Minute, false, false)
	check(get("/poll?timeout=2.5"), 2500*time.Millisecond, false, false)
	check(get("/poll?timeout=0"), time.Second, false, false)
	check(get("/poll?timeout=-3"), time.Second, false, false)
	check(get("/poll?timeout=99999999999999999999"), 120*time.Second, false, false)
	check("GET /poll HTTP/1.0\r\n\r\n", 25*time.Second, true, false)
	check("GET /poll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 25*time.Second, true, false)
	check("HEAD /poll HTTP/1.1\r\nHost: localhost\r\n\r\n", 25*time.Second, false, true)
}

func TestBadParametersSayWhatToChange(t *testing.T) {
	h := newHarness(t)
	many := strings.Builder{}
	for i := range 129 {
		fmt.Fprintf(&many, "channel=c%d&", i)
	}
	for query, code := range map[string]string{
		"channel=": "bad_channel", "channel=%00": "bad_channel", "channel=a%0Ab": "bad_channel", "channel=%FF": "bad_channel",
		"channel=" + strings.Repeat("a", 201): "bad_channel", "channel=$sys": "reserved_channel",
		"last=x": "bad_last", "channel=a&channel=b&last=1001": "bad_last", "last=-1": "bad_last", "timeout=x": "bad_timeout", "timeout=NaN": "bad_timeout", "format=xml": "bad_format",
		many.String(): "too_many_channels",
	} {
		for _, path := range []string{"/sse?", "/poll?"} {
			resp, body := h.answer(get(path + query))
			if !strings.Contains(body, `"code":"`+code+`"`) || resp.StatusCode != 400 && resp.StatusCode != 403 {
				t.Errorf("%s%.40s: %d %s, want %s", path, query, resp.StatusCode, body, code)
			}
		}
	}
}

// upgrade makes a WebSocket handshake.
func upgrade(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(headers, "") + "\r\n"
}

const version13 = "Sec-WebSocket-Version: 13\r\n"

func TestWebSocketHandshake(t *testing.T) {
	h := newHarness(t)
	check := func(in, want, protocol, publishTo string) {
		t.Helper()
		c := h.call(in)
		if c.Verdict != loop.Stream {
			t.Errorf("%.60q: verdict %d, %q", in, c.Verdict, c.Out)
			return
		}
		resp, _ := readAnswer(t, in, c.Out)
		if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || resp.Header.Get("Sec-WebSocket-Protocol") != protocol {
			t.Errorf("%.60q: %d %v", in, resp.StatusCode, resp.Header)
		}
		if got := describe(c.Sub); got != want || c.Sub.Commands != (protocol == "peal.v1") || c.Sub.Publishes != (publishTo != "") || publishTo != "" && publishTo != c.Sub.Channels[0] {
			t.Errorf("%.60q: %s %+v, want %s", in, got, c.Sub, want)
		}
	}
	check(upgrade("/", version13), "ws-raw main from now", "", "main")
	check(upgrade("/?channel=main&x=y", version13), "ws-raw main from now", "", "main")
	check(upgrade("/ws?token=y", version13, "Sec-WebSocket-Protocol: peal.v1\r\n"), "ws-json  from now", "peal.v1", "")
	check(upgrade("/ws?channel=a", version13), "ws-raw a from now", "", "a")
	check(upgrade("/ws?channel=a&channel=b", version13), "ws-raw a,b from now", "", "")
	check(upgrade("/ws?format=json&last=3", version13), "ws-json main from last 3", "", "main")
	check(upgrade("/ws", version13, "Sec-WebSocket-Protocol: peal.raw\r\n"), "ws-raw main from now", "peal.raw", "main")
	check(upgrade("/ws", version13, "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: y, peal.raw\r\n"), "ws-raw main from now", "peal.raw", "main")
	check(upgrade("/ws", version13, "Sec-WebSocket-Protocol: other\r\n"), "ws-raw main from now", "", "main")
	check(upgrade("/ws", version13, "Sec-WebSocket-Protocol: peal.v1\r\n"), "ws-json  from now", "peal.v1", "")
	check(upgrade("/", version13, "Sec-WebSocket-Protocol: peal.v1, peal.raw\r\n"), "ws-json  from now", "peal.v1", "")
	check(upgrade("/ws?channel=a", version13, "Sec-WebSocket-Protocol: peal.v1\r\n"), "ws-json a from now", "peal.v1", "")
}

func TestWebSocketRefusalsOverHTTP(t *testing.T) {
	h := newHarness(t)
	check := func(in string, status int, version string) {
		t.Helper()
		resp, body := h.answer(in)
		if resp.StatusCode != status || resp.Header.Get("Sec-WebSocket-Version") != version {
			t.Errorf("%q: %d %v %s", in, resp.StatusCode, resp.Header, body)
		}
	}
	check(get("/ws"), 426, "")
	check(upgrade("/ws"), 426, "13")
	check(upgrade("/ws", "Sec-WebSocket-Version: 8\r\n"), 426, "13")
	check(upgrade("/", "Sec-WebSocket-Version: 8\r\n"), 426, "13")
	check(strings.Replace(upgrade("/ws", version13), "ZQ==", "", 1), 400, "")
	check(upgrade("/ws", version13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400, "")
	check(strings.Replace(upgrade("/ws", version13), "HTTP/1.1", "HTTP/1.0", 1), 400, "")
}

func TestWebSocketRefusalsThatAPageMustSee(t *testing.T) {
	h := newHarness(t)
	var many strings.Builder
	for i := range 129 {
		fmt.Fprintf(&many, "channel=c%d&", i)
	}
	for target, want := range map[string]uint16{
		"/ws?channel=": 4400, "/ws?format=xml": 4400, "/ws?last=x": 4400, "/ws?channel=$x": 4403, "/ws?" + many.String(): 4413,
	} {
		c := h.call(upgrade(target, version13))
		head, tail, _ := strings.Cut(string(c.Out), "\r\n\r\n")
		if c.Verdict != loop.ReplyClose || !strings.HasPrefix(head, "HTTP/1.1 101 ") || len(tail) < 4 || tail[0] != 0x88 {
			t.Errorf("%.40s: verdict %d, %q", target, c.Verdict, c.Out)
			continue
		}
		if code := binary.BigEndian.Uint16([]byte(tail[2:4])); code != want {
			t.Errorf("%.40s: closed with %d %q, want %d", target, code, tail[4:], want)
		}
	}
}

func TestDrainingSendsClientsAwayToComeBack(t *testing.T) {
	h := newHarness(t)
	call := func(in string) *loop.Call {
		c := &loop.Call{In: []byte(in), Draining: true}
		h.front.Request(c)
		if c.Verdict != loop.ReplyClose {
			t.Errorf("%.40q: verdict %d", in, c.Verdict)
		}
		return c
	}
	if out := string(call(upgrade("/ws", version13)).Out); !strings.Contains(out, "101 ") || !strings.Contains(out, "\x03\xe9draining") {
		t.Errorf("WebSocket: %q", out)
	}
	resp, body := readAnswer(t, "GET", call(get("/sse")).Out)
	if resp.StatusCode != 200 || !strings.HasPrefix(body, "retry: ") {
		t.Errorf("SSE: %d %q", resp.StatusCode, body)
	}
	if resp, _ := readAnswer(t, "GET", call(get("/poll")).Out); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("poll: %d", resp.StatusCode)
	}
}

func TestMessagePublishesWhatAWebSocketSends(t *testing.T) {
	h := newHarness(t)
	one := &fakeClient{publishTo: "a"}
	payload := []byte("hello")
	for _, binary := range []bool{false, true} {
		if code, reason := h.front.Message(one, binary, payload); code != 0 {
			t.Errorf("closed with %d %s", code, reason)
		}
	}
	copy(payload, "XXXXX") // it was the loop's memory
	if got := h.log.take(); got != "a: \"hello\"\na: \"hello\" binary" {
		t.Errorf("published %s", got)
	}
	check := func(c *fakeClient, want uint16) {
		t.Helper()
		if code, _ := h.front.Message(c, false, payload); code != want {
			t.Errorf("closed with %d, want %d", code, want)
		}
	}
	check(&fakeClient{}, 4403)
	h.log.full = true
	check(one, 1013)
	h.log.full, h.log.broken = false, true
	check(one, 1013)
	h.log.broken, h.log.closed = false, true
	check(one, 1001)
}
