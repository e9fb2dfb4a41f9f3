package control_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/ban"
	"peal/server/control"
	"peal/server/log"
	"peal/server/log/file"
	"peal/server/revoke"
)

// stored is a server with its log in files.
type stored struct {
	*server
	t   *testing.T
	dir string
	log *file.Log
}

// newStored is the next life of the log in dir. Its clock is that of synctest.
func newStored(t *testing.T, dir string) *stored {
	t.Helper()
	l, err := file.Open(dir, file.Config{SegmentBytes: 64 << 10, TotalBytes: 256 << 10, Fsync: file.Always, Log: slog.New(slog.DiscardHandler)}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := &stored{server: &server{bans: ban.New(10, 10, time.Now), revoked: revoke.New(10, lifetime, time.Now), clock: &clock{time.Now()}}, t: t, dir: dir, log: l}
	s.Control = control.New(l, s.bans, s.revoked, time.Now, quiet)
	l.Keep(s.Control)
	if err := l.Start(s.Control, s.Restore); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stored) close() {
	s.t.Helper()
	if err := s.log.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// order revokes tokens that were issued up to now, and returns what the log says.
func (s *stored) order(subject string) error {
	s.t.Helper()
	done := make(chan error, 1)
	if !s.Revoke(&revoke.Order{Subjects: names(subject), Before: time.Now().Unix()}, func(err error) { done <- err }) {
		s.t.Fatal("no room")
	}
	return <-done
}

// want checks which of some subjects have tokens that are refused: by the second of
// the newest one, as in ann/12.
func (s *stored) want(when, tokens, refused, missing string) {
	s.t.Helper()
	s.clock.at = time.Now()
	if got := s.refused(tokens); got != refused || s.Missing() != missing {
		s.t.Errorf("%s: refused %q, want %q; missing %q, want %q", when, got, refused, s.Missing(), missing)
	}
}

// fill has retention remove what was there before.
func (s *stored) fill() {
	s.t.Helper()
	before, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	for range 100 {
		done := make(chan error, 1)
		if err := s.log.Append([]*log.Entry{{Channel: "a", Data: make([]byte, 10_000)}}, func(err error) { done <- err }); err != nil {
			s.t.Fatal(err)
		}
		if err := <-done; err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := os.Stat(before[0]); !os.IsNotExist(err) {
		s.t.Fatalf("%s is still there: the test proves nothing", before[0])
	}
}

func TestRevocationsInFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		token := func(subject string, d time.Duration) string {
			return fmt.Sprint(subject, "/", time.Now().Add(d).Unix())
		}
		s := newStored(t, dir)
		s.want("the first start", token("ann", -time.Second)+" "+token("ann", 0), token("ann", -time.Second), "the log is new")
		time.Sleep(time.Minute)
		ann, later := token("ann", 0), token("ann", time.Second)
		if err := s.order("ann"); err != nil {
			t.Fatal(err)
		}
		s.close()

		s = newStored(t, dir)
		s.want("after a restart", ann+" "+later+" "+token("bob", 0), ann, "")
		s.fill()
		s.close()

		s = newStored(t, dir)
		s.want("after retention has removed the order", ann+" "+later+" "+token("bob", 0), ann, "")
		time.Sleep(time.Minute)
		bob := token("bob", -time.Second)
		s.close()
		if err := os.Remove(filepath.Join(dir, "state")); err != nil {
			t.Fatal(err)
		}

		s = newStored(t, dir)
		const lost = "the file state is missing"
		s.want("without the state", ann+" "+later+" "+bob+" "+token("bob", 0), ann+" "+later+" "+bob, lost)
		s.close()

		s = newStored(t, dir)
		s.want("after that", ann+" "+later+" "+bob+" "+token("bob", time.Second), ann+" "+later+" "+bob, "")
		time.Sleep(lifetime + 2*time.Second)
		s.revoked.Sweep()
		s.want("when the tokens have expired", ann+" "+later+" "+bob, "", "")
		s.close()
	})
}

// An order that a failing log refuses has its effect, and is stored with the state
// when the log recovers.
func TestAFailingLogStoresRevocationsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "log")
		s := newStored(t, dir)
		away := dir + ".away"
		if err := os.Rename(dir, away); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // until the log has noticed
		now := fmt.Sprint("ann/", time.Now().Unix())
		if err := s.order("ann"); !errors.Is(err, log.ErrStorage) {
			t.Fatalf("%v, want %v", err, log.ErrStorage)
		}
		s.want("while the log fails", now+" bob"+strings.TrimPrefix(now, "ann"), now, "the log is new")
		if err := os.Rename(away, dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		s.close()
		s = newStored(t, dir)
		s.want("after it has recovered, and a restart", now+" bob"+strings.TrimPrefix(now, "ann"), now, "")
		s.close()
	})
}
