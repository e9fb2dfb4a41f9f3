package endtoend_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What a client sends stays inside one value of one line of a log, and makes no new
// series of metrics: names of channels, clients and events, paths, methods, agents and
// origins are the clients' to choose.
func TestLogsAndMetricsAreNotInjected(t *testing.T) {
	dir := t.TempDir()
	access, admin := filepath.Join(dir, "access"), filepath.Join(dir, "admin")
	o := operate(t, nil, nil, "", "--access-log", access, "--admin", "unix:"+admin, "--log-level", "debug")
	const fake = `{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"forged"}`
	wave := func(n int) {
		evil := []string{"\n" + fake, "\r\n" + fake, "\x1b[2J\x1b]0;owned\x07", "\u2028" + fake, "\u202e", `"},` + fake, strings.Repeat("x", 150), "\x00", "\xff\xfe"}
		for i, text := range evil {
			text = fmt.Sprint(n, "-", i, text)
			escaped := url.QueryEscape(text)
			for _, request := range []string{
				get("/" + escaped), get("/poll?timeout=1&last=1&channel=" + escaped), get("/channels/" + url.PathEscape(text) + "/history?last=1"), get("/channels?prefix=" + escaped),
				post("/publish?channel=m-"+escaped, "x"), post("/publish?channel=a&event="+escaped, text), post("/disconnect?client="+escaped, ""),
				fmt.Sprintf("M%d /channels HTTP/1.1\r\n%s\r\n", n*100+i, hostLine),
				"GET /channels HTTP/1.1\r\n" + hostLine + "User-Agent: " + text + "\r\nX-Forwarded-For: " + text + "\r\n\r\n",
				"GET /channels HTTP/1.1\r\n" + hostLine + "Origin: https://" + text + "\r\n\r\n",
				"GET /channels HTTP/1.1\r\nHost: h" + fmt.Sprint(n, i) + ".example\r\n\r\n",
			} {
				w := o.dial().send(strings.Replace(request, hostLine, hostLine+"Connection: close\r\n", 1))
				readAll(w)
				w.conn.Close()
			}
			w := o.openSocket("/ws?channel=b&client="+url.QueryEscape(fmt.Sprint("c", n, i)), "").send(rawFrame(0x88, "\x0f\xa0"+strings.ToValidUTF8(text, "")[:min(20, len(strings.ToValidUTF8(text, "")))]))
			readAll(w)
			w.conn.Close()
		}
	}
	series := func() map[string]bool {
		found := map[string]bool{}
		for line := range strings.Lines(overSocket(t, admin, "GET", "/metrics")) {
			if !strings.HasPrefix(line, "#") {
				found[line[:max(0, strings.LastIndexByte(line, ' '))]] = true
			}
		}
		return found
	}
	wave(1)
	before := series()
	wave(2)
	for name := range series() {
		if !before[name] {
			t.Errorf("a new series: %s", name)
		}
	}
	if len(before) < 50 {
		t.Errorf("only %d series: %v", len(before), slices.Sorted(maps.Keys(before)))
	}
	o.end(syscall.SIGTERM)

	file, err := os.ReadFile(access)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"access log": string(file), "log": o.said()} {
		lines := 0
		for line := range strings.Lines(text) {
			var one map[string]any
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%s: %v in %q", name, err, line)
			}
			if one["msg"] == "forged" {
				t.Errorf("%s: a client has written the line %q", name, line)
			}
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%s: control characters in %q", name, line)
			}
			lines++
		}
		if lines == 0 {
			t.Errorf("the %s is empty", name)
		}
	}
}
