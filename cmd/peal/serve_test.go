package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const patience = time.Minute

// called runs the program to its end and returns its exit code and its output.
func called(t *testing.T, args ...string) (code int, stdout, message string) {
	t.Helper()
	// A server that starts against expectation must not stay for ever.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs strings.Builder
	if err := run(ctx, args, strings.NewReader(""), &out, &errs); err != nil {
		return exitCode(err), out.String(), err.Error()
	}
	if ctx.Err() != nil {
		t.Errorf("peal %q served, want it to end at once", args)
	}
	return 0, out.String(), errs.String()
}

func TestServeAnswersAndEndsWithItsContext(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "peal.sock")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { // ends with the context
		ended <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--listen", "unix:" + socket, "--loops", "1", "--drain", "2s"}, nil, out, io.Discard)
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	lines.Scan()
	tcp, unix, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "Peal listens on "), ", ")
	if !ok || unix != "unix:"+socket {
		t.Fatalf("the first line is %q", lines.Text())
	}
	read := make(chan string)
	go func() { // ends with the program
		said := ""
		for lines.Scan() {
			said += lines.Text() + "\n"
		}
		read <- said
	}()

	for name, transport := range map[string]*http.Transport{
		"tcp": {},
		"unix": {DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
	} {
		client := http.Client{Transport: transport, Timeout: patience}
		answer, err := client.Post("http://"+tcp+"/publish", "text/plain", strings.NewReader("hi"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answer.Body.Close()
		if answer.StatusCode != 200 {
			t.Errorf("%s: %s", name, answer.Status)
		}
		client.CloseIdleConnections()
	}

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("serve ends with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("serve does not end")
	}
	if said := <-read; !strings.Contains(said, "http://"+tcp+"/") || !strings.Contains(said, "curl -d 'hello' http://"+tcp+"/publish") {
		t.Errorf("it does not print what to do next: %q", said)
	}
	if c, err := net.DialTimeout("tcp", tcp, time.Second); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

func TestServeRefusesAddressesThatOthersReach(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "localhost.example.com:0"} {
		code, stdout, message := called(t, "serve", "--listen", address)
		if code != 2 || stdout != "" {
			t.Errorf("--listen %s: exit code %d, stdout %q, want 2 and nothing", address, code, stdout)
		}
		for _, part := range []string{address, "every client that can reach this address could publish and subscribe", "--open", "127.0.0.1"} {
			if !strings.Contains(message, part) {
				t.Errorf("--listen %s: the message lacks %q: %s", address, part, message)
			}
		}
	}
}

func TestServeListensAnywhereWithOpen(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { // ends with the context
		ended <- run(ctx, []string{"serve", "--open", "--listen", "0.0.0.0:0", "--loops", "1"}, nil, out, io.Discard)
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	if lines.Scan(); !strings.HasPrefix(lines.Text(), "Peal listens on 0.0.0.0:") && !strings.HasPrefix(lines.Text(), "Peal listens on [::]:") {
		t.Errorf("the first line is %q", lines.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the program
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A program that reads the log gets JSON; a port alone is one of this machine.
func TestServeOnAPortAloneLogsItsLife(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // free now; whoever takes it meanwhile makes the test fail, with a reason
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in, out := io.Pipe()
	var log strings.Builder
	ended := make(chan error, 1)
	go func() { // ends with the context
		ended <- run(ctx, []string{"serve", "--listen", port, "--loops", "1"}, nil, out, &log)
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	if lines.Scan(); !strings.HasPrefix(lines.Text()+",", "Peal listens on 127.0.0.1:"+port+",") {
		t.Errorf("the first line is %q", lines.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the program
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"msg":"serving","addresses":["127.0.0.1:` + port + `"`, `"page":"http://127.0.0.1:` + port + `/"`, `"msg":"draining"`} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, log.String())
		}
	}
}

func TestServeReportsAllMistakesAtOnce(t *testing.T) {
	code, _, message := called(t, "serve", "--listen", "0.0.0.0:0", "--listen", "nonsense", "--listen", "unix:", "--ring-slots", "1000")
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, part := range []string{"0.0.0.0:0", `"nonsense"`, `"unix:"`, "ring-slots 1000"} {
		if !strings.Contains(message, part) {
			t.Errorf("%s is not among the mistakes: %s", part, message)
		}
	}
}

func TestServePortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	code, stdout, message := called(t, "serve", "--listen", ln.Addr().String())
	if code != 1 || stdout != "" {
		t.Errorf("exit code %d, stdout %q, want 1 and nothing", code, stdout)
	}
	if !strings.Contains(message, "address already in use") {
		t.Errorf("the message is %q", message)
	}
	if said, _, _ := strings.Cut(message, "process "); strings.Count(said, ln.Addr().String()) != 1 {
		t.Errorf("the message does not contain the address once: %q", message)
	}
	if want := fmt.Sprintf("process %d (", os.Getpid()); !strings.Contains(message, want) || !strings.Contains(message, "peal.test") {
		t.Errorf("the message does not name the process that has the port, %q: %q", want, message)
	}
}

func TestUsageMistakesExitWith2(t *testing.T) {
	for _, args := range [][]string{
		{"serve", "--no-such-flag"},
		{"serve", "--loops", "many"},
		{"serve", "--drain", "soon"},
		{"serve", "--listen"},
		{"serve", "extra"},
		{"version", "extra"},
		{"no-such-command"},
	} {
		if code, _, message := called(t, args...); code != 2 || message == "" {
			t.Errorf("peal %q: exit code %d, %q, want 2 and a reason", args, code, message)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "serve"},
		{[]string{"--help"}, "Real-time message push"},
		{[]string{"serve", "--help"}, "--listen"},
		{[]string{"version"}, "peal "},
	} {
		if code, stdout, _ := called(t, c.args...); code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("peal %q: exit code %d, %q, want 0 and %q", c.args, code, stdout, c.want)
		}
	}
}
