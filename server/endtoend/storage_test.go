package endtoend_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused wants a publication to be refused because of the log.
func (o *operated) refused(why string) {
	o.t.Helper()
	if a := o.do("POST", "/publish?channel=a", "x", "Content-Type: text/plain"); a.status != 503 || !strings.Contains(string(a.body), "log_full") || a.header.Get("Retry-After") == "" {
		o.t.Errorf("%s: %d %s, want 503 log_full", why, a.status, a.body)
	}
}

// recovered publishes until that is accepted.
func (o *operated) recovered(data string) (cursor string) {
	o.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		a := o.do("POST", "/publish?channel=a", data, "Content-Type: text/plain")
		if a.status == 200 {
			return decode[struct{ Cursor string }](o.t, a.body).Cursor
		}
		if time.Now().After(end) {
			o.t.Fatalf("still %d %s; %s", a.status, a.body, o.said())
		}
	}
}

// ends asks the server to end, and returns its exit code.
func (o *operated) ends() int {
	o.t.Helper()
	o.client.CloseIdleConnections()
	o.signal(syscall.SIGTERM)
	return o.exitCode()
}

func TestTheLogsDirectoryGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	flags := []string{"--log", "file:" + dir, "--fsync", "always"}
	o := operate(t, nil, nil, "", flags...)
	before := o.publish("a", "before")
	s := o.events("channel=a").opened()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	o.refused("deleted")
	o.refused("deleted, and asked again")
	o.await("the log says why", func() bool { return strings.Contains(o.said(), "deleted, moved or replaced") })
	if a := o.poll("channel=a&cursor=earliest"); !slices.Equal(a.texts(), []string{"before"}) {
		t.Errorf("history is %+v", a)
	}
	if a := o.do("POST", "/disconnect?client=ann&for=1h", ""); string(a.body) != `{"disconnected":0,"kept_away":1,"not_durable":true}` {
		t.Errorf("disconnect: %d %s", a.status, a.body)
	}
	o.keptAway("ann", true)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	after := o.recovered("after")
	if e := s.next(); e.data != "after" {
		t.Errorf("the stream goes on with %+v", e)
	}
	if code := o.ends(); code != 0 {
		t.Errorf("exit code %d: %s", code, o.said())
	}
	o = operate(t, nil, nil, "", flags...)
	o.keptAway("ann", true) // stored when the log recovered
	if a := o.poll("channel=a&cursor=" + before); len(a.Gap) != 0 || !slices.Equal(a.texts(), []string{"after"}) {
		t.Errorf("from the cursor before it: %+v", a)
	}
	if a := o.poll("channel=a&cursor=earliest"); !slices.Equal(a.texts(), []string{"after"}) || a.Cursor != after {
		t.Errorf("all that is there: %+v, want what was published since", a)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if code := o.ends(); code != 1 || !strings.Contains(o.said(), "may be lost") {
		t.Errorf("a stop without a directory: exit code %d: %s", code, o.said())
	}
}

func TestAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	home := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "peal-test", home).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", home).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	dir := filepath.Join(home, "log")
	flags := []string{"--log", "file:" + dir, "--fsync", "always", "--log-segment-bytes", "64KiB", "--log-bytes", "16MiB"}
	files := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	whole := func() {
		t.Helper()
		for _, name := range files() {
			if name != "lock" && name != "state" && !strings.HasSuffix(name, ".log") { // a log has its state from its first start on
				t.Errorf("%s is left behind: %q", name, files())
			}
		}
	}

	o := operate(t, nil, nil, "", flags...)
	last, stored := "", 0
	for {
		a := o.do("POST", "/publish?channel=a", strings.Repeat("x", 10_000), "Content-Type: text/plain")
		if a.status != 200 {
			break
		}
		last = decode[struct{ Cursor string }](t, a.body).Cursor
		stored++
	}
	filler, err := os.Create(filepath.Join(home, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 512))
	}
	o.refused("full")
	if code := o.ends(); code != 0 {
		t.Errorf("a stop on a full disk: exit code %d: %s", code, o.said())
	}
	whole()

	o = operate(t, nil, nil, "", flags...)
	o.refused("started on a full disk")
	if a := o.poll("channel=a&timeout=1&cursor=" + last); len(a.Gap) != 0 || a.Cursor != last {
		t.Errorf("started on a full disk, from %s: %+v", last, a)
	}
	if a := o.do("GET", "/channels/a/history?limit=1&cursor=earliest", ""); a.status != 200 || stored < 50 || len(decode[struct{ Messages []message }](t, a.body).Messages) != 1 {
		t.Errorf("%d stored, history: %d %.200s", stored, a.status, a.body)
	}
	if code := o.ends(); code != 0 {
		t.Errorf("a stop of it: exit code %d: %s", code, o.said())
	}
	whole()

	o = operate(t, nil, nil, "", append(flags, "--log-bytes", "256KiB")...)
	if cursor := o.publish("a", "there is room"); cursor == "" {
		t.Error("no cursor")
	}
	if a := o.poll("channel=a&cursor=" + last); len(a.Gap) != 0 || !slices.Equal(a.texts(), []string{"there is room"}) {
		t.Errorf("after it: %+v", a)
	}
	if code := o.ends(); code != 0 {
		t.Errorf("exit code %d: %s", code, o.said())
	}
	whole()
}
