package httpapi_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"peal/loop"
	"peal/server/httpapi"
)

// stats is what the Front and the workers have counted together.
func (h *harness) stats() httpapi.Stats {
	s := h.front.Stats()
	s.Add(h.workers.Stats())
	return s
}

func TestPublicationsAreCountedByWay(t *testing.T) {
	h := newHarness(t)
	check := func(http, batch, websocket uint64) {
		t.Helper()
		want := map[string]uint64{"http": http, "batch": batch, "websocket": websocket}
		if got := h.stats().Publications; !maps.Equal(got, want) {
			t.Errorf("counted %v, want %v", got, want)
		}
	}
	check(0, 0, 0)
	h.answer(post("/publish", "hi"))
	h.answer(post("/publish?channel=a&channel=b", "hi"))
	check(3, 0, 0)
	h.answer(post("/publish/batch", `{"messages":[{"data":"x"},{"data":"y","event":"gap"},{"channel":["a","b"],"data":"z"}]}`))
	check(3, 3, 0)
	h.front.Message(&fakeClient{publishTo: "a"}, false, []byte("hi"))
	check(3, 3, 1)
	h.log.slow = true
	h.call(post("/publish", "hi")) // answered later, accepted now
	h.log.release()
	h.door.wait(t)
	check(4, 3, 1)
	h.log.slow, h.log.full = false, true
	h.answer(post("/publish", "hi"))
	h.answer(post("/publish/batch", `{"messages":[{"data":"x"}]}`))
	h.front.Message(&fakeClient{publishTo: "a"}, false, []byte("hi"))
	check(4, 3, 1)
}

func TestRefusalsAreCountedByCode(t *testing.T) {
	h := newHarness(t)
	check := func(code string, refused uint64, f func()) {
		t.Helper()
		before := h.stats().Refusals
		f()
		after := h.stats().Refusals
		if got := after[code] - before[code]; got != refused {
			t.Errorf("%s: counted %d, want %d", code, got, refused)
		}
		for other, n := range after {
			if other != code && n != before[other] {
				t.Errorf("%s: %s was counted too", code, other)
			}
		}
	}
	ask := func(in string) func() { return func() { h.answer(in) } }
	check("not_found", 1, ask(get("/nowhere")))
	check("bad_request", 1, ask("GET / HTTP/1.1\nHost: localhost\n\n"))
	check("bad_event", 1, ask(post("/publish?event=gap", "x")))
	check("bad_batch", 1, ask(post("/publish/batch", "[]")))
	check("bad_event", 2, ask(post("/publish/batch", `{"messages":[{"data":"x","event":"gap"},{"data":"x"},{"data":"y","event":"open"}]}`)))
	h.log.lose = true
	check("not_stored", 1, ask(post("/publish", "x")))
	h.log.lose, h.log.full = false, true
	check("overloaded", 1, ask(post("/publish", "x")))
	check("overloaded", 1, func() {
		if code, _ := h.front.Message(&fakeClient{publishTo: "a"}, false, []byte("hi")); code != 1013 {
			t.Errorf("code %d", code)
		}
	})
	check("unknown_command", 1, func() { h.front.Message(&fakeClient{commands: true}, false, []byte(`{"id":1,"command":"x"}`)) })
	check("draining", 1, func() {
		h.front.Request(&loop.Call{In: []byte(get("/sse")), Draining: true})
	})

	// A WebSocket that is refused after its handshake is a close as well.
	closes := h.stats().Closes[4400]
	check("bad_format", 1, func() { h.call(upgrade("/ws?format=xml", version13)) })
	if got := h.stats().Closes[4400] - closes; got != 1 {
		t.Errorf("%d closes with 4400, want 1", got)
	}
}

// A code that is not known from the start would be counted as other, and a rate
// of what was never there begins with its second refusal.
func TestCodesAreComplete(t *testing.T) {
	files, err := filepath.Glob("*.go")
	files = append(files, "../wsproto/command.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	known := newHarness(t).stats().Refusals
	delete(known, "other")
	pattern := regexp.MustCompile(`(?:Code: +|&Fault\{)"(\w+)"`)
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pattern.FindAllStringSubmatch(string(source), -1) {
			found[m[1]] = true
			if _, ok := known[m[1]]; !ok {
				t.Errorf("%s refuses with %s, which codes lacks", file, m[1])
			}
		}
	}
	for code := range known {
		if !found[code] {
			t.Errorf("codes has %s, with which nothing refuses", code)
		}
	}
}

// docs/protocol.md lists every code with its statuses, and says "yes" to another
// try exactly where the server is at fault.
func TestEveryCodeIsDocumentedWithWhetherToTryAgain(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "## Error codes, and which to try again")
	if !ok {
		t.Fatal("docs/protocol.md has no section on error codes")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	type row struct{ statuses, again string }
	documented := map[string]row{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[1], -1) {
			if _, ok := documented[m[1]]; ok {
				t.Errorf("%s is listed twice", m[1])
			}
			documented[m[1]] = row{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])}
		}
	}
	known := newHarness(t).stats().Refusals
	delete(known, "other")
	known["too_many_connections"] = 0 // loop/accept.go
	for code := range known {
		if _, ok := documented[code]; !ok {
			t.Errorf("docs/protocol.md does not list %s", code)
		}
	}
	for code := range documented {
		if _, ok := known[code]; !ok {
			t.Errorf("docs/protocol.md lists %s, which does not exist", code)
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`(?s)Status: +(\d+),\s*Code: +"(\w+)"`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range pattern.FindAllStringSubmatch(string(source), -1) {
			again := m[1] == "408" || m[1] == "429" || m[1] == "500" || m[1] == "503"
			if d := documented[m[2]]; !strings.Contains(d.statuses, m[1]) || strings.HasPrefix(d.again, "yes") != again {
				t.Errorf("%s has status %s: docs/protocol.md says %q, try again: %q", m[2], m[1], d.statuses, d.again)
			}
		}
	}
}
