package endtoend_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"peal/loadtest/child"
	"peal/server/apikey"
)

// operated is a real server as an operator has it: with a file or pipe for its
// log, a configuration file, limits of the shell.
type operated struct {
	*peal
	log string // path of what standard error is written to, "" if a test gave another
}

// operate runs `peal serve` on a free port. shell, if any, is put before the
// program: words of sh that end in exec.
func operate(t *testing.T, stdout, stderr *os.File, shell string, flags ...string) *operated {
	t.Helper()
	o := &operated{}
	if stderr == nil {
		o.log = filepath.Join(t.TempDir(), "log")
		f, err := os.Create(o.log)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		stderr = f
	}
	cmd := exec.Command(pealBinary, append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)...)
	if shell != "" {
		cmd = exec.Command("sh", append([]string{"-c", shell + ` "$@"`, "sh"}, cmd.Args...)...)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, stderr
	if stdout != nil {
		cmd.Stdout = stdout
	}
	process, err := child.Start(cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	addr := ""
	if stdout == nil {
		first, err := bufio.NewReader(r).ReadString('\n')
		addr, _ = strings.CutPrefix(strings.TrimSpace(first), "Peal listens on ")
		if err != nil {
			_ = process.Exit()
			t.Fatalf("peal serve ended: %s", o.said())
		}
	}
	o.peal = newPeal(t, addr)
	o.process, o.stderr = process, new(strings.Builder)
	o.stop = func() {
		if o.waited {
			return
		}
		o.waited = true
		_, _ = process.Stop(syscall.SIGKILL, 0) // it may have ended
	}
	t.Cleanup(o.stop)
	return o
}

// said is the log so far.
func (o *operated) said() string {
	b, _ := os.ReadFile(o.log) // "" without one
	return string(b)
}

// awaitLine waits until the log has text.
func (o *operated) awaitLine(text string) {
	o.t.Helper()
	o.await("the log has "+text, func() bool {
		o.publish("tick", "x")
		return strings.Contains(o.said(), text)
	})
}

// end ends the server by a signal and checks that it did so well.
func (o *operated) end(s syscall.Signal) {
	o.t.Helper()
	o.signal(s)
	if code := o.exitCode(); code != 0 {
		o.t.Errorf("exit code %d, want 0: %s", code, o.said())
	}
}

// The readers of standard output and standard error leave, as a collector of logs
// does that is restarted. The server goes on, counts, and serves the next reader.
func TestServerOutlivesTheReadersOfItsOutput(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() *os.File {
		f, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := read()
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(config, []byte("drain: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := filepath.Join(t.TempDir(), "admin")
	// operate has closed the reader of standard output when it returns.
	o := operate(t, nil, w, "", "--config", config, "--admin", "unix:"+admin)
	w.Close()
	line, err := bufio.NewReader(first).ReadString('\n')
	if err != nil || !strings.Contains(line, "serving") {
		t.Fatalf("the log begins with %q, %v", line, err)
	}
	first.Close()
	o.await("lost lines are counted", func() bool {
		o.signal(syscall.SIGHUP)  // writes a line to standard error
		o.signal(syscall.SIGUSR1) // and this to standard output
		o.publish("a", "x")
		return !strings.Contains(overSocket(t, admin, "GET", "/metrics"), "peal_logging_lost_lines_total 0\n")
	})
	second := read()
	defer second.Close()
	lines := make(chan string)
	go func() { // ends with the server
		for s := bufio.NewScanner(second); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	told := false
	o.await("the next reader receives the number of lost lines", func() bool {
		o.signal(syscall.SIGHUP)
		o.publish("a", "x")
		select {
		case line := <-lines:
			told = strings.Contains(line, `"left_out":`)
		default:
		}
		return told
	})
	go func() { // ends with the server
		for range lines {
		}
	}()
	o.end(syscall.SIGTERM)
}

// What is written for a pipeline ends quietly when the pipeline has enough, as
// other tools do: by SIGPIPE, without a word.
func TestCommandsEndQuietlyInAPipeline(t *testing.T) {
	p := launch(t, "--listen", "127.0.0.1:0")
	p.publish("a", "hello")
	for _, command := range []string{
		"version", "--help", "serve --help", "serve --print-config", "serve --check", "completion bash",
		"sub a --last 1", "sub a --last 1 --transport sse", "sub a --last 1 --transport poll", "pub a hi --cursor",
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := exec.Command(pealBinary, strings.Fields(command)...)
		cmd.Env = append(os.Environ(), "PEAL_URL="+p.url)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = w, &said
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		_ = cmd.Run() // ends by the signal
		w.Close()
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !status.Signaled() || status.Signal() != syscall.SIGPIPE || said.String() != "" {
			t.Errorf("peal %s | true: %v, stderr %q, want SIGPIPE and nothing", command, cmd.ProcessState, said.String())
		}
	}
}

func TestSIGHUPWithoutAFileDrains(t *testing.T) {
	dir := t.TempDir()
	o := operate(t, nil, nil, "", "--log", "file:"+dir)
	stream := o.dialSocket("/ws?channel=a", nil)
	o.end(syscall.SIGHUP)
	<-stream.ended
	if said := o.said(); stream.code != 1001 || !strings.Contains(said, "no configuration file") || !strings.Contains(said, "draining") {
		t.Errorf("close code %d, want 1001; log: %s", stream.code, said)
	}
}

func TestSIGHUPIsIgnoredUnderNohup(t *testing.T) {
	o := operate(t, nil, nil, `trap "" HUP; exec`)
	o.signal(syscall.SIGHUP)
	o.publish("a", "x")
	o.end(syscall.SIGTERM)
	if said := o.said(); strings.Contains(said, "SIGHUP") {
		t.Errorf("log: %s", said)
	}
}

// A terminal that closes sends SIGHUP, too: the server must not stay behind.
func TestTheEndOfTheTerminalDrains(t *testing.T) {
	master, terminal := pseudoTerminal(t)
	defer master.Close()
	config := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(config, []byte("drain: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := operate(t, nil, terminal, "", "--config", config)
	terminal.Close()
	o.signal(syscall.SIGHUP) // by hand, while the terminal is open: a reload
	lines := bufio.NewScanner(master)
	for lines.Scan() && !strings.Contains(lines.Text(), "configuration reloaded") {
	}
	master.Close()
	o.end(syscall.SIGHUP)
}

func pseudoTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		t.Skip(err)
	}
	return master, terminal
}

// SIGHUP applies what can be applied, names what cannot, and a file with a fault
// changes nothing.
func TestSIGHUPReloads(t *testing.T) {
	config := filepath.Join(t.TempDir(), "peal.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const rule = "channels:\n  - match: \"small\"\n    message-bytes: %\n"
	write("workers: 2\n" + strings.Replace(rule, "%", "10B", 1))
	o := operate(t, nil, nil, "", "--config", config, "--poll-timeout", "2s")
	post := func() int { return o.do("POST", "/publish?channel=small", strings.Repeat("x", 20)).status }
	if got := post(); got != 413 {
		t.Fatalf("20 bytes where 10 may be: %d", got)
	}
	socket := o.dialSocket("/ws?channel=a", nil)

	const page = "https://app.example"
	from := func() answer { return o.do("POST", "/publish?channel=a", "x", "Origin: "+page) }
	if got := from(); got.status != 403 {
		t.Errorf("a page of another origin: %d", got.status)
	}
	write("workers: 3\nallow-origin: [\"" + page + "\"]\nbatch-messages: 1\npoll-timeout: 9s\nlog-level: debug\n" + strings.Replace(rule, "%", "30B", 1))
	o.signal(syscall.SIGHUP)
	o.awaitLine(`"applied":"allow-origin log-level batch-messages channels","need_restart":1`)
	if said := o.said(); !strings.Contains(said, `"setting":"workers","source":"`+config+`, line 1"`) || strings.Count(said, "restart the server to apply it") != 1 {
		t.Errorf("log: %s", said)
	}
	if got := post(); got != 200 {
		t.Errorf("20 bytes where 30 may be: %d", got)
	}
	const batch = `{"messages":[{"channel":"a","data":"x"},{"channel":"b","data":"x"}]}`
	two := func() int { return o.do("POST", "/publish/batch", batch, "Content-Type: application/json").status }
	if got := two(); got != 400 {
		t.Errorf("two messages where one may be: %d", got)
	}
	if got := from(); got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("the page is allowed now: %d %v", got.status, got.header)
	}

	write("batch-messages: 5\nbatch-mesages: 6\n")
	o.signal(syscall.SIGHUP)
	o.awaitLine("did you mean batch-messages?")
	write("batch-messages: 5\nmax-connections: 2000000000\n")
	o.signal(syscall.SIGHUP)
	o.awaitLine("the limit of open files is")
	if got := two(); got != 400 {
		t.Errorf("after two faults: %d", got)
	}
	o.publish("a", "still here")
	for f := range socket.got {
		if strings.Contains(f.data, "still here") {
			break
		}
	}
	o.end(syscall.SIGTERM)
}

// Keys can be in a file of their own, without a configuration file: SIGHUP reads it
// again.
func TestSIGHUPReloadsKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("keys: []\n")
	o := operate(t, nil, nil, "", "--key-file", path)
	write("keys:\n  - name: shop\n    digest: \"" + apikey.Digest("any") + "\"\n    allow: [publish]\n")
	o.signal(syscall.SIGHUP)
	o.awaitLine(`"applied":"keys","need_restart":0`)
	write("keys:\n  - name: shop\n")
	o.signal(syscall.SIGHUP)
	o.awaitLine("has no digest")
	o.end(syscall.SIGTERM)
}

// More connections than descriptors is an error at the start, with the number to
// set; it used to refuse everybody.
func TestServeNeedsDescriptorsForItsConnections(t *testing.T) {
	for _, c := range []struct{ shell, flags, want string }{
		{"ulimit -n 64; exec", "", "the limit of open files is 64: 16 connections need "},
		{"ulimit -n 1000; exec", "--max-connections 5000", "the limit of open files is 1000: 5000 connections need 5"},
		{"ulimit -n 1000; exec", "--max-connections 5000", "or set max-connections to at most 8"},
	} {
		cmd := exec.Command("sh", append([]string{"-c", c.shell + ` "$@"`, "sh", pealBinary, "serve", "--listen", "127.0.0.1:0", "--loops", "1"}, strings.Fields(c.flags)...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, _ := cmd.CombinedOutput() // the exit code is looked at below
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), c.want) {
			t.Errorf("%s %s: %v, %s, want %q", c.shell, c.flags, cmd.ProcessState, out, c.want)
		}
	}
	o := operate(t, nil, nil, "ulimit -n 200; exec", "--loops", "1", "--max-connections", "5")
	o.publish("a", "x")
	if said := o.said(); !strings.Contains(said, `"loops":1,"max_connections":5,"open_files_limit":200`) {
		t.Errorf("the first line lacks the limits: %s", said)
	}
	o.end(syscall.SIGTERM)
	many := operate(t, nil, nil, "", "--loops", "4096")
	many.publish("a", "x")
	if said := many.said(); !strings.Contains(said, `"loops":4096,"processors":`) {
		t.Errorf("no warning that loops are fewer: %s", said)
	}
	many.end(syscall.SIGTERM)
}

// A listener that the parent process passes is one that others may reach, too.
func TestInheritedListenersNeedOpen(t *testing.T) {
	pass := func(address string, flags ...string) (*exec.Cmd, io.Reader) {
		t.Helper()
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd := exec.Command(pealBinary, append([]string{"serve", "--inherit", "3"}, flags...)...)
		cmd.ExtraFiles = []*os.File{f}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = w, w
		err = cmd.Start()
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()
			r.Close()
		})
		return cmd, r
	}
	_, out := pass("0.0.0.0:0")
	said, err := io.ReadAll(out) // ends with the process
	if err != nil || !strings.Contains(string(said), "inherit descriptor 3: it listens on ") || !strings.Contains(string(said), "--open") {
		t.Errorf("passed an address that others reach, it says %s, %v", said, err)
	}
	for address, flags := range map[string][]string{"0.0.0.0:0": {"--open"}, "127.0.0.1:0": nil} {
		_, out := pass(address, flags...)
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "Peal listens on ") {
		}
		if at, _ := strings.CutPrefix(lines.Text(), "Peal listens on "); at == "" {
			t.Errorf("%s %q: the last line is %q", address, flags, lines.Text())
		}
	}
}

// What a server on loopback serves at http://0.0.0.0 works there: the page, and
// the connections that its script opens.
func TestThePageWorksAtTheUnspecifiedAddress(t *testing.T) {
	p := start(t)
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	at := "0.0.0.0:" + port
	if got := p.do("GET", "/", "", "Host: "+at); got.status != 200 {
		t.Errorf("GET /: %d", got.status)
	}
	if got := p.do("POST", "/publish?channel=a", "x", "Host: "+at, "Origin: http://"+at); got.status != 200 {
		t.Errorf("publish: %d %s", got.status, got.body)
	}
	s := p.dialSocket("/ws?channel=a&last=1", http.Header{"Host": {at}, "Origin": {"http://" + at}})
	<-s.got
	if _, err := exec.LookPath("chromium"); err != nil {
		return
	}
	c := browse(t, "http://"+at+"/")
	c.until(`['ws', 'sse', 'poll'].every(id => document.querySelector('#' + id + ' small').className === 'good')`)
	if texts := c.evaluate(`document.getElementById('snippets').innerText`); strings.Contains(texts, "0.0.0.0") || !strings.Contains(texts, "http://localhost:"+port+"/publish") {
		t.Errorf("the page tells people to use %s", texts)
	}
}

// overSocket makes a request over a Unix socket and returns the body of the
// response, which must be 200.
func overSocket(t *testing.T, socket, method, path string) string {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Errorf("%s %s: %s, %v", method, path, response.Status, err)
	}
	return string(b)
}

// The socket is one that a proxy of another user can use, and the admin listener
// can be one as well.
func TestUnixSocketsOfBothListeners(t *testing.T) {
	dir := t.TempDir()
	front, admin := filepath.Join(dir, "front"), filepath.Join(dir, "admin")
	for _, c := range []struct {
		flags []string
		mode  os.FileMode
	}{{nil, 0o666}, {[]string{"--socket-mode", "0660"}, 0o660}, {[]string{"--socket-mode", "666"}, 0o666}, {[]string{"--socket-mode", "0"}, 0}} { // each after a SIGKILL
		o := operate(t, nil, nil, "umask 077; exec", append([]string{"--listen", "unix:" + front, "--admin", "unix:" + admin}, c.flags...)...)
		for path, request := range map[string]string{front: "/publish?channel=a", admin: "/healthz"} {
			info, err := os.Lstat(path)
			if err != nil || info.Mode().Perm() != c.mode {
				t.Errorf("%s with %q: %v, %v", path, c.flags, info.Mode(), err)
			}
			if c.mode == 0 && os.Getuid() != 0 { // for root alone
				continue
			}
			method := map[string]string{front: "POST", admin: "GET"}[path]
			if got := overSocket(t, path, method, request); got == "" {
				t.Errorf("%s: no response", path)
			}
		}
		o.stop()
	}
}
