package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log"
	"peal/server/log/distributed"
	"peal/server/log/fake"
	"peal/server/log/file"
	"peal/server/log/memory"
	"peal/server/log/redis"
	"peal/server/webhook"
)

// shrinking is an engine that keeps little.
type shrinking struct {
	open  func(t *testing.T) log.Engine // the same log each time
	keeps bool                          // it can be closed and opened
}

// trimmed waits until the engine has removed what is behind the cursor. One in memory has nothing to read anyway.
func trimmed(t *testing.T, l log.Engine, cursor string) {
	t.Helper()
	r, ok := l.(log.Reader)
	c, err := log.ParseCursor(cursor)
	if !ok || err != nil {
		return
	}
	until(t, "old entries are removed", func() bool {
		_, err := r.Read(nil, c.Sequence, 1, 1)
		var missing *log.MissingError
		return errors.As(err, &missing)
	})
}

func shrinkings(t *testing.T) map[string]shrinking {
	dir := t.TempDir()
	all := map[string]shrinking{
		"memory": {open: func(*testing.T) log.Engine { return memory.Open(time.Now) }},
		"file": {open: func(t *testing.T) log.Engine {
			l, err := file.Open(fmt.Sprint(dir, "/", t.Name()), file.Config{Log: quiet(), Fsync: file.Never, SegmentBytes: 500, TotalBytes: 2000, Age: -1}, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			return l
		}, keeps: true},
	}
	all["redis"] = shrinking{open: func(t *testing.T) log.Engine {
		server := servers[t.Name()]
		if server == nil {
			server = redisd.For(t, redisd.Options{})
			servers[t.Name()] = server
			t.Cleanup(func() { delete(servers, t.Name()) })
		}
		l, err := redis.Open(server.URL(), redis.Config{Config: distributed.Config{Wait: 10 * time.Second, Window: time.Minute, Entries: 100, Log: quiet()}}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}, keeps: true}
	return all
}

// servers are those of tests, by their names.
var servers = map[string]*redisd.Server{}

// isSigned checks the signature of Standard Webhooks.
func (r *request) isSigned(t *testing.T) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", r.id(), r.header.Get("Webhook-Timestamp"), r.body)
	return r.header.Get("Webhook-Signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// checkGap fails unless the requests from the index on are a gap behind the cursor after, and then every event up to the
// last one. Where more was removed meanwhile, there are further gaps, each behind what came before it.
func (v *receiver) checkGap(t *testing.T, from int, after string, last int) {
	t.Helper()
	next := -1 // number of the next event, -1: the one behind a gap
	for i, r := range v.requests()[from:] {
		if !r.isSigned(t) {
			t.Errorf("%s is not signed", r.body)
		}
		events := r.events(t)
		if i == 0 || strings.HasSuffix(r.id(), "_gap") {
			if len(events) != 1 || events[0].kind() != webhook.Gap || events[0].After != after {
				t.Fatalf("request %d, %s, is no gap behind %s", from+i, r.body, after)
			}
			after, next = events[0].Upto, -1
			continue
		}
		for _, e := range events {
			at, err := log.ParseCursor(e.Cursor)
			before, fault := log.ParseCursor(after)
			if err != nil || fault != nil || at.Sequence <= before.Sequence {
				t.Errorf("%s comes behind %s", e.Cursor, after)
			}
			var n int
			if _, err := fmt.Sscan(e.Data, &n); err != nil || next >= 0 && n != next {
				t.Errorf("%q (%s) comes behind %d", e.Data, e.kind(), next-1)
			}
			after, next = e.Cursor, n+1
		}
	}
	if next != last+1 {
		t.Errorf("the last event is %d, want %d", next-1, last)
	}
}

// What an engine has removed before it was delivered is a gap, signed, in its place, once; and so it is
// behind a restart.
func TestAGapOfEachEngine(t *testing.T) {
	for name, engine := range shrinkings(t) {
		for _, restarts := range []bool{false, true} {
			if restarts && !engine.keeps {
				continue
			}
			t.Run(fmt.Sprint(name, " restarts ", restarts), func(t *testing.T) {
				var down atomic.Bool
				v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
					if down.Load() {
						w.WriteHeader(500)
					}
				})
				l := engine.open(t)
				c := config(l, definition(v.URL))
				c.RecentBytes = 20 * log.EntryOverhead
				c.FirstPause = time.Hour
				r := start(t, c)
				r.ready(t)
				publish(t, l, 0, 1)
				until(t, "an event", func() bool { return r.Stats().Webhooks[0].Delivered == 1 })
				down.Store(true)
				publish(t, l, 1, 2)
				until(t, "a failure", func() bool { return r.Stats().Webhooks[0].Failed == 1 })
				waits := v.requests()[1].events(t)[0].Cursor
				after := waits // the gap begins behind what waits in memory
				if restarts {
					after = r.Stats().Webhooks[0].Cursor
				}
				publish(t, l, 2, 600)
				trimmed(t, l, waits)
				down.Store(false)
				from := 3 // behind 0, 1 and its repeat
				if restarts {
					from = 2
					r.stop()
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					l = engine.open(t)
					c.Log = l
					r = start(t, c)
				} else if _, err := r.Retry(t.Context(), "shop", ""); err != nil { // now, not in an hour
					t.Fatal(err)
				}
				ends := func(with string) func() bool {
					return func() bool {
						all := v.requests()
						events := all[len(all)-1].events(t)
						return events[len(events)-1].Data == with
					}
				}
				until(t, "all that is left", ends("599"))
				publish(t, l, 600, 610)
				until(t, "the last event", ends("609"))
				v.checkGap(t, from, after, 609)
			})
		}
	}
}

// What a node has missed, or the store has lost, is a gap for an endpoint that stands before it.
func TestALossIsAGap(t *testing.T) {
	var down atomic.Bool
	v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(500)
		}
	})
	l := fake.New(time.Now).Open()
	c := config(l, definition(v.URL))
	c.FirstPause = time.Hour
	r := start(t, c)
	r.ready(t)
	publish(t, l, 0, 1)
	until(t, "an event", func() bool { s := r.Stats().Webhooks[0]; return s.Delivered == 1 && s.Age == 0 })
	down.Store(true)
	publish(t, l, 1, 3)
	until(t, "a failure", func() bool { return r.Stats().Webhooks[0].Failed == 1 })
	all := v.requests()
	events := all[len(all)-1].events(t)
	waits := events[len(events)-1]
	publish(t, l, 3, 10)
	lost := l.Head()
	r.Lose(lost-4, lost)
	publish(t, l, 10, 15)
	down.Store(false)
	if _, err := r.Retry(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	until(t, "the last event", func() bool {
		all := v.requests()
		events := all[len(all)-1].events(t)
		return events[len(events)-1].Data == "14"
	})
	if got := v.numbers(t); !strings.HasSuffix(got, "  10 11 12 13 14") || strings.Contains(got, "9") {
		t.Errorf("got %q", got)
	}
	v.checkGap(t, len(all)+1, waits.Cursor, 14)
}
