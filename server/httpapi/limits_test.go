package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/server/httpapi"
)

// withLimits returns a harness of which the Front has other limits.
func (h *harness) withLimits(l httpapi.Limits) *harness {
	other := *h
	other.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Limits: l})
	return &other
}

func TestEachLimitIsKeptAndNoOther(t *testing.T) {
	plain := newHarness(t)
	messages := func(n int) string {
		return `{"messages":[` + strings.Repeat(`{"data":"x"},`, n-1) + `{"data":"x"}]}`
	}
	channels := func(n int) string {
		q := "/publish?"
		for i := range n {
			q += fmt.Sprintf("channel=c%d&", i)
		}
		return q
	}
	head := func(n int) string {
		const frame = "GET /channels/a HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n"
		return strings.Replace(frame, "X: ", "X: "+strings.Repeat("x", n-len(frame)), 1)
	}
	for _, c := range []struct {
		name   string
		limits httpapi.Limits
		most   int // by default
		set    int // by limits
		ask    func(n int) string
		code   string
	}{
		{"head", httpapi.Limits{HeadLimit: 2000}, 8 << 10, 2000, head, "head_too_large"},
		{"head, raised", httpapi.Limits{HeadLimit: 20_000}, 8 << 10, 20_000, head, "head_too_large"},
		{"channels", httpapi.Limits{ChannelLimit: 5}, 128, 5, func(n int) string { return post(channels(n), "x") }, "too_many_channels"},
		{"messages of a batch", httpapi.Limits{BatchMessages: 7}, 1000, 7, func(n int) string { return post("/publish/batch", messages(n)) }, "bad_batch"},
		{"entries of a batch", httpapi.Limits{BatchEntries: 256}, 8192, 256, func(n int) string {
			each := `{"data":"x","channel":["c0"`
			for i := 1; i < 128; i++ {
				each += fmt.Sprintf(`,"c%d"`, i)
			}
			wide := strings.Repeat(each+"]},", n/128)
			if n%128 != 0 {
				wide += `{"data":"x"},`
			}
			return post("/publish/batch", `{"messages":[`+strings.TrimSuffix(wide, ",")+`]}`)
		}, "batch_too_wide"},
		{"bytes of a batch", httpapi.Limits{BatchLimit: 4000}, 1 << 20, 4000, func(n int) string {
			return post("/publish/batch", messages(1)+strings.Repeat(" ", n-len(messages(1))))
		}, "body_too_large"},
	} {
		for _, at := range []struct {
			h    *harness
			most int
		}{{plain, c.most}, {plain.withLimits(c.limits), c.set}} {
			if resp, body := at.h.answer(c.ask(at.most)); resp.StatusCode != 200 || strings.Contains(body, `"error"`) {
				t.Errorf("%s: %d of %d is answered %d %.100s", c.name, at.most, at.most, resp.StatusCode, body)
			}
			if resp, body := at.h.answer(c.ask(at.most + 1)); !strings.Contains(body, `{"error":{"code":"`+c.code) {
				t.Errorf("%s: %d of %d is answered %d %.100s", c.name, at.most+1, at.most, resp.StatusCode, body)
			}
		}
	}
}

func TestPollTimeoutIsHeldToItsLimits(t *testing.T) {
	check := func(h *harness, query string, want time.Duration) {
		t.Helper()
		if c := h.call(get("/poll" + query)); c.Sub == nil || c.Sub.Deadline != want {
			t.Errorf("/poll%s: %+v, want a timeout of %v", query, c.Sub, want)
		}
	}
	h := newHarness(t)
	check(h, "", 25*time.Second)
	check(h, "?timeout=0", time.Second)
	check(h, "?timeout=1h", 2*time.Minute)
	h = h.withLimits(httpapi.Limits{PollTimeout: 40 * time.Second, MinPollTimeout: 10 * time.Second, MaxPollTimeout: 90500 * time.Millisecond})
	check(h, "", 40*time.Second)
	check(h, "?timeout=0", 10*time.Second)
	check(h, "?timeout=9.5", 10*time.Second)
	check(h, "?timeout=11", 11*time.Second)
	check(h, "?timeout=99999999999999999999", 90500*time.Millisecond)
	check(h, "?timeout=1e9", 90500*time.Millisecond)
	check(h, "?timeout=2m", 90500*time.Millisecond)
}

func TestPollTimeoutsMustAgree(t *testing.T) {
	s := time.Second
	check := func(l httpapi.Limits, good bool) {
		t.Helper()
		if err := l.Validate(); (err == nil) != good {
			t.Errorf("%+v: %v", l, err)
		}
	}
	check(httpapi.Limits{}, true)
	check(httpapi.Limits{MaxPollTimeout: 10 * s}, true) // the default comes down
	check(httpapi.Limits{MinPollTimeout: 30 * s}, true) // and up
	check(httpapi.Limits{MinPollTimeout: 300 * s}, true)
	check(httpapi.Limits{PollTimeout: 300 * s}, true)
	check(httpapi.Limits{MinPollTimeout: 30 * s, MaxPollTimeout: 20 * s}, false)
	check(httpapi.Limits{PollTimeout: 20 * s, MaxPollTimeout: 10 * s}, false)
	check(httpapi.Limits{PollTimeout: 20 * s, MinPollTimeout: 30 * s}, false)
}
