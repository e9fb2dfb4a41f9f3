package endtoend_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUpgradeDocument plays the commands of docs/upgrade.md.
func TestUpgradeDocument(t *testing.T) {
	tool(t, "curl")
	page, err := os.ReadFile("../../docs/upgrade.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sh := func(command string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(pealBinary)+":"+os.Getenv("PATH"))
		return cmd
	}
	addr, commands := "", 0
	for _, box := range regexp.MustCompile("(?ms)^```(sh|console)\n(.*?)^```$").FindAllSubmatch(page, -1) {
		text := string(box[2])
		if strings.HasPrefix(text, "peal serve ") {
			addr = upgradable(t, dir, sh("exec "+strings.ReplaceAll(text, "127.0.0.1:8080", "127.0.0.1:0")))
			continue
		}
		for _, one := range strings.Split("\n"+text, "\n$ ")[1:] {
			command, want, _ := strings.Cut(one, "\n")
			command = strings.ReplaceAll(command, "127.0.0.1:8080", addr)
			commands++
			if background, ok := strings.CutSuffix(command, " &"); ok {
				cmd := sh("exec " + background)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
				continue
			}
			s := &session{t: t, known: map[string]string{}}
			for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
				var stderr bytes.Buffer
				cmd := sh(command)
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				got := strings.TrimSpace(string(out))
				if err == nil && s.matches(strings.TrimSpace(want), got) {
					break
				}
				// What a stream has received may come a little later.
				if !strings.HasPrefix(command, "grep ") || time.Now().After(until) {
					t.Fatalf("%s\nprints %s (%v, %s)\nand the page has %s", command, got, err, stderr.String(), want)
				}
			}
		}
	}
	if addr == "" || commands < 5 {
		t.Errorf("the page starts a server at %q and has %d commands", addr, commands)
	}
}

// upgradable starts a server with an admin listener at admin.sock in dir. It and the processes that go on for it end
// with the test.
func upgradable(t *testing.T, dir string, cmd *exec.Cmd) (addr string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, log
	err = cmd.Start()
	w.Close()
	log.Close()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }() // ends with the process
	t.Cleanup(func() {
		if process := servingProcess(filepath.Join(dir, "admin.sock")); process != 0 {
			endProcess(t, process)
		}
		cmd.Process.Kill()
		<-ended
	})
	lines := bufio.NewReader(r)
	first, err := lines.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(first), "Peal listens on ")
	if err != nil || !ok {
		text, _ := os.ReadFile(filepath.Join(dir, "server.log"))
		t.Fatalf("it does not serve: %q, %v, %s", first, err, text)
	}
	go func() { // ends with the last process
		for err == nil {
			_, err = lines.ReadString('\n')
		}
	}()
	return addr
}

// endProcess kills a process that is no child, and waits for its end.
func endProcess(t *testing.T, process int) {
	handle, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(handle)
	_ = unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0) // it may have ended
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Errorf("process %d does not end", process)
			return
		}
		_, _ = unix.Wait4(process, nil, 0, nil) // its parent has ended, and this process stands in
		return
	}
}

// servingProcess is the process behind an admin listener, 0 if there is none.
func servingProcess(socket string) int {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := client.Get("http://localhost/live")
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	var live struct{ Process int }
	_ = json.NewDecoder(r.Body).Decode(&live) // 0
	return live.Process
}
