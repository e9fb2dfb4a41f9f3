package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// guardedSecret signs tokens for a guarded server.
const guardedSecret = "0123456789abcdef0123456789abcdef"

// guarded starts a server with --auth token that knows a key, which allows this, and
// returns its URL and the key.
func guarded(t *testing.T, allow ...string) (url, key string) {
	t.Helper()
	t.Setenv("PEAL_TOKEN", "")
	t.Setenv("PEAL_KEY", "")
	args := []string{"create", "--name", "shop"}
	for _, a := range allow {
		args = append(args, "--allow", a)
	}
	code, stdout, lines := keyed(t, "", args...)
	if code != 0 {
		t.Fatal(lines)
	}
	path := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return serving(t, "--auth", "token", "--token-secret", guardedSecret, "--config", path), strings.TrimSpace(stdout)
}

// A key is taken from its flag or its variable, on each transport; what the server
// refuses says which one to change, and shows no key.
func TestKeyOfPubAndSub(t *testing.T) {
	url, key := guarded(t, "publish:a", "subscribe:a")
	other, _, _ := strings.Cut(key, "_")
	other += "_" + strings.Repeat("x", len(key)-len(other)-1)
	check := func(want string, args ...string) {
		t.Helper()
		code, stdout, stderr := fed(t, "", append(args, "--url", url)...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, want) || strings.Contains(stderr, key[8:]) {
			t.Errorf("peal %q: exit code %d, %q, %q, want 1 and %q", args, code, stdout, stderr, want)
		}
	}
	ok(t, "", "pub", "--url", url, "--key", key, "a", "one")
	check("set PEAL_TOKEN (or --token) to the token of a user, or PEAL_KEY (or --key)", "pub", "a", "x")
	check("set --key to another one", "pub", "a", "x", "--key", other)
	check("set --key to one that grants this", "pub", "b", "x", "--key", key)
	for _, transport := range allTransports {
		args := []string{"sub", "--last", "1", "--count", "1", "--transport", transport}
		if got := ok(t, "", append(args, "--url", url, "--key", key, "a")...); got != "one\n" {
			t.Errorf("%s: %q", transport, got)
		}
		check("set PEAL_TOKEN (or --token)", append(args, "a")...)
		check("set --key to another one", append(args, "a", "--key", other)...)
		check("set --key to one that grants this", append(args, "b", "--key", key)...)
	}

	t.Setenv("PEAL_KEY", key)
	ok(t, "", "pub", "--url", url, "a", "two")
	if got := ok(t, "", "sub", "--url", url, "--last", "1", "--count", "1", "a"); got != "two\n" {
		t.Errorf("with PEAL_KEY: %q", got)
	}
	check("set PEAL_KEY to one that grants this", "pub", "b", "x")
	check("set --key to another one", "pub", "a", "x", "--key", other) // the flag counts
	if code, _, stderr := fed(t, "", "pub", "--url", url, "--key", key, "--token", "x", "a", "x"); code != 2 || !strings.Contains(stderr, "only one of them") {
		t.Errorf("both: %d %s", code, stderr)
	}
	t.Setenv("PEAL_KEY", key+"\nx")
	if code, _, stderr := fed(t, "", "pub", "--url", url, "a", "x"); code != 2 || !strings.Contains(stderr, "PEAL_KEY has characters") || strings.Contains(stderr, key[8:]) {
		t.Errorf("a key with a line break: %d %s", code, stderr)
	}
	for _, command := range []string{"pub", "sub", "load fanout"} {
		if help := ok(t, "", append(strings.Fields(command), "--help")...); strings.Contains(help, key[8:]) {
			t.Errorf("%s --help shows the key", command)
		}
	}
}

// The load test publishes with its key, and its subscribers have a token: here a key, too, as
// the server knows no tokens.
func TestKeyOfLoad(t *testing.T) {
	url, key := guarded(t, "publish:a", "subscribe:a")
	target := strings.Replace(url, "http", "ws", 1) + "/ws?channel=a"
	run := func(want string, args ...string) {
		t.Helper()
		args = append([]string{"load", "fanout", "--target", target, "--connections", "2", "--duration", "200ms", "--rate", "20", "--settle", "5s", "--fail-if", "lost>0"}, args...)
		_, stdout, stderr := fed(t, "", args...) // a busy machine makes the run invalid, and the code 3
		if said := stdout + stderr; !strings.Contains(said, want) || strings.Contains(said, key[8:]) {
			t.Errorf("%q says\n%s\nwant %q, and no key", args, said, want)
		}
	}
	const success = "met     not lost>0"
	run(success, "--publish-key", key, "--token", key)
	run("a token may be needed: PEAL_TOKEN or --token", "--publish-key", key)
	run("the server refused every message: publishing: 401", "--token", key, "--publish-key", "peal_x", "--settle", "100ms")
	t.Setenv("PEAL_KEY", key)
	t.Setenv("PEAL_TOKEN", key)
	run(success)
	if file := ok(t, "", "load", "fanout", "--print-scenario", "--publish-key", key); !strings.Contains(file, `publish-key: "${PUBLISH_KEY}"`) || strings.Contains(file, key[8:]) {
		t.Errorf("the scenario file is\n%s", file)
	}
}

// A token may come by a flag or by a variable, on each transport.
func TestTokenOfSub(t *testing.T) {
	url, key := guarded(t, "publish")
	ok(t, "", "pub", "--url", url, "--key", key, "orders.7", "paid")
	token := strings.TrimSpace(ok(t, "", "token", "--sub", "42", "--subscribe", "orders.*", "--secret", guardedSecret))
	t.Setenv("PEAL_TOKEN", token)
	t.Setenv("PEAL_KEY", key) // sub prefers the token
	for _, transport := range allTransports {
		args := []string{"sub", "--url", url, "--last", "1", "--count", "1", "--transport", transport}
		if got := ok(t, "", append(args, "orders.7")...); got != "paid\n" {
			t.Errorf("%s: %q", transport, got)
		}
		code, stdout, stderr := fed(t, "", append(args, "private")...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "set PEAL_TOKEN to one that grants this") || strings.Contains(stderr, token[:20]) {
			t.Errorf("%s: exit code %d, %q, %q", transport, code, stdout, stderr)
		}
	}
	code, _, stderr := fed(t, "", "pub", "--url", url, "--token", token, "orders.7", "x")
	if code != 1 || !strings.Contains(stderr, "set --token to one that grants this") {
		t.Errorf("publishing with a token: exit code %d, %q", code, stderr)
	}
}

// When the token expires, sub ends, and says how to go on.
func TestSubEndsWhenItsTokenExpires(t *testing.T) {
	const refusal = `{"error":{"code":"token_expired","message":"the token has expired: get a new one"}}`
	const message = `{"channel":"a","cursor":"c1","time":1,"data":"hi"}`
	tries := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t.o.k" {
			t.Errorf("%s has the header %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		if tries[r.URL.Path]++; tries[r.URL.Path] > 1 {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, refusal)
			return
		}
		switch r.URL.Path {
		case "/ws":
			upgrader := gws.NewUpgrader(new(gws.BuiltinEventHandler), &gws.ServerOption{SubProtocols: []string{"peal.v1"}})
			c, err := upgrader.Upgrade(w, r)
			if err != nil {
				t.Error(err)
				return
			}
			for _, frame := range []string{`{"connected":{"cursor":"c0"}}`, message, `{"token_expires":{"in":20}}`} {
				if err := c.WriteMessage(gws.OpcodeText, []byte(frame)); err != nil {
					t.Error(err)
				}
			}
			if err := c.WriteClose(4401, []byte("token_expired: the token has expired: get a new one")); err != nil {
				t.Error(err)
			}
		case "/sse":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "id: c1\ndata: "+message+"\n\nevent: peal.token_expires\ndata: {\"in\":20}\n\n")
		case "/poll":
			fmt.Fprint(w, `{"cursor":"c1","messages":[`+message+`]}`)
		}
	}))
	defer server.Close()
	for _, transport := range allTransports {
		code, stdout, stderr := fed(t, "", "sub", "a", "--url", server.URL, "--transport", transport, "--token", "t.o.k")
		for _, want := range []string{"the token has expired", "set --token to another one", "to continue without a gap, add --cursor c1"} {
			if code != 1 || stdout != "hi\n" || !strings.Contains(stderr, want) {
				t.Errorf("%s: exit code %d, %q, %q, want %q", transport, code, stdout, stderr, want)
			}
		}
	}
}
