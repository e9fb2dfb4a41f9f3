package logging_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/server/logging"
)

func TestFormatAndLevel(t *testing.T) {
	check := func(format, level, wantFormat, want string) {
		t.Helper()
		var b strings.Builder
		l := logging.Open(&b, format, level)
		l.Info("hello", "limit", 10*time.Second)
		l.Warn("look")
		l.Close()
		l.Error("after the end")
		if l.Format != wantFormat || strings.Count(b.String(), "\n") != len(strings.Fields(want)) {
			t.Errorf("%s %s: format %s, logged %q", format, level, l.Format, b.String())
		}
		for _, word := range strings.Fields(want) {
			if !regexp.MustCompile(word).MatchString(b.String()) {
				t.Errorf("%s %s: logged %q, which lacks %q", format, level, b.String(), word)
			}
		}
	}
	check("text", "info", "text", "level=INFO.*limit=10s level=WARN")
	check("json", "info", "json", `"level":"INFO".*"limit":"10s" "level":"WARN"`)
	check("auto", "info", "json", `"level":"INFO" "level":"WARN"`) // no terminal
	check("text", "warn", "text", "level=WARN")
	check("text", "error", "text", "")
}

func TestAutoIsTextOnATerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer master.Close()
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	l := logging.Open(terminal, "auto", "info")
	defer l.Close()
	if l.Format != logging.Text {
		t.Errorf("on a terminal: %s", l.Format)
	}
}

func TestCheckNamesTheWords(t *testing.T) {
	if err := logging.Check("json", "debug"); err != nil {
		t.Error(err)
	}
	err := logging.Check("xml", "loud")
	if err == nil || !strings.Contains(err.Error(), "auto, text or json") || !strings.Contains(err.Error(), "debug, info, warn or error") {
		t.Errorf("error %v", err)
	}
}

// A reader that stops must not block the callers; it later receives the number of
// lines that it missed.
func TestLoggingNeverBlocks(t *testing.T) {
	r, w := io.Pipe() // takes nothing until somebody reads
	l := logging.Open(w, "json", "info")
	const n = 10_000
	for i := range n {
		l.Info("line", "i", i) // would block for ever
	}
	type line struct {
		Msg     string
		LeftOut int `json:"left_out"`
	}
	got, told := 0, 0
	lines := bufio.NewScanner(r)
	for got+told < n && lines.Scan() {
		var one line
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		if one.LeftOut > 0 {
			told += one.LeftOut
		} else {
			got++
		}
	}
	if got+told != n || told == 0 {
		t.Errorf("%d lines and %d left out, want %d in all", got, told, n)
	}
	// Again stopped: the end does not wait for ever.
	for range n {
		l.Info("line")
	}
	began := time.Now()
	l.Close()
	if d := time.Since(began); d > time.Minute {
		t.Errorf("closing took %v", d)
	}
	r.Close()
}

// A log whose reader leaves counts the lines that nobody received. A new reader
// of the same pipe receives lines again, and the number of those lost.
func TestLogGoesOnWithTheNextReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := read()
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l := logging.Open(w, "json", "info")
	defer l.Close()
	l.Info("to the first")
	if line, err := bufio.NewReader(first).ReadString('\n'); err != nil || !strings.Contains(line, "to the first") {
		t.Fatalf("the first reader receives %q, %v", line, err)
	}
	first.Close()
	const n = 5
	for range n {
		l.Info("to nobody")
	}
	for end := time.Now().Add(20 * time.Second); l.Lost() < n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d lines are counted as lost", l.Lost(), n)
		}
	}
	second := read()
	defer second.Close()
	l.Info("to the second")
	lines := bufio.NewReader(second)
	for _, want := range []string{`"to the second"`, `"left_out":5`} {
		if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Errorf("the second reader receives %q, %v, want %s", line, err, want)
		}
	}
}

// Another process that has the pipe may have made it non-blocking: then a full
// pipe refuses bytes, which is no reason to lose lines.
func TestNoLineIsLostToAPipeThatDoesNotBlock(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer r.Close()
	if err := unix.SetNonblock(fds[1], true); err != nil { // after NewFile: the runtime does not know
		t.Fatal(err)
	}
	l := logging.Open(w, "json", "info")
	const n = 200
	for i := range n {
		l.Info(strings.Repeat("x", 1000), "i", i)
	}
	lines := bufio.NewReader(r)
	for i := range n {
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf(`"i":%d}`, i); err != nil || !strings.HasSuffix(strings.TrimSpace(line), want) {
			t.Fatalf("line %d is %q, %v", i, line, err)
		}
	}
	l.Close()
	w.Close()
	if l.Lost() != 0 {
		t.Errorf("%d lines are lost", l.Lost())
	}
}

func TestTheLevelCanChange(t *testing.T) {
	var b strings.Builder
	l := logging.Open(&b, "json", "warn")
	l.Info("before")
	l.SetLevel("info")
	l.Info("after")
	l.Close()
	if got := b.String(); strings.Contains(got, "before") || !strings.Contains(got, "after") {
		t.Errorf("logged %q", got)
	}
}
