package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// serving starts "peal serve" on a free port and returns its URL. It ends with
// the test.
func serving(t *testing.T, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { // ends with the context
		ended <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--loops", "1", "--drain", "10ms"}, flags...), nil, out, io.Discard)
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	lines.Scan()
	address := strings.TrimPrefix(lines.Text(), "Peal listens on ")
	go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the program
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + address
}

// fed is called, with standard input.
func fed(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs strings.Builder
	if err := run(ctx, args, strings.NewReader(stdin), &out, &errs); err != nil {
		return exitCode(err), out.String(), errs.String() + err.Error()
	}
	if ctx.Err() != nil {
		t.Errorf("peal %q does not end", args)
	}
	return 0, out.String(), errs.String()
}

func ok(t *testing.T, stdin string, args ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := fed(t, stdin, args...)
	if code != 0 || stderr != "" {
		t.Fatalf("peal %q: exit code %d, %s", args, code, stderr)
	}
	return stdout
}

var allTransports = []string{"ws", "sse", "poll"}

func TestWhatPubPublishesSubPrints(t *testing.T) {
	url := serving(t)
	if out := ok(t, "", "pub", "--url", url, "news", "hällo \"you\""); out != "" {
		t.Errorf("pub prints %q without --cursor", out)
	}
	cursors := strings.Fields(ok(t, "a\r\n\nthe last", "pub", "--url", url, "--cursor", "--event", "price", "news", "-"))
	if len(cursors) != 3 {
		t.Fatalf("three lines have the cursors %q", cursors)
	}
	ok(t, "by default standard input\n", "pub", "--url", url, "other")
	for _, transport := range allTransports {
		for _, c := range []struct{ args, want string }{
			{"news --count 4 --cursor earliest", "hällo \"you\"\na\n\nthe last\n"},
			{"news other --count 2 --last 2", "the last\nby default standard input\n"},
			{"news --count 1 --cursor " + cursors[0], "\n"},
			{"news --count 1 --last 3", "a\n"}, // more come in one answer than are asked for
		} {
			args := append(strings.Fields("sub "+c.args), "--url", url, "--transport", transport)
			if got := ok(t, "", args...); got != c.want {
				t.Errorf("peal %q prints %q, want %q", args, got, c.want)
			}
		}
		got := ok(t, "", "sub", "other", "--json", "--last", "1", "--count", "1", "--url", url, "--transport", transport)
		if !strings.HasPrefix(got, `{"channel":"other","cursor":"`) || !strings.HasSuffix(got, `"data":"by default standard input"}`+"\n") {
			t.Errorf("%s: --json prints %q", transport, got)
		}
	}
}

func TestSubPrintsBinaryAsItIs(t *testing.T) {
	url := serving(t)
	answer, err := http.Post(url+"/publish?channel=b", "application/octet-stream", strings.NewReader("\x00\xff"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for _, transport := range allTransports {
		if got := ok(t, "", "sub", "b", "--last", "1", "--count", "1", "--url", url, "--transport", transport); got != "\x00\xff\n" {
			t.Errorf("%s: %q", transport, got)
		}
	}
}

func TestURLFromTheEnvironment(t *testing.T) {
	t.Setenv("PEAL_URL", serving(t)+"/")
	ok(t, "", "pub", "a", "hi")
	if got := ok(t, "", "sub", "a", "--last", "1", "--count", "1"); got != "hi\n" {
		t.Errorf("%q", got)
	}
}

func TestSubSaysGapsOnStandardError(t *testing.T) {
	url := serving(t)
	ok(t, "", "pub", "--url", url, "news", "hi")
	for _, transport := range allTransports {
		code, stdout, stderr := fed(t, "", "sub", "news", "--url", url, "--cursor", "nonsense", "--count", "1", "--transport", transport)
		if code != 0 || stdout != "hi\n" || !strings.HasPrefix(stderr, "peal: gap: messages on news up to ") || !strings.HasSuffix(stderr, "are gone (unknown cursor)\n") {
			t.Errorf("%s: exit code %d, %q, %q", transport, code, stdout, stderr)
		}
	}
}

// cutter forwards connections to a server and can cut them all.
type cutter struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t *testing.T, url string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: ln}
	t.Cleanup(func() { ln.Close(); c.cut() })
	go func() { // ends with the listener
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				client.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, client, server)
			c.mu.Unlock()
			go func() { _, _ = io.Copy(server, client); server.Close() }() // these two end with either side
			go func() { _, _ = io.Copy(client, server); client.Close() }()
		}
	}()
	return c
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func TestSubGoesOnWhereItWasCut(t *testing.T) {
	url := serving(t)
	for _, transport := range allTransports {
		t.Run(transport, func(t *testing.T) {
			c := newCutter(t, url)
			ok(t, "", "pub", "--url", url, transport, "one")
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			in, out := io.Pipe()
			ended := make(chan error, 1)
			var errs strings.Builder
			go func() { // ends with the count or the context
				ended <- run(ctx, []string{"sub", transport, "--transport", transport, "--url", "http://" + c.Addr().String(), "--last", "1", "--count", "4"}, nil, out, &errs)
				out.Close()
			}()
			lines := bufio.NewScanner(in)
			next := func(want string) {
				t.Helper()
				if !lines.Scan() || lines.Text() != want {
					t.Fatalf("it prints %q, want %q", lines.Text(), want)
				}
			}
			next("one") // printed at once: the program is still running
			c.cut()
			ok(t, "", "pub", "--url", url, transport, "two")
			next("two")
			c.cut()
			ok(t, "three\nfour\n", "pub", "--url", url, transport)
			next("three")
			next("four")
			if err := <-ended; err != nil {
				t.Errorf("it ends with %v", err)
			}
			// net/http repeats a poll by itself whose idle connection was cut.
			if transport != "poll" && !strings.Contains(errs.String(), "reconnecting") || strings.Contains(errs.String(), "gap") || strings.Contains(errs.String(), "missed") {
				t.Errorf("it says %q", errs.String())
			}
		})
	}
}

// signalled is a writer that says when it is first written to.
type signalled struct {
	once  sync.Once
	wrote chan struct{}
}

func (s *signalled) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.wrote) })
	return len(b), nil
}

func TestSubEndsWithItsContext(t *testing.T) {
	url := serving(t)
	ok(t, "", "pub", "--url", url, "a", "hi")
	for _, transport := range allTransports {
		for _, count := range []string{"", "--count=2"} {
			ctx, cancel := context.WithCancel(context.Background())
			out := &signalled{wrote: make(chan struct{})}
			ended := make(chan error, 1)
			args := []string{"sub", "a", "--last", "1", "--url", url, "--transport", transport}
			if count != "" {
				args = append(args, count)
			}
			go func() { ended <- run(ctx, args, nil, out, io.Discard) }() // ends with the context
			<-out.wrote
			cancel()
			select {
			case err := <-ended:
				if (err != nil) != (count != "") {
					t.Errorf("peal %q ends with %v", args, err)
				}
			case <-time.After(patience):
				t.Fatalf("peal %q does not end", args)
			}
		}
	}
}

func TestRefusalsAreFinalAndSayWhy(t *testing.T) {
	url := serving(t)
	check := func(want string, args ...string) {
		t.Helper()
		if code, stdout, stderr := fed(t, "x\n", args...); code != 1 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("peal %q: exit code %d, %q, %q, want 1 and %q", args, code, stdout, stderr, want)
		}
	}
	check("begin with $", "pub", "--url", url, "$secret", "x")
	check("line 1: ", "pub", "--url", url, "$secret")
	check("400", "pub", "--url", url, "--event", "gap", "a", "x")
	check("4403", "sub", "--url", url, "$secret")
	for _, transport := range []string{"sse", "poll"} {
		check("begin with $", "sub", "--url", url, "--transport", transport, "$secret")
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer other.Close()
	check("is not one of Peal: check --url", "pub", "--url", other.URL, "a", "x")
	check("is not one of Peal: check --url", "sub", "--url", other.URL, "a", "--transport", "poll")
	check("not with an event stream", "sub", "--url", other.URL, "a", "--transport", "sse")
	check("200", "sub", "--url", other.URL, "a")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + ln.Addr().String()
	ln.Close()
	check("start it with: peal serve", "pub", "--url", nobody, "a", "x")
	for _, transport := range allTransports {
		check("start it with: peal serve", "sub", "--url", nobody, "a", "--transport", transport)
	}
}

func TestPubWaitsWhileTheServerIsFull(t *testing.T) {
	asked := 0
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"cursor":"c"}`)
	}))
	defer full.Close()
	if got := ok(t, "", "pub", "--cursor", "--url", full.URL, "a", "x"); got != "c\n" || asked != 2 {
		t.Errorf("asked %d times, printed %q", asked, got)
	}
}

// broken is a standard output or input that fails.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }
func (broken) Read([]byte) (int, error)  { return 0, errors.New("input is broken") }

func TestBrokenInputAndOutputEndTheProgram(t *testing.T) {
	url := serving(t)
	ok(t, "", "pub", "--url", url, "a", "hi")
	for _, transport := range allTransports {
		if err := run(t.Context(), []string{"sub", "a", "--last", "1", "--url", url, "--transport", transport}, nil, broken{}, io.Discard); err == nil || !strings.Contains(err.Error(), "broken pipe") {
			t.Errorf("%s: %v", transport, err)
		}
	}
	if err := run(t.Context(), []string{"pub", "a", "--url", url}, broken{}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "input is broken") {
		t.Errorf("pub: %v", err)
	}
}

func TestTerminalUsageMistakesExitWith2(t *testing.T) {
	for _, args := range []string{
		"pub", "pub a b c", "pub a b --url localhost:8080", "pub a b --url ftp://x", "sub", "sub a --transport carrier-pigeon",
		"sub a --count 0", "sub a --last -1", "sub a --last 1 --cursor x", "sub a --cout 1",
	} {
		if code, _, message := called(t, strings.Fields(args)...); code != 2 || message == "" {
			t.Errorf("peal %s: exit code %d, %q, want 2 and a reason", args, code, message)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := ok(t, "", "completion", shell); !strings.Contains(out, "peal") {
			t.Errorf("%s: %q", shell, out)
		}
	}
	_, out, _ := fed(t, "", "__completeNoDesc", "sub", "a", "--transport", "")
	if out, _, _ := strings.Cut(out, ":"); out != "poll\nsse\nws\n" {
		t.Errorf("--transport is completed with %q", out)
	}
}

func TestLimitsThatAreSetHold(t *testing.T) {
	small := serving(t, "--message-bytes", "1KiB", "--history-messages", "0")
	if code, _, stderr := fed(t, "", "pub", "--url", small, "a", strings.Repeat("x", 1025)); code != 1 || !strings.Contains(stderr, "413") {
		t.Errorf("a message over the limit: exit code %d, %q", code, stderr)
	}
	ok(t, "", "pub", "--url", small, "a", strings.Repeat("x", 1024))
	answer, err := http.Get(small + "/channels/a/history?cursor=earliest")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if b, err := io.ReadAll(answer.Body); err != nil || strings.Contains(string(b), "xxx") {
		t.Errorf("history is kept: %v, %.200s", err, b)
	}

	t.Setenv("PEAL_MESSAGE_BYTES", "1MiB")
	t.Setenv("PEAL_HISTORY_BYTES", "4MiB")
	large := serving(t)
	long := strings.Repeat("y", 900<<10)
	ok(t, long+"\n", "pub", "--url", large, "a")
	for _, transport := range allTransports {
		if got := ok(t, "", "sub", "a", "--last", "1", "--count", "1", "--url", large, "--transport", transport); got != long+"\n" {
			t.Errorf("%s: %d bytes of %d came", transport, len(got)-1, len(long))
		}
	}
}
