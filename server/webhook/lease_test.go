package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/webhook"
)

// many are endpoints of one receiver, told apart by their paths.
func many(url string, n int) (all []webhook.Definition) {
	for i := range n {
		d := definition(fmt.Sprint(url, "/", i))
		d.Name = fmt.Sprint("hook-", i)
		all = append(all, d)
	}
	return all
}

// streets are receivers by path: what each endpoint got.
type streets struct {
	*receiver
	mu     sync.Mutex
	ids    map[string][]string // by path: ids of requests, without repeats
	bodies map[string]string   // by path and id
	data   map[string][]string // by path: data of the events of those requests
	again  int
	faults []string
}

func newStreets(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *streets {
	s := &streets{ids: map[string][]string{}, bodies: map[string]string{}, data: map[string][]string{}}
	s.receiver = newReceiver(t, answer)
	s.take = func(path string, r *request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		key := path + " " + r.id()
		if body, ok := s.bodies[key]; ok {
			if s.again++; body != string(r.body) {
				s.faults = append(s.faults, "the repeat of "+key+" has another body")
			}
			return
		}
		s.bodies[key] = string(r.body)
		s.ids[path] = append(s.ids[path], r.id())
		for _, e := range r.events(t) {
			s.data[path] = append(s.data[path], e.Data)
		}
	}
	return s
}

func (s *streets) has(path int, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data[fmt.Sprint("/", path)]) >= n
}

func (s *streets) check(t *testing.T, endpoints int, want string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range endpoints {
		if got := strings.Join(s.data[fmt.Sprint("/", i)], " "); got != want {
			t.Errorf("endpoint %d got %s\nwant %s", i, got, want)
		}
	}
	for _, f := range s.faults {
		t.Error(f)
	}
}

func (r *running) delivers() (n int) {
	for _, s := range r.Stats().Webhooks {
		if s.Delivers {
			n++
		}
	}
	return n
}

// checkCursors reads the log as a node does, and fails if a cursor has gone back.
func checkCursors(t *testing.T, all []*log.Entry) {
	t.Helper()
	lease, at := map[string]uint64{}, map[string]log.Cursor{}
	for _, e := range all {
		var k struct {
			Endpoint, From string
			Lease          uint64
			Ask            bool
		}
		if e.Kind != log.KindControl || !strings.HasPrefix(e.Event, "webhook-") {
			continue
		}
		if err := json.Unmarshal(e.Data, &k); err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Event == "webhook-lease" && !k.Ask && k.Lease == lease[k.Endpoint]+1:
			lease[k.Endpoint] = k.Lease
		case e.Event == "webhook-batch" && k.Lease == lease[k.Endpoint]:
			c, err := log.ParseCursor(k.From)
			if err != nil {
				t.Fatal(err)
			}
			if c.Sequence < at[k.Endpoint].Sequence {
				t.Errorf("entry %d: the cursor of %s goes back from %v to %v", e.Sequence, k.Endpoint, at[k.Endpoint], c)
			}
			at[k.Endpoint] = c
		}
	}
}

// entries are all that the node was given.
func (r *running) entries() []*log.Entry {
	n := r.log.(*readable)
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*log.Entry(nil), n.all...)
}

// Leases are spread over the nodes: one that comes gets some, without a repeat, and when one dies its own go to
// the others. Each endpoint has one deliverer, and gets everything in order.
func TestLeasesAreSpread(t *testing.T) {
	const endpoints = 40 // so many that each of three nodes has one, but for 1 in 10 million
	v := newStreets(t, nil)
	s, c := fake.New(time.Now), &cluster{}
	spread := func(k *webhook.Config) { k.Spread = 5 * time.Millisecond }
	all := []*running{c.node(t, s, spread, many(v.URL, endpoints)...)}
	all[0].ready(t)
	published := 0
	put := func(n int) {
		publish(t, all[0].log, published, published+n)
		published += n
	}
	put(5)
	for range 2 {
		all = append(all, c.node(t, s, spread, many(v.URL, endpoints)...))
	}
	spreadOver := func(nodes ...*running) func() bool {
		return func() bool {
			sum := 0
			for _, r := range nodes {
				n := r.delivers()
				if sum += n; n == 0 {
					return false
				}
			}
			return sum == endpoints
		}
	}
	until(t, "three nodes deliver", func() bool { put(1); return spreadOver(all...)() })
	put(5)
	for i := range endpoints {
		until(t, "all events", func() bool { return v.has(i, published) })
	}
	if v.again > 0 {
		t.Errorf("%d repeats, though leases were given away in peace", v.again)
	}
	c.gone(all[1].id())
	all[1].stop()
	until(t, "two nodes deliver", func() bool { put(1); return spreadOver(all[0], all[2])() })
	put(5)
	for i := range endpoints {
		until(t, "all events", func() bool { return v.has(i, published) })
	}
	v.check(t, endpoints, upTo(published))
	checkCursors(t, all[0].entries())
}

// A node that has an endpoint in its configuration takes the lease, whatever the others have.
func TestANodeThatHasTheEndpointDelivers(t *testing.T) {
	v := newReceiver(t, nil)
	s, c := fake.New(time.Now), &cluster{}
	spread := func(k *webhook.Config) { k.Spread = time.Millisecond }
	other := definition(v.URL)
	other.Name = "other"
	var without []*running
	for range 5 {
		without = append(without, c.node(t, s, spread, other))
	}
	r := c.node(t, s, spread, definition(v.URL))
	r.ready(t)
	publish(t, r.log, 0, 3)
	until(t, "3 events", func() bool { return r.Stats().Webhooks[0].Delivered == 3 })
	for _, e := range without[0].entries() { // none of the five can have asked for it
		if e.Event == "webhook-lease" && strings.Contains(string(e.Data), `"shop"`) && !strings.Contains(string(e.Data), fmt.Sprint(r.id())) {
			t.Errorf("a node that lacks the endpoint says %s", e.Data)
		}
	}
}

// A node whose deliverer cannot read the log, and so stops, has no way to move the cursor of its successor:
// receivers fail and hang meanwhile.
func TestTakeOverWhileReceiversFail(t *testing.T) {
	const endpoints = 6
	v := newStreets(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n % 5 {
		case 0:
			w.WriteHeader(500)
		case 1:
			<-r.Context().Done()
		}
	})
	s, c := fake.New(time.Now), &cluster{}
	all := many(v.URL, endpoints)
	for i := range all {
		all[i].Timeout = 20 * time.Millisecond
	}
	set := func(k *webhook.Config) { k.Spread = 10 * time.Millisecond }
	first := c.node(t, s, set, all...)
	first.ready(t)
	keeper := c.node(t, s, nil)
	live, published := []*running{first, c.node(t, s, set, all...)}, 0
	for round := range 6 {
		publish(t, keeper.log, published, published+20)
		published += 20
		until(t, "some events", func() bool { return v.has(round%endpoints, published-10) })
		dead := live[0]
		if round%2 == 0 {
			dead.log.(*readable).Hold() // it hears of nothing, and goes on for a while
		}
		c.gone(dead.id())
		live = append(live[1:], c.node(t, s, set, all...))
		if round%2 == 0 {
			publish(t, keeper.log, published, published+20)
			published += 20
			dead.log.(*readable).Release()
		}
		dead.stop()
	}
	for i := range endpoints {
		until(t, "all events", func() bool { return v.has(i, published) })
	}
	v.check(t, endpoints, upTo(published))
	checkCursors(t, keeper.entries())
}
