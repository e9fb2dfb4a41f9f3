package endtoend_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// chromium is a headless browser with one page, steered over the pipe of the
// DevTools protocol: JSON objects, each ended by a NUL.
type chromium struct {
	t       testing.TB
	page    string // session id of the page
	target  string // its name in the browser, of those that tab has opened
	in      *os.File
	replies chan reply

	mu       sync.Mutex
	calls    int
	messages []string // of the page's console and of uncaught errors
}

type reply struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Params json.RawMessage `json:"params"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// browse starts the browser and opens the URL.
func browse(t *testing.T, url string) *chromium {
	t.Helper()
	path := tool(t, "chromium")
	profile := t.TempDir()
	theirIn, ourIn := pipe(t)
	ourOut, theirOut := pipe(t)
	cmd := exec.Command(path,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-dev-shm-usage", "--disable-breakpad", "--user-data-dir="+profile,
		"--remote-debugging-pipe", "about:blank")
	if key := os.Getenv(knownKey); key != "" {
		cmd.Args = slices.Insert(cmd.Args, 1, "--ignore-certificate-errors-spki-list="+key)
	}
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, as the flag says
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(profile, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	c := &chromium{t: t, in: ourIn, replies: make(chan reply, 16)}
	read := make(chan struct{})
	go func() { // ends when the browser does
		defer close(read)
		c.read(ourOut)
	}()
	t.Cleanup(func() {
		killGroup(t, cmd)
		ourIn.Close()
		ourOut.Close()
		<-read
		if t.Failed() {
			c.mu.Lock()
			defer c.mu.Unlock()
			said, _ := os.ReadFile(log.Name())
			t.Logf("the page's console: %q\nchromium's stderr ends: %s", c.messages, said[max(0, len(said)-1500):])
		}
	})

	var target struct{ TargetID string }
	c.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	c.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	c.page = session.SessionID
	c.do("Runtime.enable", nil)
	c.do("Log.enable", nil)
	c.do("Page.enable", nil)
	c.do("Page.navigate", map[string]any{"url": url})
	return c
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// killGroup ends the process and all that it started.
func killGroup(t testing.TB, cmd *exec.Cmd) {
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // it may have ended
	_ = cmd.Wait()                                // killed: nothing to learn from it
	// Then the orphans, each of which becomes ours (see testMain) when the one
	// between has ended. The crash reporter, alone, has left the group.
	for end := time.Now().Add(patience); time.Now().Before(end); {
		_, err := unix.Wait4(-cmd.Process.Pid, nil, 0, nil)
		if errors.Is(err, unix.ECHILD) && unix.Kill(-cmd.Process.Pid, 0) != nil && !killReporter() {
			return
		}
	}
	t.Error("chromium does not end")
}

// killReporter ends a crash reporter of a browser that has ended, if there is one.
func killReporter() bool {
	for _, child := range children() {
		if child.name == "chrome_crashpad" {
			_ = unix.Kill(child.pid, unix.SIGKILL) // it may have ended
			_, err := unix.Wait4(child.pid, nil, 0, nil)
			return err == nil || errors.Is(err, unix.EINTR)
		}
	}
	return false
}

func (c *chromium) read(out *os.File) {
	defer close(c.replies)
	in := bufio.NewReader(out)
	for {
		b, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var r reply
		if json.Unmarshal(b[:len(b)-1], &r) != nil {
			continue
		}
		switch {
		case r.ID != 0:
			c.replies <- r
		case r.Method == "Runtime.exceptionThrown", r.Method == "Runtime.consoleAPICalled", r.Method == "Log.entryAdded":
			c.mu.Lock()
			c.messages = append(c.messages, string(r.Params))
			c.mu.Unlock()
		}
	}
}

// call sends one command and waits for its result.
func (c *chromium) call(session, method string, params, result any) {
	c.t.Helper()
	c.calls++
	b, err := json.Marshal(struct {
		ID        int    `json:"id"`
		Method    string `json:"method"`
		Params    any    `json:"params,omitempty"`
		SessionID string `json:"sessionId,omitempty"`
	}{c.calls, method, params, session})
	if err == nil {
		_, err = c.in.Write(append(b, 0))
	}
	if err != nil {
		c.t.Fatalf("chromium: %s: %v", method, err)
	}
	select {
	case r, ok := <-c.replies:
		switch {
		case !ok:
			c.t.Fatalf("chromium ended during %s", method)
		case r.Error != nil:
			c.t.Fatalf("chromium: %s: %s", method, r.Error.Message)
		case r.ID != c.calls:
			c.t.Fatalf("chromium: %s: reply to another command", method)
		}
		if result != nil {
			if err := json.Unmarshal(r.Result, result); err != nil {
				c.t.Fatalf("chromium: %s: %v in %s", method, err, r.Result)
			}
		}
	case <-time.After(patience):
		c.t.Fatalf("chromium: %s: no reply", method)
	}
}

func (c *chromium) do(method string, params any) {
	c.t.Helper()
	c.call(c.page, method, params, nil)
}

// evaluate runs a script in the page, waits if it gives a promise, and returns
// what becomes of it as text.
func (c *chromium) evaluate(script string) string {
	c.t.Helper()
	var got struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		ExceptionDetails *struct {
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	c.call(c.page, "Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		c.t.Fatalf("script %.80q: %s", script, got.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(got.Result.Value)
}

// until waits, inside the page, until the script is true.
func (c *chromium) until(condition string) {
	c.t.Helper()
	done := c.evaluate(fmt.Sprintf(`new Promise(done => {
		const end = Date.now() + %d;
		(function look() {
			let yes = false;
			try { yes = %s; } catch {}
			if (yes || Date.now() > end) done(!!yes); else setTimeout(look, 20);
		})();
	})`, (patience - 5*time.Second).Milliseconds(), condition))
	if done != "true" {
		c.t.Fatalf("waited in the page for %s; it shows: %s", condition, c.evaluate("document.body && document.body.innerText"))
	}
}

// screenshot saves the whole page as it is now.
func (c *chromium) screenshot(path string) {
	c.t.Helper()
	var shot struct{ Data string }
	c.call(c.page, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	b, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// errors are what the page complained about, but for what the test expects.
func (c *chromium) errors(except ...string) (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
next:
	for _, m := range c.messages {
		if !strings.Contains(m, `"level":"error"`) && !strings.Contains(m, `"exceptionDetails"`) && !strings.Contains(m, `"type":"error"`) {
			continue
		}
		for _, e := range except {
			if strings.Contains(m, e) {
				continue next
			}
		}
		list = append(list, m)
	}
	return list
}
