package webhook_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/log/file"
	"peal/server/log/memory"
	"peal/server/webhook"
)

func openFile(t *testing.T, dir string) log.Engine {
	t.Helper()
	l, err := file.Open(dir, file.Config{Log: quiet(), Fsync: file.Never}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Everything is delivered in order, signed, in few requests, over each engine.
func TestPublicationsAreDeliveredInOrder(t *testing.T) {
	for name, open := range map[string]func() log.Engine{
		"memory": func() log.Engine { return memory.Open(time.Now) },
		"file":   func() log.Engine { return openFile(t, t.TempDir()) },
		"shared": func() log.Engine { return fake.New(time.Now).Open() },
	} {
		t.Run(name, func(t *testing.T) {
			v := newReceiver(t, nil)
			r := start(t, config(open(), definition(v.URL)))
			r.ready(t)
			publish(t, r.log, 0, 350)
			until(t, "350 events", func() bool { return len(v.events(t)) >= 350 })
			if got := v.numbers(t); got != upTo(350) {
				t.Errorf("got %s", got)
			}
			for _, q := range v.requests() {
				if n := len(q.events(t)); n > webhook.MostEvents {
					t.Errorf("%d events in a request", n)
				}
			}
			until(t, "the cursor", func() bool { return r.Stats().Webhooks[0].Age == 0 })
			if s := r.Stats().Webhooks[0]; s.Delivered != 350 || s.Failed+s.Retried+s.Dead != 0 || s.Failing {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// A request has no more bytes than it may, however long its messages are in JSON: an endpoint behind a
// proxy that takes 1 MiB receives all of them.
func TestRequestsAreBoundedInBytes(t *testing.T) {
	const proxy = 1 << 20
	v := newReceiver(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > proxy {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	r := start(t, config(memory.Open(time.Now), definition(v.URL)))
	r.ready(t)
	var batch []*log.Entry
	for range 12 {
		batch = append(batch, &log.Entry{Channel: "a", Data: []byte(strings.Repeat("\x01", 60_000))})
	}
	if err := r.log.Append(batch, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "12 events", func() bool { return r.Stats().Webhooks[0].Delivered == 12 })
	if s := r.Stats().Webhooks[0]; s.Failed != 0 {
		t.Errorf("%d attempts failed: %s", s.Failed, s.Reason)
	}
	for _, q := range v.requests() {
		if events := q.events(t); len(q.body) > webhook.MostBytes+1024 && len(events) > 1 {
			t.Errorf("a request of %d bytes with %d events", len(q.body), len(events))
		}
	}
}

// A receiver that fails in every way gets all of it all the same, repeats with the same id and
// body, and in order.
func TestAReceiverThatFailsMissesNothing(t *testing.T) {
	ways := map[string]func(w http.ResponseWriter, r *http.Request){
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"killed": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		},
		"cut in the head": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-")
			c.Close()
		},
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(c, "SSH-2.0-x\r\n")
			c.Close()
		},
		"a huge head": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 64<<10))
		},
		"hanging": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	for name, fail := range ways {
		t.Run(name, func(t *testing.T) {
			v := newReceiver(t, func(n int, w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("a redirect was followed")
				}
				if n%3 != 0 {
					fail(w, r)
				}
			})
			d := definition(v.URL)
			d.Timeout = 30 * time.Second
			if name == "hanging" {
				d.Timeout = 50 * time.Millisecond
			}
			r := start(t, config(memory.Open(time.Now), d))
			r.ready(t)
			publish(t, r.log, 0, 50)
			until(t, "50 events", func() bool { return r.Stats().Webhooks[0].Delivered == 50 })
			if got := v.numbers(t); got != upTo(50) {
				t.Errorf("got %s", got)
			}
			if s := r.Stats().Webhooks[0]; s.Failed < 2 || s.Failing {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// What is delivered is delivered: what comes behind the head of the response does not matter.
func TestABodyThatIsHugeOrCutIsADelivery(t *testing.T) {
	v := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n%2 == 0 {
			for range 1 << 10 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
			return
		}
		c, _, _ := w.(http.Hijacker).Hijack()
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
		c.Close()
	})
	r := start(t, config(memory.Open(time.Now), definition(v.URL)))
	r.ready(t)
	for i := range 6 {
		publish(t, r.log, i, i+1)
		until(t, "an event", func() bool { return r.Stats().Webhooks[0].Delivered == uint64(i+1) })
	}
	if got := v.numbers(t); got != upTo(6) || len(v.requests()) != 6 {
		t.Errorf("%d requests: %s", len(v.requests()), got)
	}
}

// One that hangs costs the others nothing.
func TestAnEndpointThatHangsIsAlone(t *testing.T) {
	stuck := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	v := newReceiver(t, nil)
	a, b := definition(stuck.URL), definition(v.URL)
	a.Name = "stuck"
	r := start(t, config(memory.Open(time.Now), a, b))
	r.ready(t)
	publish(t, r.log, 0, 300)
	until(t, "300 events", func() bool { return len(v.events(t)) == 300 })
	if got := stuck.requests(); len(got) != 1 {
		t.Errorf("%d requests at a time to one that hangs", len(got))
	}
	if s := r.Stats().Webhooks[0]; s.Name != "stuck" || s.Lag < 300 || s.Delivered != 0 {
		t.Errorf("stats %+v", s)
	}
	r.stop() // cancels the request that hangs
}

// A restart goes on behind what was delivered, repeats what was on its way with its id, and has what
// was appended while nothing delivered.
func TestARestartGoesOn(t *testing.T) {
	dir := t.TempDir()
	stall := make(chan struct{})
	v := newReceiver(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 4 { // delivered, and the server never hears of it
			close(stall)
			<-r.Context().Done()
		}
	})
	l := openFile(t, dir)
	r := start(t, config(l, definition(v.URL)))
	r.ready(t)
	for i := range 3 {
		publish(t, l, i, i+1)
		until(t, "an event", func() bool { return r.Stats().Webhooks[0].Delivered == uint64(i+1) })
	}
	publish(t, l, 3, 10)
	<-stall
	publish(t, l, 10, 40)
	r.stop()
	publish(t, l, 40, 60)
	before := v.requests()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = openFile(t, dir)
	r = start(t, config(l, definition(v.URL)))
	publish(t, l, 60, 70)
	until(t, "70 events", func() bool { return strings.HasSuffix(v.numbers(t), " 69") })
	if got := v.numbers(t); got != upTo(70) {
		t.Errorf("got %s", got)
	}
	if all := v.requests(); all[len(before)].id() != before[3].id() {
		t.Errorf("the first request after the restart is %s, want a repeat of %s", all[len(before)].id(), before[3].id())
	}
}

// What is gone before it was delivered is a gap, which is signed as all, comes once, and in its place.
func TestWhatIsGoneIsAGap(t *testing.T) {
	v := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 2 {
			w.WriteHeader(500)
		}
	})
	l := memory.Open(time.Now)
	c := config(l, definition(v.URL))
	c.RecentBytes = 20 * log.EntryOverhead * 2
	c.FirstPause = time.Hour
	r := start(t, c)
	r.ready(t)
	publish(t, l, 0, 1)
	until(t, "an event", func() bool { return r.Stats().Webhooks[0].Delivered == 1 })
	publish(t, l, 1, 2)
	until(t, "a failure", func() bool { return r.Stats().Webhooks[0].Failed == 1 })
	publish(t, l, 2, 200)
	if _, err := r.Retry(t.Context(), "shop", ""); err != nil { // now, not in an hour
		t.Fatal(err)
	}
	until(t, "the last event", func() bool { all := v.events(t); return all[len(all)-1].Data == "199" })
	all := v.events(t)
	gap := -1
	for i, e := range all {
		if e.kind() == webhook.Gap {
			if gap >= 0 {
				t.Error("two gaps")
			}
			gap = i
		}
	}
	if gap != 3 || all[gap].After == "" || all[gap].Upto == "" { // behind 0, 1 and its repeat
		t.Fatalf("the gap is event %d of %d", gap, len(all))
	}
	var first int
	fmt.Sscan(all[gap+1].Data, &first)
	at, err := log.ParseCursor(all[gap].Upto)
	next, err2 := log.ParseCursor(all[gap+1].Cursor)
	if err != nil || err2 != nil || next.Sequence <= at.Sequence || len(all)-gap-1 != 200-first {
		t.Errorf("behind the gap up to %s comes %d at %s, and %d events", all[gap].Upto, first, all[gap+1].Cursor, len(all)-gap-1)
	}
}

// After retry-for a batch is a dead letter, those behind it go on, and it can be sent again with its id.
func TestDeadLetters(t *testing.T) {
	shared := webhook.Shared{In: fake.New(time.Now).Open().Collection(webhook.LettersName)}
	for name, store := range map[string]webhook.Store{"memory": webhook.NewMemory(), "dir": webhook.Dir(t.TempDir() + "/dead"), "shared": shared} {
		t.Run(name, func(t *testing.T) {
			down := true
			v := newReceiver(t, nil)
			v.answer = func(_ int, w http.ResponseWriter, _ *http.Request) {
				v.mu.Lock()
				defer v.mu.Unlock()
				if down {
					w.WriteHeader(503)
				}
			}
			d := definition(v.URL)
			d.RetryFor = 20 * time.Millisecond
			c := config(memory.Open(time.Now), d)
			c.Dead = store
			r := start(t, c)
			r.ready(t)
			publish(t, r.log, 0, 1)
			letters := func() []webhook.Letter {
				s, err := r.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return s.Letters
			}
			until(t, "a dead letter", func() bool { return len(letters()) == 1 })
			if _, err := r.Retry(t.Context(), "shop", ""); err == nil || !strings.Contains(err.Error(), "503") {
				t.Errorf("a retry while it is down: %v", err)
			}
			v.mu.Lock()
			down = false
			first := v.all[0]
			v.mu.Unlock()
			publish(t, r.log, 1, 2)
			until(t, "the next event", func() bool { return r.Stats().Webhooks[0].Delivered == 1 })
			l := letters()[0]
			if l.ID != first.id() || l.Events != 1 || l.Attempts < 2 || l.Reason != "it responds with status 503" || l.Body != nil {
				t.Errorf("letter %+v", l)
			}
			if n, err := r.Retry(t.Context(), "shop", l.ID); n != 1 || err != nil {
				t.Fatalf("retry: %d, %v", n, err)
			}
			all := v.requests()
			if last := all[len(all)-1]; last.id() != first.id() || string(last.body) != string(first.body) {
				t.Errorf("the retry is %s, want %s", last.id(), first.id())
			}
			if _, err := r.Drop(t.Context(), "shop", l.ID); err != webhook.ErrNoLetter || len(letters()) != 0 {
				t.Errorf("a letter that was delivered is there: %v", err)
			}
		})
	}
}
