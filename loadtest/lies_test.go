package loadtest

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/loadtest/liar"
)

const (
	lied     = 5 // the message about which one of the subscribers is lied to
	liedTo   = 1
	messages = 12
	lieBytes = 128
)

// lieWays are the ways to subscribe, by what a lie can be told in.
var lieWays = map[string]Spec{
	"ws":        {Transport: WebSocket},
	"ws gws":    {Transport: WebSocket, Kind: GWS},
	"ws json":   {Transport: WebSocket, Format: JSON},
	"sse":       {Transport: SSE},
	"sse json":  {Transport: SSE, Format: JSON},
	"poll":      {Transport: Poll, Format: Raw},
	"poll json": {Transport: Poll},
}

// lie is one, and what must be counted. Lost are those that never come whole.
type lie struct {
	tell   liar.Lie
	only   string // what the names of its ways begin with; "": all
	want   Counts
	end    End // of the one subscriber; its reason only has to be within the real one
	unread int
}

func changed(message string, at int, c byte) string {
	b := []byte(message)
	b[at] = c
	return string(b)
}

// lieAbout tells one lie to one subscriber, in place of one message.
func lieAbout(tell func(to *liar.Subscriber, message string)) liar.Lie {
	return func(to *liar.Subscriber, n uint64, message string) {
		if to.Number == liedTo && n == lied {
			tell(to, message)
			return
		}
		to.Send(message)
	}
}

func sending(change func(message string) string) liar.Lie {
	return lieAbout(func(to *liar.Subscriber, message string) { to.Send(change(message)) })
}

// rawly sends bytes that depend on the way, as what the server of the transport sends.
func rawly(frame func(message string) string) liar.Lie {
	return lieAbout(func(to *liar.Subscriber, message string) { to.Raw(frame(message)) })
}

// closing sends a close frame and ends the connection.
func closing(payload string) liar.Lie {
	return lieAbout(func(to *liar.Subscriber, _ string) {
		to.Raw(liar.Frame(0x88, payload))
		to.HangUp()
	})
}

const rest = messages - lied + 1 // those that a connection does not get which ended

func lies() map[string]lie {
	held := ""
	brokenJSON := func(m string) string { return `{"cursor":"5","messages":[{"channel":"c0","data":"` + m + `"}]` }
	response := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	all := map[string]lie{
		"none":                  {},
		"nothing at all":        {tell: func(*liar.Subscriber, uint64, string) {}, want: Counts{Lost: 3 * messages}},
		"a wrong byte":          {tell: sending(func(m string) string { return changed(m, 80, '!') }), want: Counts{Corrupted: 1, Lost: 1}},
		"the last byte":         {tell: sending(func(m string) string { return changed(m, lieBytes-1, '!') }), want: Counts{Corrupted: 1, Lost: 1}},
		"a digit of the stamp":  {tell: sending(func(m string) string { return changed(m, 20, m[20]^1) }), want: Counts{Corrupted: 1, Lost: 1}},
		"the number of the run": {tell: sending(func(m string) string { return changed(m, 3, 'f') }), want: Counts{Corrupted: 1, Lost: 1}},
		"wrong, and then right": {tell: lieAbout(func(to *liar.Subscriber, m string) { to.Send(changed(m, 80, '!')); to.Send(m) }), want: Counts{Corrupted: 1}},
		"too short":             {tell: sending(func(m string) string { return m[:100] }), want: Counts{Truncated: 1, Lost: 1}},
		"one byte short":        {tell: sending(func(m string) string { return m[:lieBytes-1] }), want: Counts{Truncated: 1, Lost: 1}},
		"shorter than a stamp":  {tell: sending(func(m string) string { return m[:20] }), want: Counts{Truncated: 1, Lost: 1}},
		"too long":              {tell: sending(func(m string) string { return m + "c" }), want: Counts{Truncated: 1, Lost: 1}},
		"dropped":               {tell: lieAbout(func(*liar.Subscriber, string) {}), want: Counts{Lost: 1}},
		"twice":                 {tell: lieAbout(func(to *liar.Subscriber, m string) { to.Send(m); to.Send(m) }), want: Counts{Duplicated: 1}},
		"late by one": {want: Counts{Reordered: 1}, tell: func(to *liar.Subscriber, n uint64, m string) {
			switch {
			case to.Number == liedTo && n == lied:
				held = m
				return
			case to.Number == liedTo && n == lied+1:
				defer to.Send(held)
			}
			to.Send(m)
		}},
		"another's": {tell: lieAbout(func(to *liar.Subscriber, m string) {
			to.Send(string(AppendMessage(nil, Stamp{Run: 1, Stream: 7, Sequence: 1}, lieBytes)))
			to.Send(m)
		}), want: Counts{Foreign: 1}},
		"another run's": {tell: lieAbout(func(to *liar.Subscriber, m string) {
			to.Send(string(AppendMessage(nil, Stamp{Run: 9, Sequence: 1}, lieBytes)))
			to.Send(m)
		}), want: Counts{Foreign: 1}},
		"small talk":                 {tell: lieAbout(func(to *liar.Subscriber, m string) { to.Send("hello"); to.Send(m) }), want: Counts{Foreign: 1}},
		"cut":                        {tell: lieAbout(func(to *liar.Subscriber, m string) { to.Cut(m) }), want: Counts{Lost: rest}, end: End{SideServer, "in the middle", 1}},
		"JSON that ends early, ws":   {only: "ws json", tell: rawly(func(m string) string { return liar.Frame(0x81, brokenJSON(m)) }), want: Counts{Invalid: 1, Lost: 1}},
		"JSON that ends early, sse":  {only: "sse json", tell: rawly(func(m string) string { return "data: " + brokenJSON(m) + "\n\n" }), want: Counts{Invalid: 1, Lost: 1}},
		"JSON that ends early, poll": {only: "poll json", tell: rawly(func(m string) string { return response(brokenJSON(m)) }), want: Counts{Invalid: 1, Lost: 1}},
		"another type of frame":      {only: "ws", tell: rawly(func(m string) string { return liar.Frame(0x82, m) }), want: Counts{Invalid: 1, Lost: 1}},
		"a close frame":              {only: "ws", tell: closing("\x03\xe9bye"), want: Counts{Lost: rest}, end: End{SideServer, `close frame 1001 "bye"`, 1}},
		"a close frame of nothing":   {only: "ws", tell: closing(""), want: Counts{Lost: rest}, end: End{SideServer, "close frame without a code", 1}},
		"a close frame with code 5":  {only: "ws", tell: closing("\x00\x05"), want: Counts{Lost: rest, Invalid: 1}, end: End{SideServer, "close frame 5", 1}},
		"status 500":                 {only: "poll", tell: rawly(func(string) string { return "HTTP/1.1 500 no\r\nContent-Length: 3\r\n\r\nboo" }), want: Counts{Lost: rest}, end: End{SideServer, "status 500: boo", 1}},
		"text/html":                  {only: "poll json", tell: rawly(func(m string) string { return strings.Replace(response("{}"), "application/json", "text/html", 1) }), end: End{SideUs, `content type "text/html"`, 1}, unread: 1},
	}
	for way := range lieWays {
		// Bytes that are no text, and an end between two messages, mean other things in other ways.
		noText, control := Counts{Invalid: 1, Lost: 1}, Counts{Corrupted: 1, Lost: 1}
		ended, reset := lie{want: Counts{Lost: rest}, end: End{SideServer, "(FIN)", 1}}, lie{want: Counts{Lost: rest}, end: End{SideServer, "reset", 1}}
		switch {
		case way == "poll":
			noText = control
		case strings.HasSuffix(way, "json"):
			control = noText
		}
		if strings.HasPrefix(way, "poll") { // it asks again, on another connection
			ended, reset = lie{}, lie{}
		}
		ended.tell, reset.tell = lieAbout(func(to *liar.Subscriber, _ string) { to.HangUp() }), lieAbout(func(to *liar.Subscriber, _ string) { to.Reset() })
		ended.only, reset.only = way+"$", way+"$"
		all["no UTF-8, "+way] = lie{only: way + "$", tell: sending(func(m string) string { return changed(m, 80, 0xff) }), want: noText}
		all["a control character, "+way] = lie{only: way + "$", tell: sending(func(m string) string { return changed(m, 80, 1) }), want: control}
		all["an end, "+way], all["a reset, "+way] = ended, reset
	}
	for name, frame := range map[string]string{
		"a mask (RFC 6455 §5.1)": "\x81\x81\x00\x00\x00\x00x", "reserved bits (RFC 6455 §5.2)": "\xc1\x01x", "opcode 3 (RFC 6455 §5.2)": "\x83\x01x", "opcode 11 (RFC 6455 §5.2)": "\x8b\x00",
		"a continuation of nothing (RFC 6455 §5.4)": "\x80\x01x", "a message within another (RFC 6455 §5.4)": "\x01\x01x\x81\x01y", "a ping in fragments (RFC 6455 §5.5)": "\x09\x00",
		"a long ping (RFC 6455 §5.5)": "\x89\x7e\x00\x7e" + strings.Repeat("x", 126), "the highest bit of a length (RFC 6455 §5.2)": "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x01x",
	} {
		_, rule, _ := strings.Cut(name, "(")
		all[name] = lie{only: "ws$", tell: rawly(func(string) string { return frame }), end: End{SideUs, "(" + rule, 1}, unread: 1}
	}
	all["data behind a close frame"] = lie{only: "ws$", tell: rawly(func(m string) string { return liar.Frame(0x88, "\x03\xe8") + liar.Frame(0x81, m) }),
		want: Counts{Lost: rest, Invalid: 1}, end: End{SideServer, "close frame 1000", 1}}
	return all
}

// openThree opens three subscribers, one after another, so that the liar's numbers are
// the fleet's.
func openThree(t *testing.T, spec Spec) (*fleet, Opened) {
	t.Helper()
	spec.Connections, spec.Window = 3, 1
	f, opened := openFleet(t, spec)
	f.sink.begin(1, lieBytes, false)
	return f, opened
}

// publishTo publishes the messages of run 1.
func publishTo(t *testing.T, addr string) {
	t.Helper()
	for n := range uint64(messages) {
		response, err := http.Post("http://"+addr+"/publish", "text/plain", strings.NewReader(string(AppendMessage(nil, Stamp{Run: 1, Sequence: n + 1, Scheduled: Now()}, lieBytes))))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // it was not read
	}
}

// settled waits until enough says so of what came, or for long, and returns what came.
func settled(f *fleet, enough func(Received) bool) Received {
	f.sink.expect([]uint64{messages})
	for end := time.Now().Add(30 * time.Second); !enough(f.sink.sample()) && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	return f.sink.report([]uint64{messages}, nil)
}

// Every lie is counted exactly, as what it is, and every end is on its side.
func TestEveryLieIsCountedExactly(t *testing.T) {
	for name, l := range lies() {
		for way, spec := range lieWays {
			if l.only != "" && !strings.HasPrefix(way+"$", l.only) || strings.HasPrefix(l.only, "ws") && way == "ws json" && strings.Contains(name, "type of frame") {
				continue
			}
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				l := lies()[name] // with its own state
				s := liar.StartOdd(t, liar.Oddity{Lie: l.tell})
				spec.Addr, spec.Cursor = s.Addr, "0"
				f, opened := openThree(t, spec)
				if err := opened.Err(); err != nil {
					t.Fatal(err)
				}
				publishTo(t, s.Addr)
				want := l.want
				want.Delivered = 3*messages - want.Lost
				if want.Expected = 3 * messages; l.unread > 0 { // what it lacks is not lost
					want.Delivered, want.Expected = 3*messages-rest, 3*messages-rest
				}
				r := settled(f, func(r Received) bool {
					r.Lost, r.Expected = want.Lost, want.Expected
					return r.Counts == want && r.Closed == l.end.Count
				})
				ends := len(r.Ends) == 0
				if l.end.Count > 0 {
					ends = len(r.Ends) == 1 && r.Ends[0].Side == l.end.Side && r.Ends[0].Count == 1 && strings.Contains(r.Ends[0].Reason, l.end.Reason)
				}
				if r.Counts != want || !ends || r.Closed != l.end.Count || r.Unreadable != l.unread || (r.Damage != "") != (want.Damaged() > 0) {
					t.Errorf("%+v, %d closed: %+v, %d unreadable (%s), damage %q\nwant %+v and %+v", r.Counts, r.Closed, r.Ends, r.Unreadable, r.Unread, r.Damage, want, l.end)
				}
			})
		}
	}
}

// A connection that cannot be opened says whose doing that is, and which rule was broken.
func TestEveryRefusalHasItsSide(t *testing.T) {
	nothing, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nothing.Close() // so that nothing listens there
	replaced := func(old, replacement string) func(string) string {
		return func(head string) string { return strings.Replace(head, old, replacement, 1) }
	}
	instead := func(head string) func(string) string { return func(string) string { return head } }
	for name, c := range map[string]struct {
		only string
		head func(string) string
		side Side
		says string
	}{
		"a status":             {"", instead("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), SideServer, "status "},
		"no Upgrade":           {"ws", replaced("upgrade: WebSocket\r\n", ""), SideUs, "RFC 6455 §4.1"},
		"no Connection":        {"ws", replaced("connection: upgrade\r\n", ""), SideUs, "RFC 6455 §4.1"},
		"another key":          {"ws", replaced("sec-websocket-accept:", "sec-websocket-accept:x"), SideUs, "RFC 6455 §4.1"},
		"an extension":         {"ws", replaced("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x-odd\r\n\r\n"), SideUs, "not offered"},
		"a subprotocol":        {"ws", replaced("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"), SideUs, "not offered"},
		"another type":         {"sse", replaced("text/event-stream", "text/html"), SideUs, "text/event-stream"},
		"two lengths":          {"sse", replaced("\r\n\r\n", "\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), SideUs, "RFC 9112 §6.3"},
		"a compressed body":    {"sse", replaced("\r\n\r\n", "\r\nContent-Encoding: br\r\n\r\n"), SideUs, "not requested"},
		"an end":               {"", instead(""), SideServer, "FIN"},
		"nothing that listens": {"", nil, SideNetwork, "refused"},
	} {
		for _, way := range []string{"ws", "ws gws", "sse"} {
			if !strings.HasPrefix(way, c.only) || way == "ws gws" && c.says == "not offered" { // gws does not mind
				continue
			}
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				spec := lieWays[way]
				spec.Addr = nothing.Addr().String()
				if c.head != nil {
					s := liar.StartOdd(t, liar.Oddity{Head: c.head})
					spec.Addr = s.Addr
				}
				if name == "an end" {
					spec.Addr = hangingUp(t)
				}
				f, opened := openThree(t, spec)
				r := f.sink.sample()
				if opened.Failed != 3 || len(r.Ends) != 1 || r.Ends[0].Side != c.side || r.Ends[0].Count != 3 || way != "ws gws" && !strings.Contains(r.Ends[0].Reason, c.says) {
					t.Errorf("%d failed: %+v; want 3 × %s: %s", opened.Failed, r.Ends, c.side, c.says)
				}
			})
		}
	}
}

// A server that accepts and says nothing is given up, and the reason is the time-out.
func TestMuteServersAreGivenUp(t *testing.T) {
	for _, way := range []string{"ws", "ws gws", "sse"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			spec := lieWays[way]
			spec.Addr, spec.Timeout = liar.StartOdd(t, liar.Oddity{Mute: true}).Addr, 500*time.Millisecond
			f, opened := openThree(t, spec)
			n := 0
			for _, e := range f.sink.sample().Ends {
				if n += e.Count; e.Side == SideServer {
					t.Errorf("%+v", e)
				}
			}
			if opened.Failed != 3 || n != 3 {
				t.Errorf("%d failed, %d with a reason", opened.Failed, n)
			}
		})
	}
	k := &epollKind{spec: &Spec{Timeout: time.Second}}
	for c, want := range map[*leanConn]End{
		{}:                            {SideUs, "opening took longer than 1s", 1},
		{fd: 9, state: leanConnect}:   {SideNetwork, "no TCP connection within 1s", 1},
		{fd: 9, state: leanRequest}:   {SideUs, "opening took longer than 1s: ended before the response to a preliminary request", 1},
		{fd: 9, state: leanSubscribe}: {SideUs, "opening took longer than 1s: ended before the response to the handshake", 1},
		{fd: 9, state: leanConfirm}:   {SideUs, "opening took longer than 1s: ended before the server confirmed the subscription", 1},
		{fd: 9, state: leanSubscribe, partial: []byte("HTTP/")}: {SideUs, "opening took longer than 1s: ended in the middle of a response or message", 1},
	} {
		if got := endOf(k.late(c)); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// The reasons of all workers are one list.
func TestEndsOfAllWorkersAreOneList(t *testing.T) {
	var refused, ended Received
	refused.Latency, ended.Latency, refused.Waits, ended.Waits = NewLatency(), NewLatency(), NewLatency(), NewLatency()
	refused.Ends = []End{{SideServer, "status 403", 2}}
	ended.Ends = []End{{SideServer, "connection closed (FIN)", 1}, {SideServer, "status 403", 1}}
	if err := refused.add(&ended); err != nil || fmt.Sprint(refused.Ends) != "[{server status 403 3} {server connection closed (FIN) 1}]" {
		t.Errorf("%v, %v", refused.Ends, err)
	}
}

// hangingUp is a server that reads a request and ends the connection.
func hangingUp(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with l
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // the whole request
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}
