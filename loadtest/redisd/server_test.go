package redisd_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/scripts/testca"
)

// value is what GET key answers, as text.
func value(t *testing.T, s *redisd.Server, key string) string {
	t.Helper()
	reply, err := s.Do(t.Context(), "GET", key)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(reply)
}

func set(t *testing.T, s *redisd.Server, key, value string) {
	t.Helper()
	if _, err := s.Do(t.Context(), "SET", key, value); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAKilledServerHasWhatItHasWritten(t *testing.T) {
	for _, persistent := range []bool{true, false} {
		s := redisd.For(t, redisd.Options{AppendOnly: persistent, AppendFsync: "always"})
		set(t, s, "a", "1")
		must(t, s.Restart(t.Context()))
		if got, want := value(t, s, "a"), map[bool]string{true: "1", false: "<nil>"}[persistent]; got != want {
			t.Errorf("appendonly %v: after kill -9 the key is %s, want %s", persistent, got, want)
		}
	}
}

func TestATruncatedAOFHasLostItsEnd(t *testing.T) {
	s := redisd.For(t, redisd.Options{AppendOnly: true, AppendFsync: "always"})
	set(t, s, "a", "1")
	set(t, s, "b", "2")
	must(t, s.Kill())
	must(t, s.TruncateAOF(3))
	must(t, s.Start(t.Context()))
	if a, b := value(t, s, "a"), value(t, s, "b"); a != "1" || b != "<nil>" {
		t.Errorf("a is %s, b is %s; want the second write lost", a, b)
	}
}

func TestAPausedServerAnswersLater(t *testing.T) {
	s := redisd.For(t, redisd.Options{})
	must(t, s.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Do(ctx, "PING"); err == nil {
		t.Error("a paused server answers")
	}
	must(t, s.Continue())
	if reply, err := s.Do(t.Context(), "PING"); reply != "PONG" || err != nil {
		t.Errorf("%v, %v", reply, err)
	}
}

func TestAReplicaIsPromotedWithWhatItHas(t *testing.T) {
	primary := redisd.For(t, redisd.Options{Password: "p w"})
	set(t, primary, "a", "1")
	replica := redisd.ReplicaFor(t, primary, redisd.Options{Password: "p w"})
	must(t, replica.Pause())
	set(t, primary, "b", "2")
	must(t, primary.Kill())
	must(t, replica.Continue())
	must(t, replica.Promote(t.Context()))
	set(t, replica, "c", "3")
	must(t, replica.Restart(t.Context())) // not as a replica again
	if role, err := replica.Info(t.Context(), "role"); role != "master" || err != nil {
		t.Errorf("role %q, %v", role, err)
	}
	must(t, primary.Start(t.Context()))
	must(t, primary.Follow(t.Context(), replica))
	must(t, primary.Synced(t.Context()))
}

func TestSentinelFailsOver(t *testing.T) {
	primary := redisd.For(t, redisd.Options{Password: "secret"})
	replica := redisd.ReplicaFor(t, primary, redisd.Options{Password: "secret"})
	sentinel := redisd.SentinelFor(t, redisd.SentinelOptions{Primary: primary})
	must(t, sentinel.Knows(t.Context(), 1))
	if addr, err := sentinel.Primary(t.Context()); addr != primary.Addr() || err != nil {
		t.Errorf("the primary is %s, %v; want %s", addr, err, primary.Addr())
	}
	must(t, primary.Kill())
	must(t, sentinel.Takes(t.Context(), replica))
}

func TestAuthenticationTLSAndSocket(t *testing.T) {
	ca := testca.New(t, "redis")
	dir := t.TempDir()
	cert, key := ca.Files(dir, "redis", testca.Leaf{})
	s := redisd.For(t, redisd.Options{
		Password: "secret", Users: []string{"alice on >other ~a* +get"},
		TLS: &redisd.TLS{Cert: cert, Key: key, CA: ca.File(dir, "ca")},
	})
	set(t, s, "a", "1")
	if got := value(t, s, "a"); got != "1" || s.URL() != "rediss://:secret@"+s.Addr() {
		t.Errorf("got %s at %s", got, s.URL())
	}
	users, err := s.Do(t.Context(), "ACL", "LIST")
	if err != nil || !strings.Contains(fmt.Sprint(users), "user alice on") {
		t.Errorf("users %v, %v", users, err)
	}
	conn, err := net.Dial("unix", s.Socket())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	reply := redisd.ReplyError("")
	if _, err := s.Do(t.Context(), "NONSENSE"); !errors.As(err, &reply) || !strings.HasPrefix(reply.Error(), "ERR unknown command") {
		t.Errorf("an error of the server is %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	s := redisd.For(t, redisd.Options{})
	must(t, s.Close())
	if _, err := os.Stat(s.Dir()); !errors.Is(err, fs.ErrNotExist) || s.PID() != 0 {
		t.Errorf("process %d, directory: %v", s.PID(), err)
	}
}

func TestABadConfigurationIsToldWithTheServersWords(t *testing.T) {
	s, err := redisd.New(redisd.Options{Config: []string{"no-such-directive 1"}})
	if errors.Is(err, redisd.ErrMissing) {
		t.Skip(err)
	}
	must(t, err)
	defer s.Close()
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-directive") {
		t.Errorf("%v", err)
	}
	if _, err := redisd.New(redisd.Options{Program: "no-such-redis"}); !errors.Is(err, redisd.ErrMissing) || err.Error() != "no-such-redis is not installed" {
		t.Errorf("%v", err)
	}
}
