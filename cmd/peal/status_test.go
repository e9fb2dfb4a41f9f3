package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" && strings.Contains(body, `"state":"live"`) {
			_, _ = w.Write([]byte(`{"started_ms":1,"state":"serving","connections":{"all":7,"sse":6,"http":1,"behind":2},"counters":{"publications":5,"deliveries":50,"gaps":1,"refusals":3},"memory":{"resident":1048576,"limit":4194304}}`))
			return
		}
		if r.URL.Path != "/cluster" || body == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	check := func(wantCode int, want ...string) {
		t.Helper()
		for _, args := range [][]string{{"status", "--url", server.URL + "/cluster"}, {"status", "--json", "--url", server.URL + "/cluster"}} {
			code, stdout, message := called(t, args...)
			if code != wantCode {
				t.Errorf("peal %q: exit code %d, want %d", args, code, wantCode)
			}
			if args[1] == "--json" {
				if body != "" && wantCode < 2 && strings.HasPrefix(body, "{") && strings.TrimSpace(stdout) != body {
					t.Errorf("%s", stdout)
				}
				continue
			}
			for _, w := range want {
				if !strings.Contains(strings.Join(strings.Fields(stdout+message), " "), w) {
					t.Errorf("%q is missing in\n%s%s", w, stdout, message)
				}
			}
		}
	}
	check(1, "404")
	const log = `"log":{"engine":"redis","shared":true,"epoch":"1z","oldest":3,"head":90,"known":95,"behind_ms":12,"failing":"FAILING","reconnects":1,"epochs":2,"lost":4,"skipped":5}`
	const nodes = `"nodes":[{"id":"00a1","name":"a:8080","version":"1.2","self":true,"state":"live","connections":7,"head":90,"lag":5,"behind_ms":12,"heard_ms":300,"started_ms":1},` +
		`{"id":"00b2","name":"b:8080","version":"1.3","state":"STATE","connections":8,"head":80,"lag":15,"behind_ms":9000,"heard_ms":7000,"started_ms":1},` +
		`{"id":"00c3","name":"c:8080","version":"1.1","state":"left","connections":9,"head":70,"heard_ms":65000,"started_ms":1}]`
	status := func(failing, state string) string {
		return `{"self":"00a1","format":1,"skipped":1,` + strings.Replace(log, "FAILING", failing, 1) + "," + strings.Replace(nodes, "STATE", state, 1) + "}"
	}
	body = status("", "live")
	check(0, "redis, epoch 1z, entries 3 to 90 of 95 known, read 12ms ago", "1 reconnects, 2 epochs, 4 losses, 6 entries skipped", "can be written",
		"a:8080 00a1 1.2 live 7 90 5 12ms 300ms", "this node", "b:8080 00b2 1.3 live 8 80 15 9s 7s", "c:8080 00c3 1.1 left - 70 - - 1m5s -",
		"this node serving clients 7: 0 websocket, 6 sse, 0 poll, 1 http; 0 slow, 2 catch up memory 1.0 MiB of 4.0 MiB start 5 publications, 50 deliveries, 1 gaps, 3 refusals")
	body = status("", "stale")
	check(1, "node b:8080 (00b2) is stale")
	body = status("log: the store cannot be reached", "dead")
	check(1, "the log cannot be written: log: the store cannot be reached", "b:8080 00b2 1.3 dead")
	body = "ok"
	check(1, "is not a status")
	if code, _, _ := called(t, "status", "x"); code != 2 {
		t.Errorf("exit code %d for an argument", code)
	}
}
