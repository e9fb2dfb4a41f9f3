package httpapi_test

import (
	"strings"
	"testing"

	"peal/loop"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/rules"
)

// withRules returns a harness of which the Front knows these rules.
func (h *harness) withRules(list ...rules.Rule) *harness {
	other := *h
	table := rules.New(list, rules.Rule{MessageBytes: 1000})
	other.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Rules: table, MessageLimit: 1000})
	return &other
}

func TestMessagesLargerThanTheirChannelAllows(t *testing.T) {
	h := newHarness(t).withRules(rules.Rule{Match: "chat.*", MessageBytes: 10}, rules.Rule{Match: "main", MessageBytes: 20})
	check := func(status int, target string, bytes int, headers ...string) {
		t.Helper()
		resp, answer := h.answer(post(target, strings.Repeat("x", bytes), headers...))
		published := h.log.take() != ""
		if resp.StatusCode != status || published != (status == 200) {
			t.Errorf("%s with %d bytes: %d %s, want %d; published %v", target, bytes, resp.StatusCode, answer, status, published)
		}
		if status == 413 && !strings.Contains(answer, `"message_too_large"`) {
			t.Errorf("%s with %d bytes: %s", target, bytes, answer)
		}
	}
	check(200, "/publish?channel=chat.a", 10)
	check(413, "/publish?channel=chat.a", 11)
	check(413, "/publish?channel=other&channel=chat.a", 11)
	check(200, "/publish?channel=other", 1000)
	check(200, "/publish", 20)
	check(413, "/publish", 21)
	_, answer := h.answer(post("/publish?channel=chat.a", strings.Repeat("x", 11)))
	if !strings.Contains(answer, "the data has 11 bytes, the limit here is 10 (message-bytes): publish a shorter message, or a link to the data (channel chat.a)") {
		t.Errorf("said %s", answer)
	}

	_, answer = h.answer(post("/publish/batch", `{"messages":[{"channel":"chat.b","data":"0123456789"},{"channel":["a","chat.b"],"data":"0123456789+"},{"channel":"a","data":"0123456789+"}]}`))
	if got := h.log.take(); got != "chat.b: \"0123456789\"\na: \"0123456789+\"" || strings.Count(answer, `"message_too_large"`) != 1 {
		t.Errorf("batch: %s, published %s", answer, got)
	}

	c := &fakeClient{publishTo: "chat.c"}
	if code, reason := h.front.Message(c, false, []byte("0123456789+")); code != 1009 || !strings.Contains(reason, "the limit here is 10") {
		t.Errorf("WebSocket: %d %s", code, reason)
	}
	if code, _ := h.front.Message(c, false, []byte("0123456789")); code != 0 || h.log.take() == "" {
		t.Errorf("WebSocket, as large as may be: %d", code)
	}
	v1 := &fakeClient{commands: true}
	if got := say(t, h, v1, `{"id":1,"command":"publish","channel":"chat.d","data":"0123456789+"}`); !strings.Contains(got, `"message_too_large"`) || h.log.take() != "" {
		t.Errorf("peal.v1: %s", got)
	}
}

func TestClientsPublishWhereTheyMay(t *testing.T) {
	h := newHarness(t).withRules(rules.Rule{Match: "prices.*", ClientPublish: rules.No})
	if code, reason := h.front.Message(&fakeClient{publishTo: "prices.eur"}, false, []byte("x")); code != 4403 || !strings.Contains(reason, "backend") {
		t.Errorf("closed with %d %s", code, reason)
	}
	v1 := &fakeClient{commands: true}
	for _, channel := range []string{`"prices.eur"`, `["a","prices.eur"]`} {
		if got := say(t, h, v1, `{"id":1,"command":"publish","channel":`+channel+`,"data":"x"}`); !strings.Contains(got, `"publish_not_allowed"`) {
			t.Errorf("peal.v1 on %s: %s", channel, got)
		}
	}
	if got := h.log.take(); got != "" {
		t.Errorf("published %s", got)
	}
	if code, _ := h.front.Message(&fakeClient{publishTo: "other"}, false, []byte("x")); code != 0 {
		t.Errorf("elsewhere: closed with %d", code)
	}
	if resp, answer := h.answer(post("/publish?channel=prices.eur", "x")); resp.StatusCode != 200 {
		t.Errorf("the backend: %d %s", resp.StatusCode, answer)
	}
}

func TestChannelsHaveAsManySubscribersAsTheirRuleAllows(t *testing.T) {
	h := newHarness(t).withRules(rules.Rule{Match: "room.*", MaxSubscribers: 2})
	h.hub.infos = []hub.Info{{Name: "room.full", Subscribers: 2}, {Name: "room.free", Subscribers: 1}, {Name: "other", Subscribers: 1000}}
	for _, target := range []string{"?channel=room.free", "?channel=room.new", "?channel=other", ""} {
		if c := h.call(get("/poll" + target)); c.Verdict != loop.Park {
			t.Errorf("poll %s: verdict %d %s", target, c.Verdict, c.Out)
		}
		if c := h.call(get("/sse" + target)); c.Verdict != loop.Stream {
			t.Errorf("SSE %s: verdict %d %s", target, c.Verdict, c.Out)
		}
		if c := h.call(upgrade("/ws"+target, version13)); c.Verdict != loop.Stream {
			t.Errorf("WebSocket %s: verdict %d %s", target, c.Verdict, c.Out)
		}
	}
	const full = "?channel=other&channel=room.full"
	if resp, answer := h.answer(get("/poll" + full)); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(answer, `"channel_full"`) {
		t.Errorf("poll: %d %v %s", resp.StatusCode, resp.Header, answer)
	}
	// EventSource gives up for good at any status but 200.
	c := h.call(get("/sse" + full))
	if _, body, _ := strings.Cut(string(c.Out), "\r\n\r\n"); c.Verdict != loop.ReplyClose || !strings.HasPrefix(string(c.Out), "HTTP/1.1 200 OK") || !strings.HasPrefix(body, "retry: ") {
		t.Errorf("SSE: verdict %d %q", c.Verdict, c.Out)
	}
	if c := h.call("HEAD /sse" + full + " HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.HasSuffix(string(c.Out), "\r\n\r\n") {
		t.Errorf("HEAD of SSE has a body: %q", c.Out)
	}
	c = h.call(upgrade("/ws"+full, version13))
	if _, frame, _ := strings.Cut(string(c.Out), "\r\n\r\n"); c.Verdict != loop.ReplyClose || !strings.HasPrefix(frame[2:], "\x03\xf5channel_full: ") { // 1013
		t.Errorf("WebSocket: verdict %d %q", c.Verdict, c.Out)
	}
	v1 := &fakeClient{commands: true}
	if got := say(t, h, v1, `{"id":1,"command":"subscribe","channel":["other","room.full"]}`); !strings.Contains(got, `"channel_full"`) || len(v1.subscribed) > 0 {
		t.Errorf("peal.v1: %s", got)
	}
}

func TestRulesCostHotRequestsNothing(t *testing.T) {
	h := newHarness(t).withRules(rules.Rule{Match: "n*", MessageBytes: 100, MaxSubscribers: 10}, rules.Rule{Match: "x"})
	h.log.discard = true
	for in, want := range map[string]float64{benchPublish: 2, benchPoll: 1} { // as without rules
		call := loopCall(in)
		call(h.front)
		if n := testing.AllocsPerRun(200, func() { call(h.front) }); n > want {
			t.Errorf("%.12s: %v allocations, want %v", in, n, want)
		}
	}
	c, payload := &fakeClient{publishTo: "news"}, []byte("x")
	if n := testing.AllocsPerRun(200, func() { h.front.Message(c, false, payload) }); n > 3 { // the entry, its data, the batch
		t.Errorf("WebSocket message: %v allocations", n)
	}
}
