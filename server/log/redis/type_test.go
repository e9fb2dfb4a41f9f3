package redis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log/conform"
	"peal/server/log/redis"
)

// A key of another program is named, with what to do about it: at the start, and while the node
// runs, which goes on when the key is gone.
func TestAKeyOfAnotherType(t *testing.T) {
	t.Parallel()
	server := redisd.For(t, durable)
	refused := func(want string) {
		t.Helper()
		l, err := redis.Open(server.URL(), config(), time.Now)
		if err == nil {
			_ = l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rename or delete that key") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	do(t, server, "SET", "{peal}:log", "x")
	refused("the key {peal}:log of Redis is a string and not a stream")
	do(t, server, "DEL", "{peal}:log")
	do(t, server, "LPUSH", "{peal}:meta", "x")
	refused("the key {peal}:meta of Redis is a list and not a hash")
	do(t, server, "DEL", "{peal}:meta")
	do(t, server, "SET", "{peal}:state", "x")
	refused("the key {peal}:state of Redis is a string and not a hash")
	do(t, server, "DEL", "{peal}:state")

	l := open(t, server.URL(), config())
	n := conform.Start(t, l)
	must(t, try(n, "one"))
	do(t, server, "DEL", "{peal}:log")
	do(t, server, "SET", "{peal}:log", "x")
	conform.Until(t, "the node names the key", func() bool {
		_ = try(n, "lost")
		err := n.Failing()
		return err != nil && strings.Contains(err.Error(), "the key {peal}:log of Redis is a string and not a stream")
	})
	do(t, server, "DEL", "{peal}:log")
	conform.Until(t, "the node goes on", func() bool { return try(n, "two") == nil })

	box := l.Inbox()
	if _, err := box.Lease(context.Background()); err != nil {
		t.Fatal(err)
	}
	do(t, server, "SET", "{peal}:inbox", "x")
	if _, _, err := box.Read(context.Background(), 1, 1); err == nil || !strings.Contains(err.Error(), "the key {peal}:inbox of Redis is a string and not a stream") {
		t.Errorf("the inbox: %v", err)
	}
	box.Leave(context.Background())
}

// Without the right to ask for types, all keys are named.
func TestAKeyOfAnotherTypeThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	server := redisd.For(t, redisd.Options{AppendOnly: true, AppendFsync: "always", Password: "s3cret-of-default", Users: []string{"peal on >s3cret ~* +@all -type"}})
	do(t, server, "SET", "{peal}:log", "x")
	_, err := redis.Open("redis://peal:s3cret@"+server.Addr(), config(), time.Now)
	if err == nil || !strings.Contains(err.Error(), "one of the keys {peal}:log (a stream), {peal}:meta (a hash), {peal}:state (a hash) of Redis has another type") {
		t.Error(err)
	}
}
