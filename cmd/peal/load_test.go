package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/liar"
	"peal/loadtest/report"
)

// pealEnv makes the test binary peal.
const pealEnv = "TEST_AS_PEAL"

// TestMain makes the test binary its own load test worker, and a server that a
// load test can end.
func TestMain(m *testing.M) {
	if os.Getenv(pealEnv) != "" {
		main()
		os.Exit(0)
	}
	child.Play(loadtest.Worker)
	os.Exit(m.Run())
}

// anyMachine are limits that a busy machine cannot break.
var anyMachine = []string{"--max-lag", "1e9", "--max-cpu", "1e9", "--min-sent", "0"}

// loadTested runs "peal load" and returns its report, nil if there is none.
func loadTested(t *testing.T, args ...string) (code int, r *report.Report, said string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "report.json")
	code, stdout, stderr := fed(t, "", append(append([]string{"load"}, args...), "--json", name)...)
	b, err := os.ReadFile(name)
	if err != nil {
		return code, nil, stdout + stderr
	}
	if r, err = report.Read(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	return code, r, stdout + stderr
}

// TestLoadCountsEveryLieExactly runs the command against a server that lies about
// the first 60 messages.
func TestLoadCountsEveryLieExactly(t *testing.T) {
	const subscribers = 7
	held := map[int]func(){}
	lies := []struct {
		name                                string
		plan                                liar.Plan // or lie
		lie                                 liar.Lie
		lost, duplicated, reordered, hungUp uint64
		damaged                             uint64
		objective                           string // that is missed
	}{
		{name: "truth", plan: liar.Truth},
		{name: "drops 3 for one", lost: 3, objective: "lost>2", plan: func(s int, n uint64, send func()) {
			if s != 2 || n > 60 || n%20 != 10 { // 10, 30, 50
				send()
			}
		}},
		{name: "repeats 2 to two", duplicated: 4, objective: "duplicated>=4", plan: func(s int, n uint64, send func()) {
			send()
			if s < 2 && (n == 25 || n == 50) {
				send()
			}
		}},
		{name: "sends 30 after 31 to three", reordered: 3, objective: "reordered>0", plan: func(s int, n uint64, send func()) {
			if s < 3 && n == 30 {
				held[s] = send
				return
			}
			send()
			if s < 3 && n == 31 {
				held[s]()
			}
		}},
		{name: "delays one by 50 ms and more", objective: "max>=50ms", plan: func(s int, n uint64, send func()) {
			if s == 0 && n == 40 {
				time.Sleep(50 * time.Millisecond)
			}
			send()
		}},
		{name: "changes 2 to one, and cuts 1", lost: 3, damaged: 3, objective: "corrupted>1", lie: func(to *liar.Subscriber, n uint64, message string) {
			switch {
			case to.Number == 3 && (n == 7 || n == 9):
				to.Send(strings.Replace(message, "klm", "kLm", 1))
			case to.Number == 3 && n == 8:
				to.Send(message[:100])
			default:
				to.Send(message)
			}
		}},
		{name: "hangs up on one", hungUp: 1, objective: "errors>0", lie: func(to *liar.Subscriber, n uint64, message string) {
			if to.Number == 4 && n == 41 {
				to.HangUp()
			}
			to.Send(message)
		}},
	}
	for _, way := range [][]string{nil, {"--gws"}} {
		for _, lie := range lies {
			t.Run(strings.Join(append(way, lie.name), " "), func(t *testing.T) {
				l := liar.StartOdd(t, liar.Oddity{Lie: lie.lie})
				if lie.plan != nil {
					l = liar.Start(t, lie.plan)
				}
				args := append([]string{"fanout", "--target", "ws://" + l.Addr + "/", "--publish", "ws://" + l.Addr + "/pub",
					"--connections", "7", "--rate", "500", "--duration", "200ms", "--settle", "400ms", "--idle", "0"}, anyMachine...)
				args = append(args, way...)
				want := 0
				if lie.objective != "" {
					want = exitMissed
					args = append(args, "--fail-if", lie.objective)
				}
				code, r, said := loadTested(t, args...)
				if code != want || r == nil || r.Messages == nil {
					t.Fatalf("exit code %d, want %d: %s", code, want, said)
				}
				m := r.Messages
				lost := lie.lost
				if lie.hungUp > 0 {
					lost = m.Sent - 40
				}
				if m.Sent < 60 || m.Expected != subscribers*m.Sent || m.Lost != lost || m.Delivered != m.Expected-lost ||
					m.Duplicated != lie.duplicated || m.Reordered != lie.reordered || m.Foreign != 0 || m.Damaged() != lie.damaged || m.Refused != 0 || r.Errors() != lie.hungUp {
					t.Errorf("%+v, %d errors; want %d lost, %+v", m, r.Errors(), lost, lie)
				}
				if uint64(r.Latency.Count) != m.Expected {
					t.Errorf("%d values in the histogram, want each expected delivery: %d", r.Latency.Count, m.Expected)
				}
			})
		}
	}
}

func TestLoadExitCodes(t *testing.T) {
	l := liar.Start(t, liar.Truth)
	base := []string{"--target", "ws://" + l.Addr + "/", "--publish", "ws://" + l.Addr + "/pub", "--connections", "3", "--duration", "100ms", "--idle", "0"}
	check := func(want int, says string, args ...string) {
		t.Helper()
		code, _, said := loadTested(t, args...)
		if code != want || !strings.Contains(said, says) {
			t.Errorf("peal load %q: exit code %d, want %d with %q:\n%s", args, code, want, says, said)
		}
	}
	fanout := func(more ...string) []string { return append(append([]string{"fanout"}, base...), more...) }
	check(2, "must be like", fanout("--fail-if", "p99")...)
	check(2, "not measured", fanout("--fail-if", "p97>1ms")...)
	check(2, "unit", fanout("--fail-if", "p99>1")...)
	check(2, "does not measure it", fanout("--fail-if", "recovery_max>1ms")...)
	check(2, "unknown flag", fanout("--conections", "3")...)
	check(2, "--publish", "fanout", "--target", "ws://"+l.Addr+"/elsewhere")
	check(2, "--secret", "fanout", "--target", "pusher+ws://"+l.Addr+"?channel=a&key=k&app=7")
	check(2, "6:3:1", append(append([]string{"mixed"}, base...), "--mix", "1:2")...)
	check(exitInvalid, "short of CPU", fanout("--max-cpu", "0")...)
	check(exitInvalid, "", "fanout", "--target", "ws://127.0.0.1:1/ws", "--connections", "1")
	check(exitInvalid, "no message was due", fanout("--rate", "0.1")...)
	odd := liar.StartOdd(t, liar.Oddity{Garbage: "\xc1\x01x"})
	check(exitInvalid, "could not read the server", "fanout", "--target", "ws://"+odd.Addr+"/ws", "--publish", "http://"+odd.Addr+"/publish", "--connections", "2", "--duration", "200ms", "--settle", "200ms", "--idle", "0")
	check(exitInvalid, "upgrade refused", "fanout", "--target", "ws://"+odd.Addr+"/ws", "--publish", "ws://"+odd.Addr+"/no", "--connections", "2", "--duration", "100ms")
	for _, args := range [][]string{{"only.json"}, {"a.json", "b.json", "c.json"}, {"--", "b.json"}, {"neither.json", "other.json"}} {
		if code, _, said := fed(t, "", append([]string{"load", "compare"}, args...)...); code != 2 {
			t.Errorf("peal load compare %q: exit code %d, want 2: %s", args, code, said)
		}
	}
}

// TestLoadMeasuresPeal runs each scenario against the real server, over each
// transport.
func TestLoadMeasuresPeal(t *testing.T) {
	host := strings.TrimPrefix(serving(t), "http://")
	clean := []string{"--fail-if", "lost>0", "--fail-if", "duplicated>0", "--fail-if", "reordered>0"}
	check := func(args ...string) *report.Report {
		t.Helper()
		if args[0] != "connect" {
			args = append(args, clean...)
		}
		args = append(append(args, "--connections", "60", "--idle", "0", "--fail-if", "errors>0"), anyMachine...)
		code, r, said := loadTested(t, args...)
		if code != 0 || r == nil {
			t.Fatalf("peal load %q: exit code %d: %s", args, code, said)
		}
		return r
	}
	short := []string{"--duration", "300ms", "--rate", "100"}
	for _, target := range []string{"ws://" + host + "/ws?channel=a", "ws://" + host, "peal+ws://" + host + "?channel=b", "sse+http://" + host + "?channel=c",
		"poll+http://" + host + "?channel=d", "poll+http://" + host + "?channel=e&format=raw", "ws://" + host + "/ws?channel=f&format=json"} {
		r := check(append([]string{"fanout", "--target", target}, short...)...)
		if m := r.Messages; m.Sent == 0 || m.Delivered != 60*m.Sent || r.Server == nil || r.Server.PID != os.Getpid() {
			t.Errorf("%s: %+v, server %+v", target, m, r.Server)
		}
	}
	// 20 messages to each of five channels with 12 subscribers.
	r := check("fanout", "--target", "ws://"+host+"/ws?channel=many", "--channels", "5", "--rate", "200", "--duration", "500ms")
	if m := r.Messages; m.Delivered != 12*m.Sent {
		t.Errorf("five channels: %+v", m)
	}
	target := []string{"--target", "ws://" + host + "/ws?channel=g"}
	if r := check(append(append([]string{"mixed", "--mix", "3:2:1"}, target...), short...)...); r.Generator.Processes != 4 || r.Messages.Delivered != 60*r.Messages.Sent {
		t.Errorf("mixed: %d processes, %+v", r.Generator.Processes, r.Messages)
	}
	for _, target := range []string{"ws://" + host + "?channel=h", "peal+ws://" + host + "?channel=i", "sse+http://" + host + "?channel=j", "poll+http://" + host + "?channel=k"} {
		r := check("storm", "--target", target, "--duration", "900ms", "--rate", "50", "--away", "100ms", "--fail-if", "recovery_max>60s")
		if s := r.Storm; s == nil || s.Back != 60 || s.Cursorless || s.Unrecovered != 0 || s.Recovery.Count != 60 {
			t.Errorf("storm, %s: %+v", target, s)
		}
	}
	if r := check(append([]string{"connect", "--duration", "50ms", "--fail-if", "connect_p99>60s"}, target...)...); r.Connections.Opened != 60 || r.Latency != nil {
		t.Errorf("connect: %+v", r.Connections)
	}
	if r := check(append([]string{"soak", "--every", "50ms", "--fail-if", "memory_slope>9999GiB", "--duration", "1s", "--rate", "50"}, target...)...); r.Soak == nil || r.Soak.DescriptorsSlope == nil {
		t.Errorf("soak: %+v", r.Soak)
	}
	if r := check(append([]string{"ramp", "--step", "200ms", "--rate", "20", "--factor", "2", "--max-rate", "50", "--fail-if", "p99>90s"}, target...)...); len(r.Ramp.Steps) != 2 || r.Ramp.Carries != 40 || r.Ramp.LimitedBy != "max-rate" {
		t.Errorf("ramp: %+v", r.Ramp)
	}
}

func TestLoadVersusAndCompare(t *testing.T) {
	a, b := strings.TrimPrefix(serving(t), "http://"), strings.TrimPrefix(serving(t), "http://")
	page := filepath.Join(t.TempDir(), "page.html")
	code, r, said := loadTested(t, append([]string{"versus", "--target", "ws://" + a, "--target", "sse+http://" + b, "--connections", "20", "--duration", "300ms",
		"--rate", "50", "--away", "50ms", "--idle", "0", "--html", page}, anyMachine...)...)
	if code != 0 || len(r.Sides) != 2 || !strings.Contains(said, "bytes per connection") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	for _, side := range r.Sides {
		if side.Messages.Lost != 0 || side.Storm == nil || side.Storm.Unrecovered != 0 {
			t.Errorf("%s: %+v, storm %+v", side.Name, side.Messages, side.Storm)
		}
	}
	if html, err := os.ReadFile(page); err != nil || !bytes.Contains(html, []byte("<h2>b</h2>")) {
		t.Errorf("the page: %v, %d bytes", err, len(html))
	}
	var names []string
	for _, side := range r.Sides {
		name := filepath.Join(t.TempDir(), "side.json")
		text, err := json.Marshal(side)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if out := ok(t, "", "load", "compare", names[0], names[1]); !strings.Contains(out, "p99.9") {
		t.Errorf("compare: %s", out)
	}
	five := append([]string{"load", "compare"}, slices.Repeat(names[:1], 5)...)
	if out := ok(t, "", append(append(five, "--"), slices.Repeat(names[1:], 5)...)...); !strings.Contains(out, "99 % interval") || strings.Contains(out, "not enough runs") {
		t.Errorf("compare five each: %s", out)
	}
}

// TestLoadRestart ends and kills the real program: with a log in files nothing that
// it acknowledged is lost; without one each client receives a gap, each time.
func TestLoadRestart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(flags string) string {
		return "env GORACE=atexit_sleep_ms=0 " + pealEnv + "=1 '" + self + "' serve --listen {port} --loops 1 " + flags
	}
	args := append([]string{"--connections", "10", "--rate", "100", "--idle", "0"}, anyMachine...)
	// A server that takes long to start, on a busy machine, needs a longer run.
	tested := func(more ...string) (code int, r *report.Report, said string) {
		for length := 1500 * time.Millisecond; ; length *= 2 {
			code, r, said = loadTested(t, append(append([]string{"restart", "--duration", length.String()}, more...), args...)...)
			if code != 3 || length > 20*time.Second {
				return code, r, said
			}
		}
	}
	for _, target := range []string{"ws://127.0.0.1:{port}/ws?channel=a", "sse+http://127.0.0.1:{port}?channel=a", "poll+http://127.0.0.1:{port}?channel=a"} {
		code, r, said := tested("--target", target, "--start", start("--log 'file:"+t.TempDir()+"'"),
			"--fail-if", "lost>0", "--fail-if", "duplicated>0", "--fail-if", "reordered>0", "--fail-if", "recovery_max>60s")
		if code != 0 || len(r.Restart.Ends) != 2 || r.Restart.Gaps != 0 || r.Restart.Recovery.Count != 20 || r.Messages.Foreign != 0 {
			t.Errorf("%s, log in files: exit code %d: %s", target, code, said)
		}
	}
	// The target follows from the command.
	code, r, said := tested("--start", start(""))
	if code != 0 || r.Restart.Gaps != 20 || r.Messages.Foreign != 0 || !strings.Contains(said, "20 gaps received") {
		t.Errorf("log in memory: exit code %d: %s", code, said)
	}
	if code, _, said := loadTested(t, append([]string{"restart"}, args...)...); code != 2 || !strings.Contains(said, "--start") {
		t.Errorf("without --start: exit code %d: %s", code, said)
	}
}

// cancelOn is a standard error that cancels when something is written to it.
type cancelOn struct {
	text   string
	cancel func()
	once   sync.Once
}

func (c *cancelOn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.once.Do(c.cancel)
	}
	return len(p), nil
}

func TestLoadInterruptedReports(t *testing.T) {
	host := strings.TrimPrefix(serving(t), "http://")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out strings.Builder
	args := append([]string{"load", "fanout", "--target", "ws://" + host, "--connections", "5", "--duration", "1h", "--rate", "100", "--every", "50ms", "--idle", "0", "--json", "-"}, anyMachine...)
	err := run(ctx, args, nil, io.Writer(&out), &cancelOn{text: " sent ", cancel: cancel})
	if exitCode(err) != exitInterrupted {
		t.Fatalf("%v; want exit code %d", err, exitInterrupted)
	}
	r, err := report.Read(strings.NewReader(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Messages; !r.Interrupted || m.Sent == 0 || m.Sent != m.Scheduled || m.Delivered != 5*m.Sent {
		t.Errorf("interrupted: %t, %+v", r.Interrupted, r.Messages)
	}
}
