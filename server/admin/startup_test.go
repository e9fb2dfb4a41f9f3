package admin_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"peal/server/admin"
	"peal/server/auth"
)

// Until the server serves, the listener says how far it is; then it is that of the server.
func TestStartup(t *testing.T) {
	var start admin.Start
	h := admin.NewStartup(&admin.Access{Policy: &auth.Policy{}}, func() admin.Start { return start })
	check := func(method, path string, status int, has ...string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1:8081"+path, nil))
		if w.Code != status {
			t.Errorf("%s: status %d, want %d", path, w.Code, status)
		}
		for _, x := range has {
			if !strings.Contains(w.Body.String(), x) {
				t.Errorf("%s lacks %q: %.200s", path, x, w.Body)
			}
		}
	}
	start.Doing = "opening the log"
	check("GET", "/readyz", 503, "starting: opening the log\n")
	start = admin.Start{Doing: "reading the log", Read: 12}
	check("GET", "/readyz", 503, "starting: reading the log (12 entries read)\n")
	start.Known = 40
	said := "starting: reading the log (12 of about 40 entries read)\n"
	check("GET", "/readyz", 503, said)
	check("GET", "/healthz", 200, "ok, but no client can connect yet: "+said)
	check("GET", "/cluster", 503, said)
	check("POST", "/reload", 503, said)
	check("GET", "/metrics", 200, "peal_start_entries 40\n", "peal_start_read_entries 12\n", "go_goroutines", "process_open_fds")
	check("GET", "/debug/pprof/", 200, "goroutine")
	check("GET", "/publish", 404)
	start.Read = 41
	check("GET", "/readyz", 503, "(41 of about 41 entries read)")
	foreign := httptest.NewRecorder()
	h.ServeHTTP(foreign, httptest.NewRequest("GET", "http://evil.example:8081/metrics", nil))
	if foreign.Code != 421 {
		t.Errorf("of another Host: %d", foreign.Code)
	}

	h.Done(&source{ready: true})
	check("GET", "/readyz", 200, "ok")
	check("GET", "/metrics", 200, "peal_start_entries 41", "peal_channels 3")
	check("POST", "/reload", 200, "reloaded")
}
