package endtoend_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientFolder has the packages of the browser client's tests, EventSource's
// stand-ins among them: npm ci in clients/js.
const clientFolder = "../../clients/js"

// TestEventSourcesKeepTheFirstPosition cuts each client off before its first
// message. What is published meanwhile must come when it is back, and nothing
// but messages may look like one.
func TestEventSourcesKeepTheFirstPosition(t *testing.T) {
	p := start(t)
	for _, name := range []string{"eventsource", "event-source-polyfill", "@microsoft/fetch-event-source"} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			proxy := proxyTo(t, p.addr)
			channel := "position-" + filepath.Base(name)
			keepsTheFirstPosition(t, p, proxy, channel, eventSource(t, name, proxy.url+"/sse?channel="+channel))
		})
	}
	t.Run("browser", func(t *testing.T) {
		proxy := proxyTo(t, p.addr)
		page := httptest.NewServer(http.NotFoundHandler()) // without a policy of its own, as the server's page has
		t.Cleanup(page.Close)
		browser := browse(t, page.URL)
		browser.evaluate(`window.heard = [];
			window.probe = new EventSource('` + proxy.url + `/sse?channel=position-browser');
			probe.onmessage = e => heard.push('message ' + e.data);
			for (const name of ['peal.cursor', 'gap']) probe.addEventListener(name, e => heard.push(name + ' ' + e.data)); 0`)
		n := "0"
		keepsTheFirstPosition(t, p, proxy, "position-browser", func() string {
			browser.until("heard.length > " + n)
			line := browser.evaluate("heard[" + n + "]")
			n += "+1"
			return strings.Trim(line, `"`)
		})
	})
}

// eventSource subscribes with a stand-in of EventSource in Node, until the test ends. It
// returns what waits for the next event that the client fires.
func eventSource(t *testing.T, name, url string) (next func() string) {
	t.Helper()
	node := tool(t, "node")
	if _, err := os.Stat(filepath.Join(clientFolder, "node_modules", name)); err != nil {
		lacking(t, name+" is not in clients/js/node_modules: run npm ci in clients/js")
	}
	cmd := exec.Command(node, "testdata/eventsource.mjs", name, url, clientFolder)
	var complaints bytes.Buffer // the polyfill prints each error that it gets over
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() { // ends with the process
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed
		for range lines {
		}
		if t.Failed() {
			t.Logf("it says:\n%s", complaints.String())
		}
	})
	return func() string {
		select {
		case line := <-lines:
			return line
		case <-time.After(patience):
			return "nothing"
		}
	}
}

// keepsTheFirstPosition holds what next returns, a line for each event that the
// client fired, to what it should hear.
func keepsTheFirstPosition(t *testing.T, p *peal, proxy *proxy, channel string, next func() string) {
	t.Helper()
	if line := next(); !strings.HasPrefix(line, "peal.cursor ") {
		t.Fatalf("first the client hears %q, want its position", line)
	}
	proxy.set(faults{down: true})
	p.publish(channel, "while it was away")
	proxy.set(faults{})
	message := func() string {
		for {
			if line := next(); !strings.HasPrefix(line, "peal.cursor ") {
				return line
			}
		}
	}
	if line := message(); line != "message while it was away" {
		t.Errorf("after it was cut off the client hears %q, want what was published meanwhile", line)
	}
	p.publish(channel, "after")
	if line := message(); line != "message after" {
		t.Errorf("then the client hears %q, want the next message", line)
	}
}

// A client that resumes has its position: it receives what it missed and nothing
// that looks like more.
func TestAResumedStreamBeginsWithWhatWasMissed(t *testing.T) {
	p := start(t)
	one := p.publish("a", "one")
	p.publish("a", "two")
	for _, s := range []*eventStream{
		p.events("channel=a&cursor=earliest", "Last-Event-ID: "+one),
		p.events("channel=a&cursor=earliest&lastEventId=" + one),
	} {
		if e, fired, err := s.block(); err != nil || !fired || e.data != "two" || s.retry == "" {
			t.Errorf("the stream begins with %+v (fires: %v, error: %v, retry %q), want the message behind its position", e, fired, err, s.retry)
		}
	}
}
