package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/scripts/testca"
	"peal/server/log"
	"peal/server/log/conform"
	"peal/server/log/redis"
)

// try publishes once.
func try(n *conform.Node, data string) error {
	done := make(chan error, 1)
	if err := n.Append([]*log.Entry{{Channel: "a", Data: []byte(data)}}, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

func TestAStoreWithoutRoom(t *testing.T) {
	t.Parallel()
	server := redisd.For(t, redisd.Options{AppendOnly: true, MaxMemory: "6mb"})
	s := newSite(t, server, 2)
	data := strings.Repeat("x", 20_000)
	good := 0
	conform.Until(t, "the store is full", func() bool {
		err := try(s.nodes[0], data)
		if err == nil {
			good++
		} else if !errors.Is(err, log.ErrStorage) {
			t.Fatal(err)
		}
		return err != nil
	})
	err := try(s.nodes[1], data)
	if failing := s.nodes[1].Failing(); !errors.Is(err, log.ErrStorage) || failing == nil || !strings.Contains(failing.Error(), "OOM") {
		t.Errorf("on another node: %v; failing: %v", err, failing)
	}
	conform.Until(t, "all that was taken is shown", func() bool { return len(s.nodes[1].Tail.Entries()) >= good })
	if n := len(s.nodes[1].Tail.Entries()); n != good {
		t.Errorf("%d entries, and %d were taken", n, good)
	}
	do(t, server, "CONFIG", "SET", "maxmemory", "0")
	for _, n := range s.nodes {
		conform.Until(t, "there is room again", func() bool { return try(n, "small") == nil })
	}
	told(t, false, s.nodes...)
}

// The reason is that of the setting, and not a time limit.
func TestWithoutAReplica(t *testing.T) {
	t.Parallel()
	c := config()
	c.Replicas = 1
	n := conform.Start(t, open(t, redisd.For(t, durable).URL(), c))
	conform.Until(t, "publishers are refused for the missing replica", func() bool {
		err, failing := try(n, "a"), n.Failing()
		if err == nil || err != nil && !errors.Is(err, log.ErrUnavailable) {
			t.Fatal(err)
		}
		return failing != nil && strings.Contains(failing.Error(), "0 of 1 replicas")
	})
}

// With fewer entries to retain, a full store removes some itself.
func TestAStoreWithoutRoomForgets(t *testing.T) {
	t.Parallel()
	server := redisd.For(t, redisd.Options{AppendOnly: true, MaxMemory: "6mb"})
	data := strings.Repeat("x", 20_000)
	first := conform.Start(t, open(t, server.URL(), config()))
	conform.Until(t, "the store is full", func() bool { return try(first, data) != nil })
	do(t, server, "HDEL", "{peal}:state", "upto") // as if it had filled up before the first checkpoint
	c := config()
	c.Entries = 50
	second := conform.Start(t, open(t, server.URL(), c))
	conform.Until(t, "there is room again", func() bool { return try(second, data) == nil })
	told(t, false, first, second)
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	evicting := redisd.For(t, redisd.Options{Policy: "allkeys-lru"})
	primary := redisd.For(t, redisd.Options{Password: "s3cret"})
	replica := redisd.ReplicaFor(t, redisd.For(t, redisd.Options{}), redisd.Options{})
	other := redisd.For(t, redisd.Options{})
	do(t, other, "HSET", "{peal}:meta", "format", "99", "epoch", "1")
	gone := redisd.For(t, redisd.Options{})
	must(t, gone.Kill())
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer mute.Close()
	for name, c := range map[string]struct{ url, want string }{
		"a policy that evicts": {evicting.URL(), "CONFIG SET maxmemory-policy noeviction"},
		"a replica":            {replica.URL(), "name the master"},
		"a wrong password":     {"redis://:wr0ng@" + primary.Addr(), "WRONGPASS"},
		"no password":          {"redis://" + primary.Addr(), "NOAUTH"},
		"a later format":       {other.URL(), "start a newer version of peal"},
		"nobody":               {gone.URL(), "connection refused"},
		"no answer":            {"redis://" + mute.Addr().String(), "it does not answer"},
		"no TLS":               {"rediss://" + other.Addr(), "does it have TLS"},
	} {
		l, err := redis.Open(c.url, config(), time.Now)
		if err == nil {
			l.Close()
			t.Errorf("%s: not refused", name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "wr0ng") || strings.Contains(text, "s3cret") {
			t.Errorf("%s: %s; want %q in it, and no password", name, text, c.want)
		}
	}
}

func TestAServerThatForgetsIsWarnedOf(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]redisd.Options{"": durable, "no append-only file": {}} {
		var out lines
		c := config()
		c.Log = out.logger()
		conform.Start(t, open(t, redisd.For(t, o).URL(), c))
		if warned := strings.Contains(out.String(), "level=WARN"); warned != (name != "") || !strings.Contains(out.String(), name) {
			t.Errorf("%v: %s", o, out.String())
		}
	}
}

func TestWaysToTheServer(t *testing.T) {
	t.Parallel()
	ca := testca.New(t, "redis")
	dir := t.TempDir()
	cert, key := ca.Files(dir, "redis", testca.Leaf{})
	secure := redisd.For(t, redisd.Options{AppendOnly: true, Password: "s3cret", TLS: &redisd.TLS{Cert: cert, Key: key, CA: ca.File(dir, "ca")}})
	l, err := redis.Open(secure.URL(), config(), time.Now)
	for end := time.Now().Add(time.Minute); errors.Is(err, context.DeadlineExceeded) && time.Now().Before(end); { // a handshake of a busy machine
		l, err = redis.Open(secure.URL(), config(), time.Now)
	}
	if err == nil {
		l.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("an unknown authority: %v", err)
	}
	plain := redisd.For(t, durable)
	for _, url := range []string{"redis+unix://" + plain.Socket(), plain.URL() + "/3", plain.URL() + "?name=other", "redis://localhost:" + fmt.Sprint(plain.Port()) + "/4"} {
		n := conform.Start(t, open(t, url, config()))
		if n.Head() != 0 {
			t.Errorf("%s is the log of another one: its head is %d", url, n.Head())
		}
		must(t, try(n, "x"))
	}
}

// The password is nowhere but on the connection, whatever goes wrong.
func TestAUserWithRights(t *testing.T) {
	t.Parallel()
	const password = "s3cret-of-the-user"
	server := redisd.For(t, redisd.Options{
		AppendOnly: true, AppendFsync: "always", Password: "s3cret-of-default",
		Users: []string{"peal on >" + password + " " + documentedRights(t)},
	})
	var out lines
	c := config()
	c.Log = out.logger()
	n := conform.Start(t, open(t, "redis://peal:"+password+"@"+server.Addr(), c))
	f := conform.StartTraffic(t, n)
	f.More(t, 50)
	must(t, server.Kill())
	conform.Until(t, "the node knows it", func() bool { return n.Failing() != nil })
	failing := n.Failing().Error()
	must(t, server.Start(t.Context()))
	f.More(t, 50)
	do(t, server, "ACL", "SETUSER", "peal", "-evalsha")
	conform.Until(t, "publishers are refused", func() bool { return f.Storage()+f.Unavailable() > 0 })
	conform.Until(t, "the node knows it", func() bool { return n.Failing() != nil })
	failing += n.Failing().Error()
	do(t, server, "ACL", "SETUSER", "peal", "+evalsha")
	f.More(t, 50)
	for command, want := range map[string]string{"xtrim": "cannot keep a checkpoint", "xread": "the log cannot be read"} {
		do(t, server, "ACL", "SETUSER", "peal", "-"+command)
		conform.Until(t, "the log of the node says it", func() bool { return strings.Contains(out.String(), want) })
		do(t, server, "ACL", "SETUSER", "peal", "+"+command)
	}
	f.JudgeLoss(t)
	told(t, false, n)
	if all := out.String() + failing; strings.Contains(all, "s3cret") {
		t.Errorf("the password was told: %s", all)
	}
}

// documentedRights are those that docs/cluster.md has an administrator give Peal.
func documentedRights(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/cluster.md")
	must(t, err)
	_, text, _ := strings.Cut(string(b), "ACL SETUSER peal on '>a-long-secret' ")
	text, _, _ = strings.Cut(text, "\n")
	if !strings.Contains(text, "~{peal}:*") {
		t.Fatalf("the rights in docs/cluster.md are %q", text)
	}
	return strings.NewReplacer("'", "", `\`, "").Replace(text)
}

// Somebody's XADD takes a number far beyond, so an epoch begins behind it; what it is, is skipped.
func TestAForeignEntryInTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, redisd.For(t, durable), 2)
	f := conform.StartTraffic(t, s.nodes...)
	f.More(t, 100)
	do(t, s.server, "XADD", "{peal}:log", "*", "hello", "world")
	f.More(t, 100)
	do(t, s.server, "XADD", "{peal}:log", "*", "e", "damaged", "c", "12", "p", "34")
	f.More(t, 100)
	late := conform.Start(t, open(t, s.server.URL(), config()))
	f.JudgeLoss(t, late)
	for i, n := range s.nodes {
		if p := n.Engine.(log.Distributed).Progress(); p.Skipped == 0 {
			t.Errorf("node %d has skipped nothing", i)
		}
	}
}

func TestANodeThatIsTooSlowHasAGap(t *testing.T) {
	t.Parallel()
	server := redisd.For(t, durable)
	c := config()
	c.Entries = 2000
	slow, fast := conform.Start(t, open(t, server.URL(), c)), conform.Start(t, open(t, server.URL(), c))
	must(t, try(slow, "first"))
	slow.Tail.SetFull(true)
	f := conform.StartTraffic(t, fast)
	conform.Until(t, "entries are removed that the slow node has not read", func() bool {
		missing := (*log.MissingError)(nil)
		_, err := fast.Engine.(log.Reader).Read(nil, slow.Engine.(log.Distributed).Progress().Known+2000, 1, 1)
		return errors.As(err, &missing)
	})
	slow.Tail.SetFull(false)
	f.JudgeLoss(t)
	conform.Until(t, "the slow node has read everything", func() bool { return slow.Head() == fast.Head() })
	told(t, true, slow)
	told(t, false, fast)
}
