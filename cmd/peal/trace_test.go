package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/trace"
)

// tracing starts a server with a record and an admin listener on a Unix socket, and one client of it. It returns the server's
// URL, the flag that names the admin listener, and the id of the client's session.
func tracing(t *testing.T, flags ...string) (base, admin, session string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "a.sock")
	base = serving(t, append([]string{"--admin", "unix:" + socket}, flags...)...)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/sse?channel=news&client=42", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	session = response.Header.Get("Peal-Session")
	first := make([]byte, 1)
	if _, err := response.Body.Read(first); err != nil || session == "" {
		t.Fatalf("session %q, %v", session, err)
	}
	go func() { _, _ = io.Copy(io.Discard, response.Body) }() // ends with ctx
	return base, "unix:" + socket, session
}

func publishTo(t *testing.T, base, channel string) (cursor string) {
	t.Helper()
	response, err := http.Post(base+"/publish?channel="+channel, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Cursor string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Cursor == "" {
		t.Fatalf("%d, %v", response.StatusCode, err)
	}
	return answer.Cursor
}

func TestTraceOfAMessage(t *testing.T) {
	base, admin, session := tracing(t, "--trace-lives", "100")
	cursor := publishTo(t, base, "news")
	for _, whom := range [][]string{{"--user", "42"}, {"--session", session}, {"--channel", "news"}, {"--user", "42", "--channel", "news"}} {
		args := append([]string{"trace", "--url", admin, "--cursor", cursor}, whom...)
		var code int
		var stdout, message string
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // the loop may not have written it yet
			if code, stdout, message = called(t, args...); code == 0 || time.Now().After(end) {
				break
			}
		}
		said := strings.Join(strings.Fields(stdout), " ")
		if code != 0 || !strings.Contains(said, `message `+cursor+` on "news", published 20`) || !strings.Contains(said, ": sent SESSION NAME") ||
			!strings.Contains(said, session+` "42" sse`) || !strings.Contains(said, "open sent unconfirmed") {
			t.Errorf("peal %q: exit code %d, %s\n%s", args, code, message, stdout)
		}
	}
	code, stdout, _ := called(t, "trace", "--url", strings.TrimSuffix(admin, ":/trace"), "--user", "42", "--cursor", cursor, "--json")
	var r trace.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 || r.Verdict != "sent" || len(r.Connections) != 1 || r.Connections[0].Session != session || r.Connections[0].Name != "42" {
		t.Errorf("exit code %d, %v, %s", code, err, stdout)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--user", "43", "--cursor", cursor, "--channel", "news"}, "not connected"},
		{[]string{"--user", "42", "--cursor", publishTo(t, base, "other"), "--channel", "other"}, "not subscribed then"},
		{[]string{"--user", "42", "--cursor", strings.SplitAfter(cursor, "-")[0] + "999999"}, "none of this log"},
		{[]string{"--user", "42", "--cursor", "1z141z4-7"}, "none of this log: use the one of the response to the publisher"},
		{[]string{"--user", "42", "--cursor", "\x1b[2J"}, "none of this log"},
		{[]string{"--session", "short", "--cursor", cursor}, "22 characters"}, {[]string{"--session", "0", "--cursor", cursor}, "22 characters"},
	} {
		code, stdout, message := called(t, append([]string{"trace", "--url", admin}, c.args...)...)
		if code != 1 || !strings.Contains(stdout+message, c.want) {
			t.Errorf("%q: exit code %d, %q %q; want %q", c.args, code, stdout, message, c.want)
		}
	}
	for _, args := range [][]string{
		{"--cursor", cursor}, {"--user", "42"}, {"--user", "42", "--cursor", cursor, "--follow"}, {"--user", "42", "--cursor", cursor, "x"},
		{"--user", "42", "--cursor", cursor, "--url", "127.0.0.1:8081"},
	} {
		if code, _, message := called(t, append([]string{"trace", "--url", admin}, args...)...); code != 2 || message == "" {
			t.Errorf("%q: exit code %d, %s", args, code, message)
		}
	}
}

func TestTraceSaysThatThereIsNoRecord(t *testing.T) {
	base, admin, _ := tracing(t)
	code, _, message := called(t, "trace", "--url", admin, "--user", "42", "--cursor", publishTo(t, base, "news"))
	if code != 1 || !strings.Contains(message, "start it with --trace-lives") {
		t.Errorf("exit code %d, %s", code, message)
	}
	// The address of --listen is none of an admin listener.
	if code, _, message := called(t, "trace", "--url", base, "--user", "42", "--cursor", "1-1"); code != 1 || !strings.Contains(message, "404") {
		t.Errorf("exit code %d, %s", code, message)
	}
	if code, _, message := called(t, "trace", "--url", "unix:"+filepath.Join(t.TempDir(), "none"), "--user", "42", "--cursor", "1-1"); code != 1 || !strings.Contains(message, "--admin") {
		t.Errorf("exit code %d, %s", code, message)
	}
}

// lines is output that other goroutines read while it grows.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestTraceFollows(t *testing.T) {
	base, admin, session := tracing(t, "--trace-lives", "100")
	for _, asJSON := range []string{"--json=false", "--json"} {
		ctx, cancel := context.WithCancel(context.Background())
		var out lines
		ended := make(chan error, 1)
		go func() {
			ended <- run(ctx, []string{"trace", "--url", admin, "--session", session, "--follow", asJSON}, nil, &out, io.Discard)
		}()
		var published []string
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // it shows what comes after its start
			published = append(published, publishTo(t, base, "news"))
			if said := out.String(); strings.Count(said, "\n") > 2 || time.Now().After(end) {
				break
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", asJSON, err)
		}
		said := out.String()
		first := -1
		for i, cursor := range published {
			if strings.Contains(said, cursor) {
				first = i
				break
			}
		}
		if first < 0 || !strings.Contains(said, "sent") || !strings.Contains(said, session) || (asJSON == "--json") != strings.HasPrefix(said, "{") {
			t.Errorf("%s: %q", asJSON, said)
		}
	}
}

// What clients have chosen, and what a server says, does not reach the terminal as it is.
func TestTraceShowsHostileNamesAsText(t *testing.T) {
	const evil = "\x1b]0;owned\a\x1b[2J\u202e\u009b31m\nmessage 1-1: sent"
	r := trace.Report{Cursor: evil, Channels: []string{evil}, Published: evil, Verdict: "sent", Reason: evil, Note: evil, Connections: []trace.Connection{{
		Verdict: "sent" + evil, Session: evil, Name: evil, Address: evil, Transport: evil, Dialect: evil, Began: evil, Ended: evil, How: evil,
		Channel: evil, At: evil, Detail: evil, Covered: evil, Confirmed: &trace.Confirmation{By: evil, Cursor: evil, At: evil},
	}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(r) }))
	defer server.Close()
	for _, args := range [][]string{{"trace"}, {"trace", "--json"}} {
		code, stdout, message := called(t, append(args, "--url", server.URL, "--user", evil, "--cursor", "1-1")...)
		if code != 0 {
			t.Errorf("exit code %d, %s", code, message)
		}
		if len(args) == 1 && strings.Count(stdout, "\n") != 4 || strings.ContainsAny(stdout, "\x1b\a") || len(args) == 1 && strings.ContainsAny(stdout, "\u202e\u009b") {
			t.Errorf("%q", stdout)
		}
	}
	r.Verdict = "not " + evil
	if code, _, message := called(t, "trace", "--url", server.URL, "--user", "1", "--cursor", "1-1"); code != 1 || strings.ContainsAny(message, "\x1b\a\u202e\u009b\n") {
		t.Errorf("exit code %d, %q", code, message)
	}
}
