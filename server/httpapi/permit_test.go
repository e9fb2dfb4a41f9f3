package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server/ban"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/presence"
	"peal/server/rules"
)

// asked is what a client asks for, however it asks.
type asked struct {
	channels []string
	draining bool

	cursor, last, limit string
	client, info        string
	presence            bool

	data, event, key string
	exclude          string
	rule             string // of the channel to publish on
}

// mistake is one thing that is wrong with what is asked, in the order of
// permit.Gate.Decide; what is wrong with the form comes first.
type mistake struct {
	code   string
	of     string // what it is about: of each thing one mistake is made at a time
	make   func(a *asked)
	not    []string // transports on which it cannot be made
	inForm bool
}

// transport asks on one transport.
type transport struct {
	name string
	ask  func(a *asked)
}

// court is a Front on which everything can go wrong.
type court struct {
	*harness
	refused map[string]uint64
	message string // of the last refusal, "" where its transport has none
}

func newCourt(t *testing.T) *court {
	h := newHarness(t)
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	bans := ban.New(10, 10, clock)
	bans.Ban(1, []string{"evil"}, time.Hour)
	h.hub.infos = []hub.Info{{Name: "full", Subscribers: 1}}
	h.front = httpapi.New(httpapi.Deps{
		Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Bans: bans,
		Presence: presence.New(presence.Config{Bytes: 1}, func(string) bool { return true }, clock),
		Rules: rules.New([]rules.Rule{
			{Match: "full", MaxSubscribers: 1, Presence: rules.No},
			{Match: "quiet", Presence: rules.No},
			{Match: "backend.small", ClientPublish: rules.No, MessageBytes: 100},
			{Match: "backend.", ClientPublish: rules.No},
			{Match: ".small", MessageBytes: 100},
		}, rules.Rule{}),
		MessageLimit: 1000, WireLimit: 3000, Limits: httpapi.Limits{ChannelLimit: 4},
	})
	return &court{harness: h}
}

// verdict is the code and the message with which what f asks is refused.
func (c *court) verdict(t *testing.T, f func()) (code, message string) {
	t.Helper()
	before := c.stats().Refusals
	c.message = ""
	f()
	for counted, n := range c.stats().Refusals {
		for range n - before[counted] {
			if c.refused[counted]++; code != "" {
				t.Errorf("refused twice: %s and %s", code, counted)
			}
			code = counted
		}
	}
	if published := c.log.take(); published != "" && code != "" {
		t.Errorf("published %s, and refused with %q", published, code)
	}
	return code, c.message
}

// http asks over HTTP and keeps the message of the error.
func (c *court) http(in string, draining bool) {
	call := &loop.Call{In: []byte(in), Conn: loop.Ref{Slot: 7, Generation: 1}, Draining: draining}
	c.front.Request(call)
	out := call.Out
	if call.Verdict == loop.Later {
		out = c.door.wait(c.t)
	}
	c.message = messageIn(string(out))
}

// command asks by a command of peal.v1.
func (c *court) command(fields map[string]any) {
	fields["id"] = 1
	text, err := json.Marshal(fields)
	if err != nil {
		c.t.Fatal(err)
	}
	client := &fakeClient{commands: true}
	c.front.Message(client, false, text)
	out := client.written
	if client.asking {
		out = c.door.wait(c.t)
	}
	c.message = messageIn(string(out))
}

// messageIn is the message of an error in a response, a reply, or a close.
func messageIn(out string) string {
	if _, rest, ok := strings.Cut(out, `"message":"`); ok {
		message, _, _ := strings.Cut(rest, `"}`)
		return message
	}
	if _, close, ok := strings.Cut(out, "Sec-WebSocket-Accept"); ok {
		_, message, _ := strings.Cut(close[strings.Index(close, "\r\n\r\n"):], ": ")
		return message
	}
	return ""
}

func (a *asked) query() string {
	q := url.Values{"channel": a.channels}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("cursor", a.cursor)
	set("last", a.last)
	set("limit", a.limit)
	set("client", a.client)
	set("info", a.info)
	set("event", a.event)
	set("idempotency_key", a.key)
	set("exclude", a.exclude)
	if a.presence {
		q.Set("presence", "1")
	}
	return "?" + q.Encode()
}

// fields are those of a command or a message in JSON.
func (a *asked) fields(command string) map[string]any {
	f := map[string]any{"channel": a.channels}
	set := func(name, value string) {
		if value != "" {
			f[name] = value
		}
	}
	if command != "" {
		f["command"] = command
	}
	if a.last != "" {
		f["last"] = json.RawMessage(a.last)
	}
	if a.limit != "" {
		f["limit"] = json.RawMessage(a.limit)
	}
	set("cursor", a.cursor)
	set("client", a.client)
	set("info", a.info)
	set("event", a.event)
	set("idempotency_key", a.key)
	set("exclude", a.exclude)
	set("data", a.data)
	if a.presence {
		f["presence"] = true
	}
	return f
}

// What is wrong with the channels of any request.
var channelMistakes = []mistake{
	{code: "bad_channel", of: "channel", make: func(a *asked) { a.channels = []string{"a\x00"} }, inForm: true},
	{code: "reserved_channel", of: "channel", make: func(a *asked) { a.channels = []string{"$a"} }, inForm: true},
}

// The same fault has the same error on every transport, and of two faults the same
// one is reported.
func TestVerdictsAreTheSameOnEveryTransport(t *testing.T) {
	c := newCourt(t)
	c.refused = map[string]uint64{}
	subscribing := []transport{
		{"WebSocket", func(a *asked) { c.http(upgrade("/ws"+a.query()+"&format=json", version13), a.draining) }},
		{"event stream", func(a *asked) { c.http(get("/sse"+a.query()), a.draining) }},
		{"poll", func(a *asked) { c.http(get("/poll"+a.query()), a.draining) }},
		{"peal.v1", func(a *asked) { c.command(a.fields("subscribe")) }},
	}
	publishing := []transport{
		{"HTTP", func(a *asked) { c.http(post("/publish"+a.query(), a.data), false) }},
		{"batch", func(a *asked) {
			message, err := json.Marshal(a.fields(""))
			if err != nil {
				t.Fatal(err)
			}
			c.http(post("/publish/batch", `{"messages":[`+string(message)+`]}`), false)
		}},
		{"peal.v1", func(a *asked) { c.command(a.fields("publish")) }},
		{"raw", func(a *asked) {
			_, c.message = c.front.Message(&fakeClient{publishTo: a.channels[0]}, false, []byte(a.data))
		}},
	}
	looking := func(what string) []transport {
		return []transport{
			{"HTTP", func(a *asked) {
				target := "/channels/" + url.PathEscape(a.channels[0]) + "/" + what
				c.http(get(target+strings.Replace(a.query(), "channel=", "_=", 1)), false)
			}},
			{"peal.v1", func(a *asked) { c.command(a.fields(what)) }},
		}
	}
	add := func(channel string) func(a *asked) {
		return func(a *asked) {
			a.channels = append(slices.DeleteFunc(a.channels, func(c string) bool { return c == "a" }), channel)
		}
	}
	start := []mistake{
		{code: "bad_last", of: "start", make: func(a *asked) { a.last = "-1" }, inForm: true},
		{code: "contradiction", of: "start", make: func(a *asked) { a.last, a.cursor = "1", "z-1" }, inForm: true},
	}
	limit := mistake{code: "bad_limit", of: "limit", make: func(a *asked) { a.limit = "0" }, inForm: true}

	for _, action := range []struct {
		name       string
		transports []transport
		mistakes   []mistake
	}{
		{"subscribe", subscribing, slices.Concat(channelMistakes, start, []mistake{
			{code: "too_many_channels", of: "channel", make: func(a *asked) { a.channels = []string{"a", "b", "c", "d", "e"} }, inForm: true},
			{code: "bad_client", of: "client", make: func(a *asked) { a.client = strings.Repeat("x", 201) }, inForm: true},
			{code: "bad_info", of: "info", make: func(a *asked) { a.info = strings.Repeat("x", 1025) }, inForm: true},
			{code: "disconnected", of: "client", make: func(a *asked) { a.client = "evil" }},
			{code: "presence_off", of: "presence", make: func(a *asked) { add("quiet")(a); a.presence = true }},
			{code: "draining", of: "draining", make: func(a *asked) { a.draining = true }, not: []string{"peal.v1"}},
			{code: "channel_full", of: "channel", make: add("full")},
			{code: "presence_full", of: "presence", make: func(a *asked) { a.channels = append(a.channels, "loud"); a.presence = true }},
		})},
		{"publish", publishing, slices.Concat([]mistake{
			{code: "bad_channel", of: "channel", make: func(a *asked) { a.channels = []string{"a\x00"} }, not: []string{"raw"}, inForm: true},
			{code: "reserved_channel", of: "channel", make: func(a *asked) { a.channels = []string{"$a"} }, not: []string{"raw"}, inForm: true},
			{code: "too_many_channels", of: "channel", make: func(a *asked) { a.channels = []string{"a", "b", "c", "d", "e"} }, not: []string{"raw"}, inForm: true},
			{code: "bad_event", of: "event", make: func(a *asked) { a.event = "gap" }, not: []string{"raw"}, inForm: true},
			{code: "bad_idempotency_key", of: "key", make: func(a *asked) { a.key = strings.Repeat("x", 201) }, not: []string{"raw"}, inForm: true},
			{code: "bad_exclude", of: "exclude", make: func(a *asked) { a.exclude = "7" }, not: []string{"raw"}, inForm: true},
			{code: "publish_not_allowed", of: "rule", make: func(a *asked) { a.rule = "backend." + a.rule }, not: []string{"HTTP", "batch"}},
			{code: "message_too_large", of: "data", make: func(a *asked) { a.data = strings.Repeat("x", 1001) }, not: []string{"HTTP"}}, // there the body is
			{code: "message_too_large", of: "limit", make: func(a *asked) {
				a.rule += ".small"
				a.data += strings.Repeat("x", 101)
			}},
			{code: "message_too_large", of: "data", make: func(a *asked) { a.data = strings.Repeat("\x01", 900) }},
		})},
		{"history", looking("history"), slices.Concat(channelMistakes, start, []mistake{limit})},
		{"presence", looking("presence"), slices.Concat(channelMistakes, []mistake{
			limit,
			{code: "presence_off", of: "channel", make: func(a *asked) { a.channels = []string{"quiet"} }},
		})},
	} {
		verdicts := func(what, code string, mistakes ...mistake) {
			t.Helper()
			said, by := "", ""
			for _, on := range action.transports {
				if slices.ContainsFunc(mistakes, func(m mistake) bool { return slices.Contains(m.not, on.name) }) {
					continue
				}
				a := &asked{channels: []string{"a"}}
				if action.name == "publish" {
					a.data = "x"
				}
				for _, m := range mistakes {
					m.make(a)
				}
				if a.rule != "" {
					a.channels = append([]string{strings.ReplaceAll(a.rule, "..", ".")}, a.channels...)
				}
				got, message := c.verdict(t, func() { on.ask(a) })
				if got != code {
					t.Errorf("%s, %s, %s: %q, want %q", action.name, on.name, what, got, code)
				}
				short := min(len(message), len(said), 60) // of a close there is the beginning
				if message[:short] != said[:short] {
					t.Errorf("%s, %s: %s says %q, %s says %q", action.name, what, on.name, message, by, said)
				}
				if len(message) > len(said) {
					said, by = message, on.name
				}
			}
		}
		verdicts("nothing", "")
		for i, first := range action.mistakes {
			verdicts(first.code, first.code, first)
			for _, second := range action.mistakes[i+1:] {
				if first.of == second.of || first.inForm && second.inForm {
					continue // of two such the one that is read first is reported
				}
				verdicts(fmt.Sprintf("%s and %s", first.code, second.code), first.code, first, second)
			}
		}
	}
	if len(c.refused) < 14 {
		t.Errorf("only these were refused: %v", c.refused)
	}
}
