package scenario

import (
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// passOn is what SIGUSR2 has a moody server do: a "careless" one has another process go on, and its connections
// end; a "late" one does so when nobody looks any more; a "stubborn" one starts a program that ends, and goes on. That program must live for longer than lookAgain:
// one that ends sooner is not seen.
func (v *moody) passOn(l net.Listener) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	leaves := v.mood == "careless" || v.mood == "late"
	for range asked {
		if v.mood == "late" {
			time.Sleep(3 * time.Second) // the run of its test is over then
		}
		next := exec.Command("sh", "-c", "sleep 0.3; exit 1")
		if leaves {
			l.Close()
			next = exec.Command(os.Args[0], os.Args[1:]...)
		}
		err := next.Start()
		if leaves {
			for err == nil { // until it listens
				var c net.Conn
				if c, err = net.Dial("tcp", os.Args[1]); err == nil {
					c.Close()
					break
				}
				time.Sleep(time.Millisecond)
				err = nil
			}
			os.Exit(0)
		}
		_ = next.Wait() // it fails
	}
}

// TestUpgradesThatAreNoticed: a server whose connections end has disconnected them, also the publishers, and
// one that does not pass on makes the run invalid.
func TestUpgradesThatAreNoticed(t *testing.T) {
	upgrade := func(mood string) Settings {
		s := restartSettings(t, mood)
		s.Upgrade, s.Upgrades = true, 1
		s.Duration = 8 * time.Second // a process may need two of them to start on a busy machine
		return s
	}
	r, err := Run(t.Context(), "restart", upgrade("careless"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Upgrades == nil || len(r.Upgrades.Each) != 1 {
		t.Fatalf("%+v, aborted: %s", r.Upgrades, r.Aborted)
	}
	const ended = 5 + 1 // subscribers, and the publisher
	if u := r.Upgrades; u.Disconnects < ended || u.Each[0].Disconnects != u.Disconnects || u.Before.Disconnects != 0 {
		t.Errorf("%+v; want %d disconnects at least, all in the upgrade", u, ended)
	}
	if !strings.Contains(r.Aborted, "closed all 5 connections") {
		t.Errorf("aborted: %q", r.Aborted)
	}
	s := upgrade("careless")
	implied, err := s.Implied("restart")
	if err != nil || len(implied) == 0 {
		t.Fatalf("%v, %v", implied, err)
	}
	missed, _ := r.Judge(implied)
	if text := strings.Join(missed, " "); !strings.Contains(text, "disconnects>0") {
		t.Errorf("missed %q, want disconnects", text)
	}

	s = upgrade("late")
	s.Duration = time.Second
	r, err = Run(t.Context(), "restart", s)
	if err != nil || r.Validity.Valid || !strings.Contains(r.Aborted, "use a longer --duration") {
		t.Errorf("%v; valid: %v, aborted: %q", err, r.Validity.Valid, r.Aborted)
	}
	r, err = Run(t.Context(), "restart", upgrade("stubborn"))
	if err != nil || r.Validity.Valid || !strings.Contains(r.Aborted, "the server goes on without it") {
		t.Errorf("%v; valid: %v, aborted: %q", err, r.Validity.Valid, r.Aborted)
	}
}
