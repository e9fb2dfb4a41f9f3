package httpapi_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server/httpapi"
	"peal/server/idempotency"
)

// withKeys returns a harness of which the Front remembers idempotency keys.
func (h *harness) withKeys(most int, log httpapi.Publisher) *harness {
	other := *h
	keys := idempotency.New(time.Hour, most, most, time.Now)
	other.front = httpapi.New(httpapi.Deps{Log: log, Hub: h.hub, Door: h.door, Workers: h.workers, Keys: keys})
	return &other
}

func keyLine(key string) string { return "Idempotency-Key: " + key + "\r\n" }

func TestARepeatIsAnsweredAndNotPublished(t *testing.T) {
	h := newHarness(t)
	h = h.withKeys(100, h.log)
	check := func(target, body string, status int, want, published string, headers ...string) {
		t.Helper()
		resp, answer := h.answer(post(target, body, headers...))
		replayed := resp.Header.Get("Idempotency-Replayed") == "true"
		if resp.StatusCode != status || !strings.Contains(answer, want) || replayed != (status == 200 && published == "") {
			t.Errorf("%s %q %q: %d replayed %v %s, want %d %s", target, body, headers, resp.StatusCode, replayed, answer, status, want)
		}
		if got := h.log.take(); got != published {
			t.Errorf("%s %q %q: published %q, want %q", target, body, headers, got, published)
		}
	}
	const a, jsonType = "/publish?channel=a", "Content-Type: application/json\r\n"
	check(a, "hi", 200, `{"cursor":"z-1"}`, `a: "hi" key=k`, keyLine("k"))
	check(a, "hi", 200, `{"cursor":"z-1"}`, "", keyLine("k"))
	check(a, "ho", 422, `"idempotency_conflict"`, "", keyLine("k"))
	check(a+"&event=e", "hi", 422, `"idempotency_conflict"`, "", keyLine("k"))
	check(a, "hi", 422, `"idempotency_conflict"`, "", keyLine("k"), "Content-Type: application/octet-stream\r\n")
	check(a, "hi", 200, `{"cursor":"z-2"}`, `a: "hi" key=K`, keyLine("K"))
	check("/publish?channel=b", "hi", 200, `{"cursor":"z-3"}`, `b: "hi" key=k`, keyLine("k"))
	check(a, "hi", 200, `{"cursor":"z-4"}`, `a: "hi"`)
	check(a, "hi", 200, `{"cursor":"z-5"}`, `a: "hi"`, keyLine(""))

	// Each channel has its own key: what is missing is published, the rest not again.
	check("/publish?channel=a&channel=c&channel=b", "hi", 200, `{"cursor":"z-6"}`, `c: "hi" key=k`, keyLine("k"))
	check("/publish?channel=c&channel=a", "hi", 200, `{"cursor":"z-6"}`, "", keyLine("k"))
	check("/publish?channel=d&channel=a", "ho", 422, `"idempotency_conflict"`, "", keyLine("k"))
	check("/publish?channel=d", "ho", 200, `{"cursor":"z-7"}`, `d: "ho" key=k`, keyLine("k"))

	check("/publish", `{"channel":"a","data":"hi","idempotency_key":"k"}`, 200, `{"cursor":"z-1"}`, "", jsonType)
	check("/publish", `{"channel":"a","data":"hi"}`, 200, `{"cursor":"z-1"}`, "", jsonType, keyLine("k"))
}

func TestAKeyIsFreeAgainWhenItsMessageWasNotPublished(t *testing.T) {
	h := newHarness(t)
	h = h.withKeys(100, h.log)
	check := func(status int, body string) {
		t.Helper()
		if resp, answer := h.answer(post("/publish", body, keyLine("k"))); resp.StatusCode != status || resp.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%d %s, want %d", resp.StatusCode, answer, status)
		}
	}
	h.log.full = true
	check(429, "a")
	h.log.full, h.log.closed = false, true
	check(503, "b")
	h.log.closed, h.log.lose = false, true
	check(500, "c")
	h.log.lose = false
	check(200, "d")
}

func TestARepeatWaitsForTheFirstAttempt(t *testing.T) {
	for _, lose := range []bool{false, true} {
		h := newHarness(t)
		h = h.withKeys(100, h.log)
		h.log.slow, h.log.lose = true, lose
		first := h.call(post("/publish?channel=a&channel=b", "x", keyLine("k")))
		repeat := h.call(post("/publish?channel=b", "x", keyLine("k"), "Connection: close\r\n"))
		if first.Verdict != loop.Later || repeat.Verdict != loop.Later || first.Close || !repeat.Close {
			t.Fatalf("verdicts %d %d, close %v %v", first.Verdict, repeat.Verdict, first.Close, repeat.Close)
		}
		if resp, answer := h.answer(post("/publish?channel=b", "y", keyLine("k"))); resp.StatusCode != 422 {
			t.Errorf("another message meanwhile: %d %s", resp.StatusCode, answer)
		}
		h.log.release()
		for range 2 {
			resp, answer := readAnswer(t, "POST", h.door.wait(t))
			if lose && resp.StatusCode != 500 || !lose && answer != `{"cursor":"z-2"}` {
				t.Errorf("lost %v: %d %s", lose, resp.StatusCode, answer)
			}
			if replayed := resp.Header.Get("Idempotency-Replayed") != ""; replayed != (resp.Close && !lose) {
				t.Errorf("lost %v: replayed %v where the repeat is %v", lose, replayed, resp.Close)
			}
		}
		h.log.slow, h.log.lose = false, false
		want := `{"cursor":"z-2"}`
		if lose {
			want = `{"cursor":"z-3"}`
		}
		if _, answer := h.answer(post("/publish?channel=b", "x", keyLine("k"))); answer != want {
			t.Errorf("lost %v: afterwards %s, want %s", lose, answer, want)
		}
	}
}

// Attempts that wait for one another's channels crosswise must both end.
func TestRepeatsInAnotherOrderDoNotBlockEachOther(t *testing.T) {
	h := newHarness(t)
	h = h.withKeys(100, h.log)
	h.log.slow = true
	h.call(post("/publish?channel=a&channel=b", "x", keyLine("k")))
	h.call(post("/publish?channel=c&channel=b", "x", keyLine("k")))
	h.call(post("/publish?channel=b&channel=c&channel=a", "x", keyLine("k")))
	if got := h.log.take(); got != "a: \"x\" key=k\nb: \"x\" key=k\nc: \"x\" key=k" {
		t.Errorf("published %s", got)
	}
	h.log.release()
	answers := map[string]int{}
	for range 3 {
		_, answer := readAnswer(t, "POST", h.door.wait(t))
		answers[answer]++
	}
	if answers[`{"cursor":"z-2"}`] != 1 || answers[`{"cursor":"z-3"}`] != 2 {
		t.Errorf("answered %v", answers)
	}
}

func TestKeysOfTooMuchUnderWayAreRefused(t *testing.T) {
	h := newHarness(t)
	h = h.withKeys(2, h.log)
	h.log.slow = true
	h.call(post("/publish?channel=a&channel=b", "x", keyLine("k")))
	h.peer = netip.MustParseAddrPort("192.0.2.1:1") // whose share is empty
	resp, answer := h.answer(post("/publish?channel=c", "x", keyLine("k")))
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(answer, "idempotency_busy") {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
	h.log.release()
	h.door.wait(t)
	h.log.slow = false
	if resp, answer := h.answer(post("/publish?channel=c", "x", keyLine("k"))); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", resp.StatusCode, answer)
	}
}

// TestKeysOfOneAddressArePartOfTheTable: who fills its share is refused by every
// way of publishing, and the keys of others are as good as before.
func TestKeysOfOneAddressArePartOfTheTable(t *testing.T) {
	h := newHarness(t)
	keys := idempotency.New(time.Hour, 100, 50, time.Now)
	h.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Keys: keys})
	honest, attacker := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:1")
	h.peer = honest
	for i := range 20 {
		h.answer(post("/publish?channel=a", "x", keyLine(fmt.Sprint("honest-", i))))
	}
	h.peer = attacker
	items := make([]string, 1000)
	for i := range items {
		items[i] = fmt.Sprintf(`{"channel":"b","data":"x","idempotency_key":"%d"}`, i)
	}
	_, answer := h.answer(post("/publish/batch", `{"messages":[`+strings.Join(items, ",")+`]}`))
	if accepted, refused := strings.Count(answer, `"cursor"`), strings.Count(answer, `"idempotency_full"`); accepted != 50 || refused != 950 {
		t.Errorf("a batch of 1,000 keys: %d accepted and %d refused, want 50 and 950", accepted, refused)
	}
	h.log.take()
	for name, request := range map[string]string{
		"header":    post("/publish?channel=b", "x", keyLine("more")),
		"json":      post("/publish", `{"channel":"b","data":"x","idempotency_key":"more"}`, "Content-Type: application/json\r\n"),
		"query":     post("/publish?channel=b&idempotency_key=more", "x", keyLine("more")),
		"form":      post("/publish", "channel=b&data=x", "Content-Type: application/x-www-form-urlencoded\r\n", keyLine("more")),
		"batch":     post("/publish/batch", `{"messages":[{"channel":["b","c"],"data":"x","idempotency_key":"more"}]}`),
		"many":      post("/publish?channel=b&channel=c", "x", keyLine("more")),
		"known too": post("/publish?channel=b&channel=c", "x", keyLine("1")),
	} {
		resp, answer := h.answer(request)
		retry, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		if !strings.Contains(answer, "idempotency_full") || name != "batch" && (resp.StatusCode != 429 || retry < 3500 || retry > 3600) {
			t.Errorf("%s: %d, Retry-After %d, %s", name, resp.StatusCode, retry, answer)
		}
	}
	client := &fakeClient{commands: true, peer: attacker}
	if got := say(t, h, client, `{"id":1,"command":"publish","channel":"b","data":"x","idempotency_key":"more"}`); !strings.Contains(got, "idempotency_full") {
		t.Errorf("peal.v1: %s", got)
	}
	if got := h.log.take(); got != "" {
		t.Errorf("refused, and published: %s", got)
	}
	if resp, answer := h.answer(post("/publish?channel=b", "x", keyLine("7"))); resp.StatusCode != 200 || resp.Header.Get("Idempotency-Replayed") == "" {
		t.Errorf("a repeat of one of its own keys: %d %s", resp.StatusCode, answer)
	}
	if resp, answer := h.answer(post("/publish?channel=b", "without a key")); resp.StatusCode != 200 {
		t.Errorf("without a key: %d %s", resp.StatusCode, answer)
	}
	h.peer = honest
	h.log.take()
	for i := range 20 {
		resp, _ := h.answer(post("/publish?channel=a", "x", keyLine(fmt.Sprint("honest-", i))))
		if resp.Header.Get("Idempotency-Replayed") == "" {
			t.Errorf("key %d of another address: published again", i)
		}
	}
	if resp, answer := h.answer(post("/publish?channel=a", "y", keyLine("new"))); resp.StatusCode != 200 {
		t.Errorf("a new key of another address: %d %s", resp.StatusCode, answer)
	}
}

func TestKeysOfABatch(t *testing.T) {
	item := func(channel, data, key string) string {
		return fmt.Sprintf(`{"channel":%s,"data":%q,"idempotency_key":%q}`, channel, data, key)
	}
	for _, slow := range []bool{false, true} {
		h := newHarness(t)
		var log httpapi.Publisher = h.log
		if slow {
			log = &racingLog{fakeLog: h.log}
		}
		h = h.withKeys(100, log)
		check := func(published string, want string, items ...string) {
			t.Helper()
			_, answer := h.answer(post("/publish/batch", `{"messages":[`+strings.Join(items, ",")+`]}`))
			for _, sentence := range []string{`,"message":"`} {
				for from := strings.Index(answer, sentence); from >= 0; from = strings.Index(answer, sentence) {
					answer = answer[:from] + answer[from+strings.Index(answer[from:], `"}`)+1:]
				}
			}
			if got := h.log.take(); got != published || answer != `{"results":[`+want+`]}` {
				t.Errorf("slow %v: %s\nwant {\"results\":[%s]}\npublished %s\nwant %s", slow, answer, want, got, published)
			}
		}
		check("a: \"1\" key=k\na: \"2\" key=l\na: \"4\"\nb: \"1\" key=k",
			`{"cursor":"z-1"},{"cursor":"z-2"},{"cursor":"z-1","replayed":true},{"error":{"code":"idempotency_conflict"}},{"cursor":"z-3"},{"cursor":"z-4"}`,
			item(`"a"`, "1", "k"), item(`"a"`, "2", "l"), item(`"a"`, "1", "k"), item(`"a"`, "3", "k"), item(`"a"`, "4", ""), item(`["a","b"]`, "1", "k"))
		check("a: \"5\" key=m", `{"cursor":"z-2","replayed":true},{"cursor":"z-5"}`, item(`"a"`, "2", "l"), item(`"a"`, "5", "m"))
		check("", `{"cursor":"z-5","replayed":true},{"cursor":"z-4","replayed":true}`, item(`"a"`, "5", "m"), item(`["b","a"]`, "1", "k"))
		h.log.full = true
		check("", `{"cursor":"z-5","replayed":true},{"error":{"code":"overloaded"}},{"error":{"code":"overloaded"}},{"error":{"code":"overloaded"}}`,
			item(`"a"`, "5", "m"), item(`"a"`, "6", "n"), item(`"a"`, "6", "n"), item(`"a"`, "7", ""))
		h.log.full, h.log.lose = false, true
		check("a: \"6\" key=n", `{"error":{"code":"not_stored"}},{"error":{"code":"not_stored"}}`, item(`"a"`, "6", "n"), item(`"a"`, "6", "n"))
		h.log.lose = false
		check("a: \"8\" key=n", `{"cursor":"z-7"}`, item(`"a"`, "8", "n"))
	}
}

func TestKeysOfCommands(t *testing.T) {
	h := newHarness(t)
	h = h.withKeys(100, h.log)
	c := &fakeClient{commands: true}
	check := func(command, want, published string) {
		t.Helper()
		if got := say(t, h, c, command); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", command, got, want)
		}
		if got := h.log.take(); got != published {
			t.Errorf("%s: published %s, want %s", command, got, published)
		}
	}
	check(`{"id":1,"command":"publish","channel":"a","data":"x","idempotency_key":"k"}`, `{"id":1,"ok":true,"cursor":"z-1"}`, `a: "x" key=k`)
	check(`{"id":2,"command":"publish","channel":"a","data":"x","idempotency_key":"k"}`, `{"id":2,"ok":true,"cursor":"z-1"}`, "")
	check(`{"id":3,"command":"publish","channel":"a","data":"y","idempotency_key":"k"}`, `{"id":3,"error":{"code":"idempotency_conflict"`, "")
	h.log.slow = true
	check(`{"id":4,"command":"publish","channel":"a","data":"z","idempotency_key":"l"}`, "", `a: "z" key=l`)
	check(`{"id":5,"command":"publish","channel":"a","data":"z","idempotency_key":"l"}`, "", "")
	h.log.release()
	for range 2 {
		if got := frames(t, h.door.wait(t)); len(got) != 1 || !strings.HasSuffix(got[0], `"ok":true,"cursor":"z-2"}`) {
			t.Errorf("later: %q", got)
		}
	}
}

// The log ends on another goroutine while the request is still being handled:
// one answer each, never two.
func TestRepeatsRaceWithTheEndOfTheFirst(t *testing.T) {
	h := newHarness(t)
	h = h.withKeys(1000, &racingLog{fakeLog: h.log})
	for i := range 300 {
		in := post("/publish?channel=a&channel=b", "x", keyLine(fmt.Sprint(i)))
		answers := map[string]int{}
		for range 4 {
			c := h.call(in)
			if c.Verdict == loop.Later {
				continue
			}
			_, body := readAnswer(t, "POST", c.Out)
			answers[body]++
		}
		for n := answers[fmt.Sprintf(`{"cursor":"z-%d"}`, 2*i+2)]; n < 4; n++ {
			_, body := readAnswer(t, "POST", h.door.wait(t))
			answers[body]++
		}
		if len(answers) != 1 {
			t.Fatalf("round %d: %v", i, answers)
		}
	}
	if len(h.door.answers) > 0 {
		t.Error("an answer too many")
	}
}

func TestPublishingWithoutAKeyCostsNothingMore(t *testing.T) {
	h := newHarness(t)
	h = h.withKeys(100, h.log)
	h.log.discard = true
	call := loopCall(benchPublish)
	call(h.front)
	if n := testing.AllocsPerRun(200, func() { call(h.front) }); n > 2 { // as TestHotRequestsMakeLittleGarbage has it
		t.Errorf("%v allocations, want 2", n)
	}
}
