package scenario

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"peal/loadtest/liar"
	"peal/loadtest/report"
)

// oddly is a run against an odd server, over transport.
func oddly(s *liar.Odd, transport string) Settings {
	o := Defaults()
	o.Targets, o.Publish = []string{transport + s.Addr + "/sse"}, []string{"http://" + s.Addr + "/publish"}
	o.Connections, o.Rate, o.Duration, o.Step, o.Settle, o.Every = 3, 100, time.Minute, time.Minute, 200*time.Millisecond, 50*time.Millisecond
	o.Limits = report.Limits{Lag: 1e9, CPU: 1e9}
	return o
}

// checkAborted fails unless r is a whole report of a run that ended for a reason.
func checkAborted(t *testing.T, r *report.Report, err error, reason string) {
	t.Helper()
	if err != nil {
		t.Fatalf("no report: %v", err)
	}
	said := strings.Join(r.Validity.Reasons, "; ")
	if r.Validity.Valid || !strings.Contains(said, reason) {
		t.Errorf("valid: %t, %q; want %q", r.Validity.Valid, said, reason)
	}
	if err := r.Write(io.Discard); err != nil {
		t.Errorf("write as JSON: %v", err)
	}
	if err := report.WritePage(io.Discard, r); err != nil {
		t.Errorf("write as a page: %v", err)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "INVALID") {
		t.Errorf("%v:\n%s", err, text.String())
	}
}

// TestServerThatEndsCostsNoReport ends the server in the middle of each scenario.
func TestServerThatEndsCostsNoReport(t *testing.T) {
	for _, name := range []string{"connect", "fanout", "ramp", "soak", "versus"} {
		t.Run(name, func(t *testing.T) {
			l := liar.StartOdd(t, liar.Oddity{})
			s := oddly(l, "sse+http://")
			if name == "versus" {
				other := oddly(liar.StartOdd(t, liar.Oddity{}), "sse+http://")
				s.Targets, s.Publish = append(s.Targets, other.Targets...), append(s.Publish, other.Publish...)
			}
			sleeper := exec.Command("sleep", "60") // for soak, which asks what a process holds
			if err := sleeper.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
			if name != "versus" {
				s.PID = []int{sleeper.Process.Pid}
			}
			intervals := 0
			s.Progress = func(p Progress) {
				if p.Now != nil {
					intervals++
				}
				if intervals == 4 || name == "connect" && strings.HasPrefix(p.Text, "holding") {
					l.Kill()
				}
			}
			r, err := Run(t.Context(), name, s)
			checkAborted(t, r, err, "closed all 3 connections")
			if name == "fanout" {
				if m := r.Messages; m == nil || m.Delivered == 0 || m.Sent < m.Delivered/3 || m.Sent > 6000/2 {
					t.Errorf("%+v; want what came until the end, and no more sent after it", m)
				}
			}
		})
	}
}

func TestProcessThatEndsCostsNoReport(t *testing.T) {
	s := oddly(liar.StartOdd(t, liar.Oddity{}), "sse+http://")
	server := exec.Command("sleep", "60")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	s.PID = []int{server.Process.Pid}
	s.Progress = func(p Progress) {
		if p.Now != nil && ended != nil {
			_ = server.Process.Kill() // it runs
			_ = server.Wait()
			close(ended)
			ended = nil
		}
	}
	r, err := Run(t.Context(), "fanout", s)
	checkAborted(t, r, err, "has ended")
	if r.Messages == nil || r.Messages.Delivered == 0 {
		t.Errorf("%+v; want what came until then", r.Messages)
	}
}

// TestStartedServerThatEnds has the program end by itself, at its 20th message.
func TestStartedServerThatEnds(t *testing.T) {
	for _, name := range []string{"fanout", "storm", "restart"} {
		s := restartSettings(t, "mortal")
		s.Duration, s.Every, s.Timeout = 2*time.Second, 50*time.Millisecond, time.Second
		r, err := Run(t.Context(), name, s)
		checkAborted(t, r, err, "has ended by itself")
	}
}

func TestPublisherThatIsRefusedCostsNoReport(t *testing.T) {
	l := liar.StartOdd(t, liar.Oddity{})
	s := oddly(l, "sse+http://")
	s.Publish = []string{"ws://" + l.Addr + "/elsewhere"}
	r, err := Run(t.Context(), "fanout", s)
	checkAborted(t, r, err, "upgrade refused")
}

func TestWhatCannotBeReadMakesARunInvalid(t *testing.T) {
	for _, c := range []struct{ transport, path, garbage string }{{"ws://", "/ws", "\xc1\x01x"}, {"poll+http://", "/poll", "HTTP/3 what\r\n\r\n"}} {
		l := liar.StartOdd(t, liar.Oddity{Garbage: c.garbage})
		s := oddly(l, c.transport)
		s.Targets, s.Duration = []string{c.transport + l.Addr + c.path}, 200*time.Millisecond
		r, err := Run(t.Context(), "fanout", s)
		checkAborted(t, r, err, "could not read the server on 3 connections")
		if r.Messages.Lost != 0 {
			t.Errorf("%s: %d lost", c.transport, r.Messages.Lost)
		}
	}
}

// TestInterruptedRunsHaveReports ends each scenario when it opens its connections, and
// when it measures.
func TestInterruptedRunsHaveReports(t *testing.T) {
	for _, name := range []string{"connect", "fanout", "storm", "ramp", "soak", "versus"} {
		for _, at := range []string{"opening", "interval", "holding"} {
			if (at == "holding") != (name == "connect") && at != "opening" {
				continue
			}
			s := oddly(liar.StartOdd(t, liar.Oddity{}), "sse+http://")
			if name == "versus" {
				other := oddly(liar.StartOdd(t, liar.Oddity{}), "sse+http://")
				s.Targets, s.Publish = append(s.Targets, other.Targets...), append(s.Publish, other.Publish...)
			} else {
				s.PID = []int{os.Getpid()}
			}
			ctx, interrupt := context.WithCancel(t.Context())
			s.Progress = func(p Progress) {
				if strings.HasPrefix(p.Text, at) || p.Now != nil && at == "interval" {
					interrupt()
				}
			}
			r, err := Run(ctx, name, s)
			interrupt()
			if err != nil || !r.Interrupted {
				t.Errorf("%s, interrupted at %s: %+v, %v; want a report", name, at, r, err)
			}
		}
	}
}

// TestARunWithoutDeliveriesSaysWhatToChange publishes to another server than that of
// the subscribers, which sends nothing, or what others published.
func TestARunWithoutDeliveriesSaysWhatToChange(t *testing.T) {
	for _, c := range []struct{ other, hint string }{
		{"", "--send"},
		{`{"data":"L0002 and so on"}`, `1 others, the first "{\"data\":\"L0002 and so on\"}": if that has the published text in it, unwrap it with &format=json`},
	} {
		l := liar.StartOdd(t, liar.Oddity{})
		s := oddly(l, "sse+http://")
		s.Publish, s.Duration, s.Connections = []string{"http://" + liar.StartOdd(t, liar.Oddity{}).Addr + "/publish"}, 300*time.Millisecond, 1
		if c.other != "" {
			s.Settle = 3 * time.Second // for it to come
		}
		s.Progress = func(p Progress) {
			if p.Now == nil || c.other == "" {
				return
			}
			response, err := http.Post("http://"+l.Addr+"/publish", "text/plain", strings.NewReader(c.other))
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
			c.other = ""
		}
		r, err := Run(t.Context(), "fanout", s)
		checkAborted(t, r, err, c.hint)
	}
}
