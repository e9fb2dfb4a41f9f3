package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	well := true
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/silent":
			<-hold
		case well:
			_, _ = w.Write([]byte("ok\n"))
		default:
			http.Error(w, "an event loop does not respond", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	defer close(hold)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")

	check := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, stdout, message := called(t, append([]string{"health"}, args...)...)
		if code != wantCode || !strings.Contains(stdout+message, want) {
			t.Errorf("peal health %q: exit code %d, %q, %q, want %d and %q", args, code, stdout, message, wantCode, want)
		}
	}
	check(0, "ok", "--url", server.URL+"/healthz")
	well = false
	check(1, "503 Service Unavailable: an event loop does not respond", "--url", server.URL+"/healthz")
	check(1, "deadline exceeded", "--url", server.URL+"/silent", "--timeout", "50ms")
	check(1, "refused", "--url", "http://127.0.0.1:1/healthz")
	check(2, "health", "--url", "http://bad host/")
	check(2, "unknown command", "extra")
}

// What the image runs are commands and flags that exist.
func TestDockerfileCallsWhatThereIs(t *testing.T) {
	b, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(strings.ReplaceAll(string(b), "\\\n", " ")) {
		word := strings.SplitN(line, " ", 2)[0]
		if word != "CMD" && word != "HEALTHCHECK" {
			continue
		}
		var args []string
		if err := json.Unmarshal([]byte(line[strings.Index(line, "["):]), &args); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if word == "HEALTHCHECK" {
			args = args[1:] // the program
		}
		c, rest, err := newRoot(nil, nil).Find(args)
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err != nil || c.Name() != map[string]string{"CMD": "serve", "HEALTHCHECK": "health"}[word] {
			t.Errorf("%s calls %q: %v", word, args, err)
		}
		seen[word] = true
	}
	if len(seen) != 2 {
		t.Errorf("found %v in the Dockerfile, want CMD and HEALTHCHECK", seen)
	}
}
