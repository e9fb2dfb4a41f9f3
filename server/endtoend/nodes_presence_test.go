package endtoend_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"peal/loadtest/redisd"
)

// agree waits until the answer of each node to query has that text, and none is incomplete.
func agree(t *testing.T, nodes []*peal, query, text string) {
	t.Helper()
	for _, p := range nodes {
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			body := string(p.do("GET", "/channels"+query, "").body)
			if strings.Contains(body, text) && !strings.Contains(body, "incomplete") {
				break
			}
			if time.Since(began) > patience {
				t.Fatalf("%s%s: %s, want %s", p.url, query, body, text)
			}
		}
	}
}

// TestMembersOfAKilledNodeLeave: three programs on one Redis. One is killed, which its members'
// watchers on the others see, and a node that starts after that knows nothing of them.
func TestMembersOfAKilledNodeLeave(t *testing.T) {
	t.Parallel()
	r := redisd.For(t, redisd.Options{})
	start := func() *peal {
		return launch(t, "--listen", "127.0.0.1:0", "--log", r.URL(), "--node-lease", "2s", "--presence-grace", "500ms")
	}
	a, b, c := start(), start(), start()
	agree(t, []*peal{a, b, c}, "/room/presence", `"count":0`)
	watch := streamed(b, b.events(told).opened())
	watch.until("")
	a.events("channel=room&client=ann&info=x").opened()
	watch.until("ann=x")
	const crowd = 150
	for i := range crowd {
		a.events(fmt.Sprintf("channel=crowd&channel=only-%d&client=member-%03d", i, i)).opened()
	}
	b.events("channel=crowd&client=member-000").opened() // on two nodes
	c.events("channel=crowd").opened()                   // without a name
	d := start()                                         // comes late, and knows all
	others := []*peal{b, c, d}
	agree(t, append(others, a), "/crowd/presence?limit=1", `"count":150,"anonymous":1,"members":[{"client":"member-000"}]`)
	agree(t, others, "/crowd", `"subscribers":152,`)
	agree(t, others, "?prefix=only-149", `{"channel":"only-149","subscribers":1,`)

	a.signal(syscall.SIGKILL)
	watch.until("")
	agree(t, others, "/crowd/presence", `"count":1,"anonymous":1,"members":[{"client":"member-000"}]`)
	agree(t, others, "/crowd", `"subscribers":2,`)
	agree(t, others, "?prefix=only-", `{"channels":[]}`)
	e := start()
	agree(t, []*peal{e}, "/crowd/presence", `"count":1,"anonymous":1,"members":[{"client":"member-000"}]`)

	// A node that has nothing to say appends its heartbeat and nothing else.
	for _, x := range []string{"presence", "counts"} {
		if n := entriesOf(t, r, x); n == 0 {
			t.Errorf("the log has no %s", x)
		}
	}
	for began := time.Now(); ; {
		before := entriesOf(t, r, "presence") + entriesOf(t, r, "counts")
		time.Sleep(2 * time.Second) // of idling
		after := entriesOf(t, r, "presence") + entriesOf(t, r, "counts")
		if after == before {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("idle nodes append %d entries in 2 s", after-before)
		}
	}
}

// entriesOf is how many entries of the log are of that sort, by their event or kind.
func entriesOf(t *testing.T, r *redisd.Server, sort string) (n int) {
	t.Helper()
	reply, err := r.Do(t.Context(), "XRANGE", "{peal}:log", "-", "+")
	if err != nil {
		t.Fatal(err)
	}
	kind := "\x03\x01\x01" // the field kind of an entry: presence
	if sort == "counts" {
		kind = "counts"
	}
	for _, e := range reply.([]any) {
		if strings.Contains(fmt.Sprint(e), kind) {
			n++
		}
	}
	return n
}
