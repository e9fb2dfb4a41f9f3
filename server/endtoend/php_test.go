package endtoend_test

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// php starts a script of testdata; wait returns when it has ended well.
func php(t *testing.T, script string, args ...string) (stdout *bufio.Reader, wait func()) {
	t.Helper()
	return phpFile(t, "testdata/"+script, args...)
}

func phpFile(t *testing.T, script string, args ...string) (stdout *bufio.Reader, wait func()) {
	t.Helper()
	path := tool(t, "php")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, path, append([]string{"-d", "display_errors=stderr", "-d", "error_reporting=-1", "-d", "zend.exception_ignore_args=0", script}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waited := false
	wait = func() {
		t.Helper()
		if waited {
			return
		}
		waited = true
		err := cmd.Wait()
		cancel()
		if err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v, stderr: %s", script, err, stderr.String())
		}
	}
	t.Cleanup(func() {
		cancel()
		wait()
	})
	return bufio.NewReader(out), wait
}

// lines runs a script to its end.
func lines(t *testing.T, script string, args ...string) []string {
	t.Helper()
	out, wait := php(t, script, args...)
	b, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	wait()
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestPHPPublishes(t *testing.T) {
	tool(t, "php")
	p := start(t)
	got := lines(t, "publish.php", p.url)
	if len(got) != 4 {
		t.Fatalf("answers %q, want four", got)
	}
	all := p.poll("channel=php&cursor=earliest")
	if want := []string{"by file_get_contents", "not a form", "by http_build_query: a&b=ü", `{"order":17,"paid":true}`}; !slices.Equal(all.texts(), want) {
		t.Errorf("published %q, want %q", all.texts(), want)
	}
	if m := all.Messages[2]; m.Event != "price" {
		t.Errorf("event is %q", m.Event)
	}
	if second := p.poll("channel=php2&cursor=earliest"); !slices.Equal(second.texts(), all.texts()[2:3]) {
		t.Errorf("the second channel has %q", second.texts())
	}
	if last := decode[struct{ Cursor string }](t, []byte(got[3])).Cursor; last != all.Cursor {
		t.Errorf("PHP was answered cursor %s, the poll %s", last, all.Cursor)
	}
}

func TestPHPPublishesWithCurl(t *testing.T) {
	tool(t, "php")
	p := start(t)
	got := lines(t, "curl.php", p.url)
	if len(got) != 3 || !strings.HasSuffix(got[1], " 0") || !strings.HasSuffix(got[2], " 0") {
		t.Errorf("answers %q, want three with one new connection", got)
	}
	all := p.poll("channel=php&cursor=earliest").texts()
	if want := []string{"by http_build_query", "by an array", strings.Repeat("x", 60000)}; !slices.Equal(all, want) {
		t.Errorf("published %.100q", all)
	}
}

func TestPHPReceivesByPolling(t *testing.T) {
	tool(t, "php")
	p := start(t)
	p.publish("php", "zero") // waits already
	out, wait := php(t, "poll.php", p.url, "php", "5")
	for _, text := range []string{"one", "two", "three", "grüße"} {
		p.awaitSubscribers("php", 1)
		p.publish("php", text)
		p.awaitDelivered(t, out, text)
	}
	wait()
}

// awaitDelivered reads lines until text.
func (p *peal) awaitDelivered(t *testing.T, out *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("waited for %q: %v", text, err)
		}
		if line = strings.TrimSuffix(line, "\n"); line == text {
			return
		} else if line != "zero" {
			t.Fatalf("got %q, want %q", line, text)
		}
	}
}

func TestPHPReceivesServerSentEvents(t *testing.T) {
	tool(t, "php")
	p := start(t)
	out, wait := php(t, "sse.php", p.url, "php", "3")
	p.awaitSubscribers("php", 1)
	p.publish("php", "one")
	p.publishTo("/publish?channel=php&event=price", "two", "Content-Type: text/plain")
	p.publish("php", "three\nlines\nlong")
	for _, want := range []string{"message: one", "price: two", "message: three / lines / long"} {
		if line, err := out.ReadString('\n'); err != nil || strings.TrimSuffix(line, "\n") != want {
			t.Fatalf("got %q (%v), want %q", line, err, want)
		}
	}
	wait()
}
