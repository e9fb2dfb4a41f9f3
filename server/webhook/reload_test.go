package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/log/memory"
	"peal/server/webhook"
)

// reload replaces the endpoints.
func (r *running) reload(t *testing.T, all ...webhook.Definition) {
	t.Helper()
	use, err := r.Prepare(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	use()
}

// engines are a log in memory, in files, and one that nodes share; the last two can be read.
func engines(t *testing.T) map[string]func() log.Engine {
	return map[string]func() log.Engine{
		"memory": func() log.Engine { return memory.Open(time.Now) },
		"file":   func() log.Engine { return openFile(t, t.TempDir()) },
		"shared": func() log.Engine { return &readable{fakeNode: fake.New(time.Now).Open()} },
	}
}

// An endpoint that a reload adds begins with what comes then; one that it removes ends; one that it changes goes
// on from its cursor, and what waits goes to the new URL.
func TestReload(t *testing.T) {
	for name, open := range engines(t) {
		t.Run(name, func(t *testing.T) {
			stays, leaves, comes := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
			down := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
			named := func(name, url string) webhook.Definition {
				d := definition(url)
				d.Name = name
				return d
			}
			c := config(open(), named("stays", stays.URL), named("leaves", leaves.URL), named("moves", down.URL))
			c.FirstPause = time.Hour
			r := start(t, c)
			r.ready(t)
			publish(t, r.log, 0, 10)
			until(t, "10 events", func() bool { return strings.HasSuffix(stays.numbers(t)+leaves.numbers(t), "9") })
			until(t, "both", func() bool {
				return stays.numbers(t) == upTo(10) && leaves.numbers(t) == upTo(10) && r.Stats().Webhooks[2].Failed == 1
			})
			moved := newReceiver(t, nil)
			r.reload(t, named("stays", stays.URL), named("moves", moved.URL), named("comes", comes.URL))
			publish(t, r.log, 10, 20)
			until(t, "20 events", func() bool {
				return stays.numbers(t) == upTo(20) && moved.numbers(t) == upTo(20) && comes.numbers(t) == "10 11 12 13 14 15 16 17 18 19"
			})
			if a, b := down.requests()[0], moved.requests()[0]; a.id() != b.id() || string(a.body) != string(b.body) {
				t.Errorf("the request that waited is %s at its new place, and was %s", b.id(), a.id())
			}
			if got := leaves.numbers(t); got != upTo(10) || len(r.Stats().Webhooks) != 3 {
				t.Errorf("the one that was removed got %s; stats %+v", got, r.Stats())
			}
			until(t, "the count of one that stays", func() bool { return r.Stats().Webhooks[0].Delivered == 20 })
			r.reload(t)
			publish(t, r.log, 20, 30)
			until(t, "none delivers", func() bool { return len(r.Stats().Webhooks) == 0 })
			r.reload(t, named("stays", stays.URL), named("moves", moved.URL))
			publish(t, r.log, 30, 40)
			until(t, "the last events", func() bool {
				return strings.HasSuffix(stays.numbers(t), " 39") && strings.HasSuffix(moved.numbers(t), " 39")
			})
			if got := stays.numbers(t); name != "memory" && got != upTo(40) { // in memory nobody has kept them: a gap
				t.Errorf("one that comes back got %s", got)
			}
		})
	}
}

// A change of channels counts for what comes, and nothing that waits gets lost. A node that learns of an endpoint
// later than another one has all of it, too.
func TestReloadOfChannels(t *testing.T) {
	for name, open := range engines(t) {
		t.Run(name, func(t *testing.T) {
			v := newReceiver(t, nil)
			d := definition(v.URL)
			d.Channels = []string{"none"}
			r := start(t, config(open(), d))
			r.ready(t)
			publish(t, r.log, 0, 5)
			d.Channels = []string{"orders"}
			r.reload(t, d)
			publish(t, r.log, 5, 10)
			until(t, "the last event", func() bool { return strings.HasSuffix(v.numbers(t), "9") })
			if got := v.numbers(t); !strings.HasSuffix(" "+got, " 5 6 7 8 9") {
				t.Errorf("got %s", got)
			}
		})
	}
	v := newReceiver(t, nil)
	s, c := fake.New(time.Now), &cluster{}
	a, b := c.node(t, s, nil), c.node(t, s, nil)
	publish(t, a.log, 100, 110)
	head := a.log.Head()
	a.reload(t, definition(v.URL))
	a.ready(t)
	if at, err := log.ParseCursor(a.Stats().Webhooks[0].Cursor); err != nil || at.Sequence < head {
		t.Errorf("it begins at %v, %v, want at least %d", at, err, head)
	}
	a.stop()
	publish(t, b.log, 0, 10)
	c.gone(a.id())
	b.reload(t, definition(v.URL))
	publish(t, b.log, 10, 20)
	until(t, "20 events", func() bool { return v.numbers(t) == upTo(20) })
}

// One that is removed on the node that has its lease goes on at another node that has it.
func TestRemovedOnOneNode(t *testing.T) {
	v := newReceiver(t, nil)
	s, c := fake.New(time.Now), &cluster{}
	a := c.node(t, s, nil, definition(v.URL))
	a.ready(t)
	b := c.node(t, s, nil, definition(v.URL))
	publish(t, b.log, 0, 10)
	until(t, "10 events", func() bool { return v.numbers(t) == upTo(10) })
	a.reload(t)
	publish(t, a.log, 10, 20)
	until(t, "20 events", func() bool { return v.numbers(t) == upTo(20) })
	until(t, "the count of the other node", func() bool { return b.Stats().Webhooks[0].Delivered == 10 })
}

// The form of a request cannot change, and a mistake changes nothing.
func TestReloadThatIsRefused(t *testing.T) {
	v := newReceiver(t, nil)
	r := start(t, config(memory.Open(time.Now), definition(v.URL)))
	r.ready(t)
	apps := func(id string) (webhook.App, bool) {
		return webhook.App{Key: "k", Sign: func([]byte) string { return "" }}, id == "1"
	}
	d := definition(v.URL)
	d.App, d.Secret = "1", ""
	if _, err := r.Prepare([]webhook.Definition{d}, apps); err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("an app: %v", err)
	}
	d.Name, d.App = "new", "2"
	if _, err := r.Prepare([]webhook.Definition{d}, apps); err == nil || !strings.Contains(err.Error(), `no app "2"`) {
		t.Errorf("an app that is not there: %v", err)
	}
	d = definition(v.URL)
	d.Secret, d.SecretFile = "", t.TempDir()+"/nothing"
	if _, err := r.Prepare([]webhook.Definition{d}, apps); err == nil || !strings.Contains(err.Error(), "secret-file") {
		t.Errorf("a file that is not there: %v", err)
	}
	publish(t, r.log, 0, 3)
	until(t, "3 events", func() bool { return v.numbers(t) == upTo(3) })
}

// Which events the observer looks for follows a reload.
func TestReloadOfObservedEvents(t *testing.T) {
	v, w := newReceiver(t, nil), newTown()
	c := config(memory.Open(time.Now))
	w.observing(&c)
	r := start(t, c)
	w.touch = r.Touch
	w.set("a", 2, "ann")
	r.reload(t, observed(v.URL))
	until(t, "what was there", func() bool { return v.said(t)["a"] == "true [ann]" })
	w.set("b", 1)
	until(t, "another channel", func() bool { return v.said(t)["b"] == "true []" })
	d := observed(v.URL)
	d.Events = []string{webhook.Occupied, webhook.Vacated}
	r.reload(t, d)
	w.set("b", 0)
	until(t, "it is empty", func() bool { return v.said(t)["b"] == "" })
	w.set("c", 1, "cid")
	until(t, "a third", func() bool { return v.said(t)["c"] == "true []" })
}
