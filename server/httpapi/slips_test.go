package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/loop"
)

const asJSON = "Content-Type: application/json\r\n"

// refused is the code of the refusal that a request gets on whatever transport,
// "" if it is none.
func refused(t *testing.T, h *harness, in string) (code, sentence string) {
	t.Helper()
	c := h.call(in)
	out := c.Out
	if c.Verdict == loop.Later {
		out = h.door.wait(t)
	}
	if _, closing, ok := strings.Cut(string(out), "\r\n\r\n\x88"); ok { // the close frame behind the 101
		code, sentence, _ = strings.Cut(closing[3:], ": ")
		return code, sentence
	}
	if _, code, ok := strings.Cut(string(out), `{"code":"`); ok {
		code, sentence, _ = strings.Cut(code, `","message":"`)
		return code, sentence
	}
	return "", ""
}

// The default channel is for who says nothing else: whatever is misspelt, empty or
// unknown must not end there.
func TestMainIsForRequestsWithoutAnythingUnknown(t *testing.T) {
	check := func(code, meant, in string) {
		t.Helper()
		h := newHarness(t)
		got, sentence := refused(t, h, in)
		if published := h.log.take(); got != code || published != "" || !strings.Contains(sentence, meant) {
			t.Errorf("%q: %s %s, published %s; want %s that says %s", in, got, sentence, published, code, meant)
		}
	}
	websocket := func(target string) string { return upgrade(target, version13) }
	for _, query := range []struct{ text, code, meant string }{
		{"chanel=a", "unknown_parameter", "did you mean channel?"},
		{"Channel=a", "unknown_parameter", "did you mean channel?"},
		{"channels=a", "unknown_parameter", "did you mean channel?"},
		{"channel[x]=a", "unknown_parameter", "did you mean channel?"},
		{"topic=a", "unknown_parameter", "topic"},
		{"a", "unknown_parameter", "a"},
		{"=a", "unknown_parameter", "is an unknown parameter"},
		{"utm_source=x&topic=a", "unknown_parameter", "utm_source"},
		{"utm_source=x&chanel=a", "unknown_parameter", "did you mean channel?"},
		{"channel=", "bad_channel", "1 to 200"},
		{"channel[]=", "bad_channel", "1 to 200"},
		{"channel=a&channel=", "bad_channel", "1 to 200"},
	} {
		for _, path := range []string{"/sse?", "/poll?"} {
			check(query.code, query.meant, get(path+query.text))
		}
		for _, path := range []string{"/?", "/ws?"} {
			check(query.code, query.meant, websocket(path+query.text))
		}
		check(query.code, query.meant, post("/publish?"+query.text, "x"))
		check(query.code, query.meant, post("/publish?"+query.text, `{"data":"x"}`, asJSON))
		check(query.code, query.meant, post("/publish?"+query.text, "data=x", formType))
	}
	check("unknown_parameter", "event", get("/poll?event=goal")) // of another route
	var many strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&many, "x%d&", i)
	}
	check("unknown_parameter", "x0", get("/poll?"+many.String()+"chanel=a")) // only the first are compared with ours
	check("unknown_parameter", "last", post("/publish?last=3", "x"))
	check("unknown_parameter", "data", post("/publish?data=hi", ""))
	check("unknown_parameter", "did you mean channel?", upgrade("/ws?chanel=a", version13, "Sec-WebSocket-Protocol: peal.v1\r\n"))

	for _, body := range []struct{ text, code, meant string }{
		{`{"channel":[],"data":"x"}`, "bad_channel", "at least one"},
		{`{"channel":"","data":"x"}`, "bad_channel", "1 to 200"},
		{`{"channel":null,"data":"x"}`, "bad_channel", "1 to 200"},
		{`{"channel":7,"data":"x"}`, "bad_channel", "1 to 200"},
		{`{"channel":{},"data":"x"}`, "bad_channel", "1 to 200"},
		{`{"channel":["a",null],"data":"x"}`, "bad_channel", "1 to 200"},
		{`{"channel":["a",""],"data":"x"}`, "bad_channel", "1 to 200"},
		{`{"channels":["a"],"data":"x"}`, "bad_channel", "channel"},
		{`{"chanel":"a","data":"x"}`, "unknown_field", "did you mean channel?"},
		{`{"Channel":"a","data":"x"}`, "unknown_field", "did you mean channel?"},
		{`{"topic":"a","data":"x"}`, "unknown_field", "topic"},
		{`{"channel":"a","Data":"x"}`, "no_data", "data"},
		{`{"channel":"a"}`, "no_data", "data"},
		{`{"event":"a"}`, "no_data", "data"},
		{`{}`, "no_data", "data"},
	} {
		check(body.code, body.meant, post("/publish", body.text, asJSON))
		check(body.code, body.meant, post("/publish/batch", `{"messages":[`+body.text+`]}`))
	}
	for _, body := range []string{`["a"]`, `"a"`, `7`, `null`, ``} {
		check("bad_json", "", post("/publish", body, asJSON))
	}
	for _, text := range []string{
		`{"channel":"a","data":"x"}`, ` {"data":"x"}`, "\n{\"chanel\":\"a\"}", `{"messages":[]}`, `{"x":1,"channels":["a"]}`, `{"channel":"a","data":"x`,
		"\ufeff{\"channel\":\"a\",\"data\":\"x\"}", `[{"channel":"a","data":"x"}]`, "\ufeff [ {\"channel\":\"a\"",
	} {
		for _, media := range []string{"", formType, "Content-Type: text/plain\r\n", "Content-Type: application/octet-stream\r\n"} {
			check("bad_content_type", "application/json", post("/publish", text, media))
		}
	}
	for _, form := range []struct{ text, code string }{
		{"topic=a&data=x", "unknown_field"}, {"chanel=a&data=x", "unknown_field"}, {"data=x&private=on", "unknown_field"},
		{"channel=&data=x", "bad_channel"}, {"channel[]=&data=x", "bad_channel"},
		{"channel=a&message=x", "no_data"}, {"topic=a&message=x", "no_data"}, {"event=e", "no_data"}, {"user=1", "no_data"},
	} {
		check(form.code, "", post("/publish", form.text, formType))
	}
	part := "--B\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\na\r\n"
	check("unknown_field", "did you mean channel?", post("/publish", fmt.Sprintf(part+part+"--B--\r\n", "chanel", "data"), "Content-Type: multipart/form-data; boundary=B\r\n"))

	batch := `{"messages":[{"data":"x"}]}`
	check("unknown_parameter", "topic", post("/publish/batch?topic=a", batch))
	for _, target := range []string{"/publish/batch?channel=a", "/publish/batch?event=a", "/publish/batch?idempotency_key=a"} {
		check("bad_batch", "each message", post(target, batch))
	}
	check("bad_batch", "each message", post("/publish/batch", batch, "Idempotency-Key: k\r\n"))
	check("bad_batch", "no other field", post("/publish/batch", `{"channel":"a","messages":[{"data":"x"}]}`))
}

func TestUnknownParametersBesideAChannelAreIgnored(t *testing.T) {
	h := newHarness(t)
	for _, in := range []string{
		get("/poll?channel=a&chanel=b&utm_source=x"), get("/sse?token=x&channel=a"), upgrade("/ws?topic=b&channel=a", version13),
		get("/poll?_=1732395600"), get("/sse?t=NxY&padding=true"), get("/poll?timeout=3&format=json&client=c&info=i&last=2"), upgrade("/", version13),
	} {
		want := "main"
		if strings.Contains(in, "channel=a") {
			want = "a"
		}
		if c := h.call(in); c.Sub == nil || c.Sub.Channels[0] != want {
			t.Errorf("%q: %q", in, c.Out)
		}
	}
	for _, in := range []string{
		post("/publish?channel=a&topic=b", "x"), post("/publish", "channel=a&topic=b&data=x", formType),
		post("/publish", `{"topic":"b","channel":"a","data":"x"}`, asJSON), post("/publish?source=cron", `{"channel":"a","data":"x"}`, asJSON),
		post("/publish/batch?source=cron", `{"messages":[{"topic":"b","channel":"a","data":"x"}]}`),
	} {
		code, _ := refused(t, h, in)
		if got := h.log.take(); code != "" || got != `a: "x"` {
			t.Errorf("%q: %s, published %s", in, code, got)
		}
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	check := func(in string) {
		t.Helper()
		h := newHarness(t)
		if code, sentence := refused(t, h, in); code != "contradiction" || h.log.take() != "" {
			t.Errorf("%q: %s %s", in, code, sentence)
		}
	}
	check(get("/sse?cursor=z-7&last=5"))
	check(get("/poll?last=5&cursor=earliest"))
	check(get("/channels/a/history?last=5&cursor=z-1"))
	check(get("/channels/a/history?channel=b"))
	check(get("/channels/a?channel=b"))
	check(get("/channels/a/presence?channel=b"))
	check(upgrade("/ws?cursor=z-7&last=5", version13))
	check(get("/poll?client=ann&client=bob"))
	check(get("/poll?format=raw&format=json"))
	check(get("/poll?timeout=3&timeout=4"))
	check(get("/poll?last=3&last=4"))
	check(post("/publish?channel=a&event=e&event=f", "x"))
	check(post("/publish", `{"channel":"a","data":"x","data_base64":"eA=="}`, asJSON))
	check(post("/publish/batch", `{"messages":[{"channel":"a","data":"x","data_base64":"eA=="}]}`))
	check(post("/publish", "channel=a&data=x&data_base64=eA%3D%3D", formType))
	check(post("/publish", "channel=a&data=x&data=y", formType))
	check(post("/publish", "channel=a&data=x&idempotency_key=k&idempotency_key=l", formType))
	check(post("/publish?event=e", `{"channel":"a","data":"x","event":"f"}`, asJSON))
	check(post("/publish", `{"channel":"a","data":"x","idempotency_key":"k"}`, asJSON, "Idempotency-Key: l\r\n"))
	check(post("/publish?idempotency_key=k", `x`, "Idempotency-Key: l\r\n"))
	check(post("/publish?channel=a", `x`, "Idempotency-Key: k\r\n", "Idempotency-Key: l\r\n"))
	check(post("/publish?channel=a", "--B\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nb\r\n"+
		"--B\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nx\r\n--B--\r\n", "Content-Type: multipart/form-data; boundary=B\r\n"))
	check(post("/disconnect?client=ann&for=60", "for=70", formType))
	check(post("/disconnect?client=ann&for=60&for=70", ""))

	h := newHarness(t)
	c := &fakeClient{commands: true}
	for _, fields := range []string{
		`"command":"subscribe","channel":"a","cursor":"z-1","last":2`, `"command":"history","channel":"a","cursor":"z-1","last":2`,
		`"command":"publish","channel":"a","data":"x","data_base64":"eA=="`,
	} {
		if got := say(t, h, c, `{"id":1,`+fields+`}`); !strings.Contains(got, `"code":"contradiction"`) {
			t.Errorf("%s: %s", fields, got)
		}
	}
	if got := say(t, h, c, `{"id":1,"command":"subscribe","channel":[]}`); !strings.Contains(got, `"code":"bad_channel"`) || len(c.subscribed) > 0 {
		t.Errorf("no channels: %s", got)
	}
	// The same twice contradicts nothing, and what is empty says nothing.
	for _, in := range []string{
		get("/poll?channel=a&client=ann&client=ann&last=3&last="), get("/sse?channel=a&cursor=&last=3"),
		post("/publish?channel=a&event=e&idempotency_key=k", "x", "Idempotency-Key: k\r\n"),
		post("/publish?event=e", `{"channel":"a","data":null,"data_base64":"eA==","event":"e"}`, asJSON),
		post("/publish", `{"channel":"a","data":"x","data_base64":null,"event":null,"idempotency_key":null}`, asJSON),
	} {
		if code, sentence := refused(t, h, in); code != "" {
			t.Errorf("%q: %s %s", in, code, sentence)
		}
	}
}

// Header, then what polyfills append to the URL they were made with, then cursor; of
// several of a kind the last one that says something.
func TestWhatAClientHasComeToGoesBeforeItsURL(t *testing.T) {
	h := newHarness(t)
	h.log.head = 50
	for _, spelling := range []string{"lastEventId", "lastEventID", "last_event_id", "Last-Event-ID", "last-event-id"} {
		for _, c := range []struct{ query, header, want string }{
			{"cursor=earliest&" + spelling + "=z-7", "", "cursor 7"},
			{spelling + "=z-7&cursor=earliest", "", "cursor 7"},
			{spelling + "=z-5&cursor=z-9&" + spelling + "=z-7", "", "cursor 7"},
			{"lastEventId=z-5&" + spelling + "=z-7&" + spelling + "=", "", "cursor 7"},
			{spelling + "=&cursor=z-7", "", "cursor 7"},
			{"cursor=z-5&cursor=z-7&cursor=&" + spelling + "=", "", "cursor 7"},
			{spelling + "=nonsense&cursor=z-7", "", "gap"},
			{"cursor=z-5&" + spelling + "=z-6", "Last-Event-ID: z-7\r\n", "cursor 7"},
			{"cursor=z-5&" + spelling + "=z-7", "Last-Event-ID:\r\n", "cursor 7"},
			{spelling + "=z-7&last=3", "", "cursor 7"},
		} {
			for _, path := range []string{"/sse", "/poll", "/ws", "/"} {
				in := "GET " + path + "?channel=a&" + c.query + " HTTP/1.1\r\nHost: localhost\r\n" + c.header
				if path == "/ws" || path == "/" {
					in += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + version13
				}
				call := h.call(in + "\r\n")
				if call.Sub == nil || !strings.HasSuffix(describe(call.Sub), "from "+c.want) {
					t.Errorf("%s?%s %s: %v %q, want %s", path, c.query, c.header, call.Sub, call.Out, c.want)
				}
			}
			if strings.Contains(c.query, "nonsense") {
				continue
			}
			_, body := h.answer("GET /channels/a/history?" + c.query + " HTTP/1.1\r\nHost: localhost\r\n" + c.header + "\r\n")
			if want := `"gap":[{"channel":"a","from":"z-7"`; h.hub.messages == nil && strings.Contains(body, `"gap"`) && !strings.Contains(body, want) {
				t.Errorf("history?%s %s: %s", c.query, c.header, body)
			}
		}
	}
}

func TestIdempotencyKeysCountWhereverTheyAreSaid(t *testing.T) {
	multipart := "--B\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\na\r\n--B\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nx\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"idempotency_key\"\r\n\r\nk\r\n--B--\r\n"
	h := newHarness(t)
	for _, in := range []string{
		post("/publish?channel=a", "x", "Idempotency-Key: k\r\n"),
		post("/publish?channel=a&idempotency_key=k", "x"),
		post("/publish", "channel=a&data=x&idempotency_key=k", formType),
		post("/publish?idempotency_key=k", "channel=a&data=x", formType),
		post("/publish", multipart, "Content-Type: multipart/form-data; boundary=B\r\n"),
		post("/publish", `{"channel":"a","data":"x","idempotency_key":"k"}`, asJSON),
		post("/publish?idempotency_key=k", `{"channel":"a","data":"x"}`, asJSON),
		post("/publish/batch", `{"messages":[{"channel":"a","data":"x","idempotency_key":"k"}]}`),
	} {
		code, sentence := refused(t, h, in)
		if got := h.log.take(); got != `a: "x" key=k` {
			t.Errorf("%q: %s %s, published %s", in, code, sentence, got)
		}
	}
	if code, _ := refused(t, h, post("/publish?idempotency_key="+strings.Repeat("k", 201), "x")); code != "bad_idempotency_key" {
		t.Errorf("long key: %s", code)
	}
}

func TestAClientOfTheURLIsNotAnotherInAFrame(t *testing.T) {
	h := newHarness(t)
	named := &loop.Call{In: []byte(upgrade("/ws?client=ann", version13, "Sec-WebSocket-Protocol: peal.v1\r\n")), Conn: loop.Ref{Slot: 7, Generation: 1}, Session: 7}
	if h.front.Request(named); named.Verdict != loop.Stream {
		t.Fatalf("%q", named.Out)
	}
	c := &fakeClient{commands: true}
	if got := say(t, h, c, `{"id":1,"command":"subscribe","channel":"a","client":"bob"}`); !strings.Contains(got, `"code":"contradiction"`) || len(c.subscribed) > 0 {
		t.Errorf("another: %s", got)
	}
	for _, same := range []string{`"ann"`, `""`, `null`} {
		if got := say(t, h, c, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":"c%d","client":%s}`, len(c.channels), same)); !strings.Contains(got, `"ok":true`) {
			t.Errorf("%s: %s", same, got)
		}
	}
}
