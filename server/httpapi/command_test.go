package httpapi_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/session"
	"peal/server/wsproto"
)

// fakeClient is a WebSocket of which the test knows what the front did to it.
type fakeClient struct {
	spent      int
	owed       int // late replies
	held       int
	leaving    bool
	commands   bool
	publishTo  string
	channels   []string
	subscribed []*loop.Subscription
	position   uint64
	behind     bool
	asking     bool
	closed     uint16 // code of Close
	deadline   time.Duration
	written    []byte
	peer       netip.AddrPort
}

func (c *fakeClient) Ref() loop.Ref        { return loop.Ref{Slot: 7, Generation: 1} }
func (c *fakeClient) Session() uint64      { return 7 }
func (c *fakeClient) Peer() netip.AddrPort { return c.peer }
func (c *fakeClient) Dialect() ring.Encoding {
	if c.commands {
		return dialect.V1
	}
	return dialect.WSRaw
}
func (c *fakeClient) PublishTo() string              { return c.publishTo }
func (c *fakeClient) Channels(dst []string) []string { return append(dst, c.channels...) }
func (c *fakeClient) Position() (uint64, bool)       { return c.position, !c.behind }
func (c *fakeClient) Write(b []byte)                 { c.written = append(c.written, b...) }
func (c *fakeClient) Spend(units int)                { c.spent += units }
func (c *fakeClient) Owe()                           { c.owed++ }
func (c *fakeClient) SetDeadline(d time.Duration)    { c.deadline = d }
func (c *fakeClient) Unowe()                         { c.owed-- }
func (c *fakeClient) Close(code uint16, _ string)    { c.closed = code }
func (c *fakeClient) Hold()                          { c.held++ }
func (c *fakeClient) Release()                       { c.held-- }
func (c *fakeClient) Leaving() bool                  { return c.leaving }
func (c *fakeClient) Unask()                         { c.asking = false }
func (c *fakeClient) Ask() bool                      { was := c.asking; c.asking = true; return !was }
func (c *fakeClient) Unsubscribe(channels []string) {
	c.channels = slices.DeleteFunc(c.channels, func(n string) bool { return slices.Contains(channels, n) })
}
func (c *fakeClient) Subscribe(s *loop.Subscription) uint64 {
	c.subscribed = append(c.subscribed, s)
	c.channels = append(c.channels, s.Channels...)
	slices.Sort(c.channels)
	switch s.From {
	case fanout.After:
		return s.Sequence
	case fanout.Foreign: // as the loop does
		for _, name := range s.Channels {
			c.Write(wsproto.AppendGap(nil, ring.Gap{Channel: name, To: 5, Foreign: true}, lineage))
		}
	}
	return 5
}

// frames are the payloads of the text frames in b, all shorter than 64 KiB.
func frames(t *testing.T, b []byte) (payloads []string) {
	t.Helper()
	for len(b) > 0 {
		n, at := int(b[1]), 2
		if n == 126 {
			n, at = int(b[2])<<8|int(b[3]), 4
		}
		if b[0] != 0x81 || n > 65535 || at+n > len(b) {
			t.Fatalf("not whole text frames: %q", b)
		}
		payloads = append(payloads, string(b[at:at+n]))
		b = b[at+n:]
	}
	return payloads
}

// say sends one command and returns what was written.
func say(t *testing.T, h *harness, c *fakeClient, command string) string {
	t.Helper()
	c.written = nil
	if code, reason := h.front.Message(c, false, []byte(command)); code != 0 {
		t.Errorf("%s: closed with %d %s", command, code, reason)
	}
	all := frames(t, c.written)
	for _, f := range all {
		if !json.Valid([]byte(f)) {
			t.Errorf("%s: answered %q", command, f)
		}
	}
	return strings.Join(all, "\n")
}

func TestCommandsAreAnsweredWithTheirID(t *testing.T) {
	h := newHarness(t)
	h.log.head = 7
	c := &fakeClient{commands: true, position: 4}
	check := func(command, want string) {
		t.Helper()
		if got := say(t, h, c, command); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", command, got, want)
		}
	}
	check(`{"id":1,"command":"subscribe","channel":"a"}`, `{"id":1,"ok":true,"cursor":"z-5"}`)
	check(`{"id":"x\n","command":"subscribe","channel":["b","c"],"cursor":"z-2"}`, `{"id":"x\n","ok":true,"cursor":"z-2"}`)
	if s := c.subscribed[1]; describe(s) != "ws-json b,c from cursor 2" || !s.Commands {
		t.Errorf("subscribed %s", describe(s))
	}
	check(`{"id":2,"command":"subscribe","channel":"d","last":3}`, `{"id":2,"ok":true,"cursor":"z-5"}`)
	check(`{"id":3,"command":"unsubscribe","channel":["a","x"]}`, `{"id":3,"ok":true,"cursor":"z-4"}`)
	if got := strings.Join(c.channels, ","); got != "b,c,d" {
		t.Errorf("channels %s", got)
	}
	check(`{"id":-4.5,"command":"ping"}`, `{"id":-4.5,"ok":true,"cursor":"z-4"}`)
	c.behind = true // the cursor would promise what has not come
	check(`{"id":5,"command":"ping"}`, `{"id":5,"ok":true}`)
	check(`{"id":6,"command":"publish","channel":"a","data":"hi","event":"e"}`, `{"id":6,"ok":true,"cursor":"z-8"}`)
	check(`{"id":7,"command":"publish","data":{"x": 1}}`, `{"id":7,"ok":true,"cursor":"z-9"}`)
	check(`{"id":8,"command":"publish","channel":["a","b"],"data_base64":"/w=="}`, `{"id":8,"ok":true,"cursor":"z-11"}`)
	want := "a: \"hi\" event=e\nmain: \"{\\\"x\\\":1}\"\na: \"\\xff\" binary\nb: \"\\xff\" binary"
	if got := h.log.take(); got != want {
		t.Errorf("published\n%s\nwant\n%s", got, want)
	}
}

func TestCommandErrorsSayWhatToChange(t *testing.T) {
	h := newHarness(t)
	c := &fakeClient{commands: true}
	check := func(command, id, code string) {
		t.Helper()
		var answer struct {
			ID    json.RawMessage
			Error struct{ Code, Message string }
		}
		got := say(t, h, c, command)
		if err := json.Unmarshal([]byte(got), &answer); err != nil || string(answer.ID) != id || answer.Error.Code != code || answer.Error.Message == "" {
			t.Errorf("%.80s\ngot %s, want id %s and code %s", command, got, id, code)
		}
	}
	check(`not json`, "null", "bad_json")
	check(`[1]`, "null", "bad_json")
	check(`null`, "null", "bad_json")
	check(`{}`, "null", "bad_id")
	check(`{"id":null,"command":"ping"}`, "null", "bad_id")
	check(`{"id":{},"command":"ping"}`, "null", "bad_id")
	check(`{"id":"`+strings.Repeat("x", 70)+`","command":"ping"}`, "null", "bad_id")
	check(`{"id":1}`, "1", "unknown_command")
	check(`{"id":1,"command":7}`, "1", "unknown_command")
	check(`{"id":1,"command":"sub"}`, "1", "unknown_command")
	check(`{"id":1,"command":"ping","channel":"a"}`, "1", "unknown_field")
	check(`{"id":1,"command":"subscribe","chanel":"a"}`, "1", "unknown_field")
	check(`{"id":1,"command":"subscribe","channel":7}`, "1", "bad_channel")
	check(`{"id":1,"command":"subscribe","channel":"$x"}`, "1", "reserved_channel")
	check(`{"id":1,"command":"subscribe","channel":"a","cursor":7}`, "1", "bad_field")
	check(`{"id":1,"command":"subscribe","channel":"a","last":-1}`, "1", "bad_last")
	check(`{"id":1,"command":"publish","channel":"a"}`, "1", "no_data")
	check(`{"id":1,"command":"publish","data":"`+strings.Repeat("x", 70_000)+`"}`, "1", "message_too_large")
	check(`{"id":1,"command":"publish","data":"x","event":"gap"}`, "1", "bad_event")
	check(`{"id":1,"command":"history","channel":["a","b"]}`, "1", "bad_channel")
	check(`{"id":1,"command":"history","channel":"a","limit":0}`, "1", "bad_limit")
	var many strings.Builder
	for i := range 129 {
		many.WriteString(`,"c` + strings.Repeat("x", i) + `"`)
	}
	check(`{"id":1,"command":"subscribe","channel":[`+many.String()[1:]+`]}`, "1", "too_many_channels")
	c.channels = []string{"a"}
	check(`{"id":1,"command":"subscribe","channel":["a","b"]}`, "1", "already_subscribed")
	if len(c.subscribed) > 0 {
		t.Errorf("subscribed all the same: %v", c.subscribed)
	}
	h.log.full = true
	check(`{"id":1,"command":"publish","data":"x"}`, "1", "overloaded")
	if code, _ := h.front.Message(c, true, []byte(`{"id":1,"command":"ping"}`)); code != 0 || !strings.Contains(string(c.written), "bad_command") {
		t.Errorf("a binary frame: %d %q", code, c.written)
	}
}

func TestAForeignCursorIsAGapBeforeTheReply(t *testing.T) {
	h := newHarness(t)
	c := &fakeClient{commands: true}
	got := say(t, h, c, `{"id":1,"command":"subscribe","channel":["a","b"],"cursor":"other-7"}`)
	want := `{"gap":[{"channel":"a","to":"z-5","reason":"unknown_cursor"}]}
{"gap":[{"channel":"b","to":"z-5","reason":"unknown_cursor"}]}
{"id":1,"ok":true,"cursor":"z-5"}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOpenGreetsAndSubscribesToWhatTheURLNames(t *testing.T) {
	h := newHarness(t)
	c := &fakeClient{commands: true}
	h.log.head = 7
	mine := session.ID{15: 4}
	h.front.Open(c, &loop.Subscription{Commands: true})
	h.front.Open(c, &loop.Subscription{Commands: true, Subscription: fanout.Subscription{Channels: []string{"a"}, From: fanout.After, Sequence: 3}})
	h.front.Open(c, &loop.Subscription{Commands: true, Adopt: (*[16]byte)(&mine), Subscription: fanout.Subscription{Channels: []string{"b"}, From: fanout.Foreign}})
	got := strings.Join(frames(t, c.written), "\n")
	own := ids.Of(c.Session()).String()
	want := `{"connected":{"cursor":"z-7","session":"` + own + `","max_channels":128,"message_bytes":65536}}
{"connected":{"cursor":"z-3","session":"` + own + `","max_channels":128,"message_bytes":65536}}
{"connected":{"session":"AAAAAAAAAAAAAAAAAAAABA","max_channels":128,"message_bytes":65536}}
{"gap":[{"channel":"b","to":"z-5","reason":"unknown_cursor"}]}`
	if got != want || strings.Join(c.channels, ",") != "a,b" {
		t.Errorf("got\n%s\nwant\n%s; channels %v", got, want, c.channels)
	}
}

func TestHistoryComesFromAWorkerOneAtATime(t *testing.T) {
	h := newHarness(t)
	c := &fakeClient{commands: true}
	if got := say(t, h, c, `{"id":1,"command":"history","channel":"a","limit":2}`); got != "" {
		t.Errorf("answered at once: %s", got)
	}
	if got := say(t, h, c, `{"id":2,"command":"history","channel":"a"}`); !strings.Contains(got, `"code":"busy"`) {
		t.Errorf("a second one: %s", got)
	}
	got := frames(t, h.door.wait(t))[0] // the door knows whom it is for
	if n := h.door.asked.Load(); n != 1 {
		t.Errorf("%d answers make room for the next history, want 1", n)
	}
	if !strings.HasPrefix(got, `{"id":1,"ok":true,"channel":"a","cursor":"z-`) || !strings.HasSuffix(got, `}`) || !json.Valid([]byte(got)) {
		t.Errorf("%s", got)
	}
}

// The answer of a slow log must not make room for another history.
func TestALatePublishReplyIsNotTheAnswerOfAHistory(t *testing.T) {
	h := newHarness(t)
	h.log.slow = true
	c := &fakeClient{commands: true}
	if got := say(t, h, c, `{"id":1,"command":"publish","data":"x"}`); got != "" {
		t.Errorf("answered before the log: %s", got)
	}
	h.log.release()
	if got := frames(t, h.door.wait(t))[0]; !strings.HasPrefix(got, `{"id":1,"ok":true`) || h.door.asked.Load() != 0 {
		t.Errorf("%s, as asked: %d", got, h.door.asked.Load())
	}
}

func TestPublishingByCommandMakesLittleGarbage(t *testing.T) {
	h := newHarness(t)
	h.log.discard = true
	c, command := &fakeClient{commands: true}, []byte(`{"id":1,"command":"publish","channel":"news","data":"hello"}`)
	if n := testing.AllocsPerRun(200, func() {
		c.written = c.written[:0]
		h.front.Message(c, false, command)
	}); n > 2 { // the entry and its data: they live on in the log
		t.Errorf("%v allocations, want 2", n)
	}
}
