package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/workers"
)

func TestPublish(t *testing.T) {
	h := newHarness(t)
	const form, jsonType = "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: application/json; charset=utf-8\r\n"
	check := func(want, target, body string, headers ...string) {
		t.Helper()
		resp, answer := h.answer(post(target, body, headers...))
		got := h.log.take()
		if resp.StatusCode != 200 || got != want || answer != fmt.Sprintf(`{"cursor":"z-%d"}`, h.log.head) {
			t.Errorf("%s %.60q %v: %d %s\npublished %s\nwant      %s", target, body, headers, resp.StatusCode, answer, got, want)
		}
	}
	check(`main: "hi"`, "/publish", "hi")
	check(`main: "hi"`, "/publish", "hi", form) // curl -d hi
	check(`main: ""`, "/publish", "")
	check(`a: "hi" event=goal`, "/publish?channel=a&event=goal", "hi")
	check("b: \"hi\"\na: \"hi\"", "/publish?channel=b&channel[]=a&channel=b", "hi")
	check(`main: "a\x00\r\nb"`, "/publish", "a\x00\r\nb")
	check(`main: "\xff" binary`, "/publish", "\xff")
	check(`main: "hi" binary`, "/publish", "hi", "Content-Type: Application/Octet-Stream\r\n")
	check(`main: "hi" key=k1`, "/publish", "hi", "Idempotency-Key: k1\r\n")

	check(`a: "h i" event=e`, "/publish", "channel=a&data=h+i&event=e", form)
	check("b: \"x\"\na: \"x\"", "/publish", "channel[0]=b&channel[1]=a&data=x", form)
	check(`main: ""`, "/publish", "data=", form)
	check(`main: "1+1=2"`, "/publish", "1+1=2", form)
	check(`c: "user=1&x=2"`, "/publish?channel=c", "user=1&x=2", form)
	check(`c: "channel=a&data=x"`, "/publish?channel=c", "channel=a&data=x", form)
	check(`main: "data=x"`, "/publish", "data=x")

	check(`a: "hi" event=e`, "/publish", `{"channel":"a","data":"hi","event":"e"}`, jsonType)
	check("a: \"hi\"\nb: \"hi\"", "/publish", `{"channel":["a","b"],"data":"hi"}`, jsonType)
	check(`main: "{\"x\":[1,2]}"`, "/publish", `{"data":{ "x": [1, 2] }}`, jsonType)
	check(`main: "null"`, "/publish", `{"data":null}`, jsonType)
	check(`main: "\xff" binary`, "/publish", `{"data_base64":"/w=="}`, jsonType)
	check(`main: "{\"x\": 1}"`, "/publish", `{"x": 1}`)
	check(`c: "{\"x\": 1}"`, "/publish?channel=c", `{"x": 1}`, jsonType)
	check(`c: "[1]"`, "/publish?channel=c", `[1]`, jsonType)
	check(`c: "{\"data\":1}"`, "/publish?channel=c", `{"data":1}`, jsonType)
	check(`main: "x" event=q key=k`, "/publish?event=q", `{"data":"x"}`, jsonType, "Idempotency-Key: k\r\n")

	check("a: \"hi\\r\\n\"\nb: \"hi\\r\\n\"", "/publish",
		"--B\r\nContent-Disposition: form-data; name=\"channel[0]\"\r\n\r\na\r\n"+
			"--B\r\nContent-Disposition: form-data; name=\"channel[1]\"\r\n\r\nb\r\n"+
			"--B\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nhi\r\n\r\n--B--\r\n",
		"Content-Type: multipart/form-data; boundary=B\r\n")

	in := "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nch\r\n4;a=\"b\"\r\nunks\r\n000\r\nX: y\r\n\r\n"
	if resp, _ := h.answer(in); resp.StatusCode != 200 || h.log.take() != `main: "chunks"` {
		t.Errorf("chunked: %d", resp.StatusCode)
	}
}

func TestPublishRefusals(t *testing.T) {
	h := newHarness(t)
	const jsonType = "Content-Type: application/json\r\n"
	check := func(status int, code, target, body string, headers ...string) {
		t.Helper()
		resp, answer := h.answer(post(target, body, headers...))
		if resp.StatusCode != status || !strings.Contains(answer, `"code":"`+code+`"`) {
			t.Errorf("%s %.40q: %d %s, want %d %s", target, body, resp.StatusCode, answer, status, code)
		}
		if got := h.log.take(); got != "" {
			t.Errorf("%s %.40q: published %s", target, body, got)
		}
	}
	for _, event := range []string{"open", "error", "gap", "peal", "pealx", "a%0Db", "a%0Ab", "a%00b", "%FF", strings.Repeat("e", 201)} {
		check(400, "bad_event", "/publish?event="+event, "x")
	}
	check(400, "bad_channel", "/publish?channel=", "x")
	check(403, "reserved_channel", "/publish?channel=$x", "x")
	check(400, "bad_json", "/publish", `{"data":`, jsonType)
	check(400, "bad_channel", "/publish", `{"data":"x","channel":7}`, jsonType)
	check(400, "bad_base64", "/publish", `{"data_base64":"?"}`, jsonType)
	check(400, "bad_form", "/publish", "x", "Content-Type: multipart/form-data\r\n")
	check(400, "bad_idempotency_key", "/publish", "x", "Idempotency-Key: "+strings.Repeat("k", 201)+"\r\n")
	h.log.full = true
	check(429, "overloaded", "/publish", "x")
	if resp, _ := h.answer(post("/publish", "x")); resp.Header.Get("Retry-After") != "1" {
		t.Errorf("full: %v", resp.Header)
	}
	h.log.full, h.log.broken = false, true
	check(503, "log_full", "/publish", "x")
	for _, slow := range []bool{false, true} { // accepted, and then the disk was full
		h.log.broken, h.log.lose, h.log.slow, h.log.reason = false, true, slow, fmt.Errorf("%w: no space left", log.ErrStorage)
		c := h.call(post("/publish", "x"))
		if h.log.release(); slow {
			c.Out = h.door.wait(t)
		}
		resp, body := readAnswer(t, "POST", c.Out)
		if resp.StatusCode != 503 || !strings.Contains(body, "log_full") || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("lost for want of space, slow %v: %d %v %s", slow, resp.StatusCode, resp.Header, body)
		}
	}
	h.log.take()
	h.log.slow, h.log.reason = false, nil
	if resp, body := h.answer(post("/publish", "x")); resp.StatusCode != 500 || !strings.Contains(body, "not_stored") {
		t.Errorf("lost: %d %s", resp.StatusCode, body)
	}
}

// What was meant for a channel must not reach everybody on the default one.
func TestSlipsDoNotReachTheDefaultChannel(t *testing.T) {
	h := newHarness(t)
	for _, c := range []struct{ media, body, code string }{
		{"application/json", `{"channel":"x","message":"hi"}`, "no_data"},
		{"application/json", `{"channels":["x"],"data":"hi"}`, "bad_channel"},
		{"application/json", `{"channels":["x"],"message":"hi"}`, "no_data"},
		{"application/x-www-form-urlencoded", "channel=zz&message=hi", "no_data"},
		{"application/x-www-form-urlencoded", "channel[]=zz&message=hi", "no_data"},
	} {
		resp, answer := h.answer(post("/publish", c.body, "Content-Type: "+c.media+"\r\n"))
		if resp.StatusCode != 400 || !strings.Contains(answer, `"`+c.code+`"`) || h.log.take() != "" {
			t.Errorf("%s: %d %s, want 400 %s", c.body, resp.StatusCode, answer, c.code)
		}
	}
}

func TestPublishOnASlowLogIsAnsweredLater(t *testing.T) {
	h := newHarness(t)
	h.log.slow = true
	for i := range 3 { // several on their way at once
		c := h.call("POST /publish HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
		if c.Verdict != loop.Later || !c.Close || len(c.Out) > 0 {
			t.Fatalf("%d: verdict %d close %v out %q", i, c.Verdict, c.Close, c.Out)
		}
	}
	h.log.release()
	for i := range 3 {
		resp, body := readAnswer(t, "POST", h.door.wait(t))
		if want := fmt.Sprintf(`{"cursor":"z-%d"}`, i+1); body != want || !resp.Close {
			t.Errorf("%s, close %v, want %s", body, resp.Close, want)
		}
	}
	h.log.slow = false
	if _, body := h.answer(post("/publish", "x")); body != `{"cursor":"z-4"}` {
		t.Errorf("afterwards: %s", body)
	}
}

// TestPublishRacesWithDone has the log finish on another goroutine while Append
// returns: one of the two answers, never both.
func TestPublishRacesWithDone(t *testing.T) {
	h := newHarness(t)
	racing := &racingLog{fakeLog: h.log}
	h = h.withLog(racing)
	for range 500 {
		c := h.call(post("/publish", "x"))
		out := c.Out
		if c.Verdict == loop.Later {
			out = h.door.wait(t)
		}
		if _, body := readAnswer(t, "POST", out); !strings.HasPrefix(body, `{"cursor":"z-`) {
			t.Fatalf("%s", body)
		}
	}
	if len(h.door.answers) > 0 {
		t.Error("an answer too many")
	}
}

type racingLog struct{ *fakeLog }

func (l *racingLog) Append(batch []*log.Entry, done func(error)) error {
	return l.fakeLog.Append(batch, func(err error) { go done(err) })
}

func TestBatch(t *testing.T) {
	h := newHarness(t)
	check := func(want, published, body string) {
		t.Helper()
		_, answer := h.answer(post("/publish/batch", body))
		for _, message := range []string{`,"message":"`} { // codes are stable, sentences are not
			for {
				from := strings.Index(answer, message)
				if from < 0 {
					break
				}
				to := from + len(message) + strings.Index(answer[from+len(message):], `"}`)
				answer = answer[:from] + answer[to+1:]
			}
		}
		if got := h.log.take(); answer != want || got != published {
			t.Errorf("%.60s: %s\npublished %s\nwant %s\n%s", body, answer, got, want, published)
		}
	}
	check(`{"results":[]}`, "", `{"messages":[]}`)
	check(`{"results":[{"cursor":"z-1"},{"error":{"code":"bad_channel"}},{"cursor":"z-3"},{"error":{"code":"no_data"}},{"cursor":"z-4"}]}`,
		"main: \"x\"\na: \"{\\\"y\\\":1}\" event=e key=k\nb: \"{\\\"y\\\":1}\" event=e key=k\nmain: \"\\xff\" binary",
		`{"messages":[{"data":"x"},{"channel":"","data":"x"},{"channel":["a","b"],"data":{"y":1},"event":"e","idempotency_key":"k"},{"channel":"a"},{"data_base64":"/w=="}]}`)
	for _, bad := range []string{"[]", "7", `{"messages":[],"x":1}`, `{"messages":7}`, `{}`, `{"messages":[` + strings.Repeat("{},", 1000) + `{}]}`} {
		check(`{"error":{"code":"bad_batch"}}`, "", bad)
	}
	h.log.full = true
	check(`{"results":[{"error":{"code":"overloaded"}}]}`, "", `{"messages":[{"data":"x"}]}`)
	h.log.full, h.log.broken = false, true
	check(`{"results":[{"error":{"code":"log_full"}}]}`, "", `{"messages":[{"data":"x"}]}`)
}

func TestLargeBatchKeepsItsOrder(t *testing.T) {
	h := newHarness(t)
	h = h.withLog(&racingLog{fakeLog: h.log})
	body := `{"messages":[` + strings.Repeat(`{"data":"x"},`, 999) + `{"data":"y"}]}`
	_, answer := h.answer(post("/publish/batch", body))
	var got struct{ Results []struct{ Cursor string } }
	if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got.Results) != 1000 {
		t.Fatalf("%v: %.100s", err, answer)
	}
	for i, r := range got.Results {
		if want := fmt.Sprintf("z-%d", i+1); r.Cursor != want {
			t.Fatalf("result %d: %s, want %s", i, r.Cursor, want)
		}
	}
}

func TestChannels(t *testing.T) {
	h := newHarness(t)
	h.hub.infos = []hub.Info{{Name: "a", Subscribers: 2}, {Name: "b/c", Messages: 3, Bytes: 30, Oldest: 4, Newest: 9}, {Name: "b2"}}
	check := func(target, want string) {
		t.Helper()
		resp, body := h.answer(get(target))
		if body != want || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s\nwant %s", target, resp.StatusCode, body, want)
		}
	}
	const a, bc, b2 = `{"channel":"a","subscribers":2,"messages":0,"bytes":0}`, `{"channel":"b/c","subscribers":0,"messages":3,"bytes":30,"oldest":"z-4","newest":"z-9"}`, `{"channel":"b2","subscribers":0,"messages":0,"bytes":0}`
	check("/channels", `{"channels":[`+a+`,`+bc+`,`+b2+`]}`)
	check("/channels?prefix=b&limit=1", `{"channels":[`+bc+`],"next":"b/c"}`)
	check("/channels?prefix=b&after=b/c", `{"channels":[`+b2+`]}`)
	check("/channels/b%2Fc", bc)
	check("/channels/a", a)
	check("/channels/nobody", `{"channel":"nobody","subscribers":0,"messages":0,"bytes":0}`)
	if resp, _ := h.answer(get("/channels?limit=0")); resp.StatusCode != 400 {
		t.Errorf("limit 0: %d", resp.StatusCode)
	}
	for _, bad := range []string{"/channels/%00", "/channels/" + strings.Repeat("a", 300), "/channels/%FF/history"} {
		if resp, _ := h.answer(get(bad)); resp.StatusCode != 400 {
			t.Errorf("%.40s: %d, want 400", bad, resp.StatusCode)
		}
	}
}

func TestHistory(t *testing.T) {
	h := newHarness(t)
	h.log.head = 20
	for i, sequence := range []uint64{4, 7, 9} {
		e := &log.Entry{Channel: "a/history", Time: 1, Data: []byte{byte('x' + i)}}
		h.hub.messages = append(h.hub.messages, &ring.Message{Sequence: sequence, Channel: e.Channel, Entry: e})
	}
	message := func(sequence int, data string) string {
		return fmt.Sprintf(`{"channel":"a/history","cursor":"z-%d","time":1,"data":"%s"}`, sequence, data)
	}
	check := func(query, cursor, gap, more string, messages ...string) {
		t.Helper()
		_, body := h.answer(get("/channels/a%2Fhistory/history" + query))
		want := `{"channel":"a/history","cursor":"` + cursor + `"` + gap + `,"messages":[` + strings.Join(messages, ",") + `],"more":` + more + `}`
		if body != want {
			t.Errorf("%s: %s\nwant %s", query, body, want)
		}
	}
	x, y, z := message(4, "x"), message(7, "y"), message(9, "z")
	check("", "z-20", "", "false", x, y, z)
	check("?limit=2", "z-20", "", "false", y, z)
	check("?last=1", "z-20", "", "false", z)
	check("?cursor=earliest&limit=2", "z-7", "", "true", x, y)
	check("?cursor=z-7", "z-20", "", "false", z)
	check("?cursor=z-1", "z-20", `,"gap":[{"channel":"a/history","from":"z-1","to":"z-3","reason":"discarded"}]`, "false", x, y, z)
	check("?cursor=y-1", "z-20", `,"gap":[{"channel":"a/history","to":"z-3","reason":"unknown_cursor"}]`, "false", x, y, z)
}

func TestQueriesAreRefusedWhenTooManyWait(t *testing.T) {
	h := newHarness(t)
	h.hub.block = make(chan struct{})
	later := 0
	for range 20 {
		c := h.call(get("/channels"))
		if c.Verdict == loop.Later {
			later++
			continue
		}
		if resp, _ := readAnswer(t, "GET", c.Out); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
	}
	if later < 4 || later > 6 { // a queue of 4 and 2 workers
		t.Errorf("%d were taken", later)
	}
	close(h.hub.block)
	for range later {
		h.door.wait(t)
	}
}

func TestBatchesInTheQueueHoldAtMostSixteenMegabytes(t *testing.T) {
	h := newHarness(t)
	wide := workers.New(0, 1000) // nobody works
	t.Cleanup(wide.Close)
	h.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: wide})
	in := post("/publish/batch", strings.Repeat(" ", 1<<20))
	for i := range 17 {
		if c := h.call(in); (c.Verdict == loop.Later) != (i < 16) {
			t.Errorf("batch %d: verdict %d", i, c.Verdict)
		}
	}
}
