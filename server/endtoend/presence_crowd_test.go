package endtoend_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var crowdFlag = flag.Int("crowd", 5_000, "members of TestACrowdDoesNotStallTheMessages")

// A crowd comes to one channel, which somebody watches and somebody lists, while
// messages are published there: all are counted and listed. How long the messages take
// is printed, beside how long they take while as many come without a name:
//
//	go test ./server/endtoend -run ACrowdDoesNotStall -v -crowd 100000
func TestACrowdDoesNotStallTheMessages(t *testing.T) {
	crowd := *crowdFlag
	p := launch(t, "--listen", "127.0.0.1:0", "--presence-grace", "1h") // a process of its own, with nobody else's garbage
	messages := p.dialSocket("/ws?channel=crowd", nil)
	watcher := p.events("channel=crowd&presence=1").opened()

	p.whileTheyCome("without a name", crowd, messages, func(int) string { return "" })
	took := p.whileTheyCome("with names", crowd, messages, func(i int) string { return fmt.Sprint("user", i) })

	events := 0
	for counted := 0; counted < crowd; {
		if e := watcher.next(); e.name == "peal.presence" {
			events++
			told := decode[presenceEvent](t, []byte(e.data))
			if counted = told.Count; counted > 100 && told.Join != nil {
				t.Fatalf("names of a crowd: %s", e.data)
			}
		}
	}
	t.Logf("%d members came in %v, told in %d events", crowd, took.Round(time.Millisecond), events)
	seen := map[string]bool{}
	query := "crowd/presence?limit=1000"
	for next := " "; next != ""; query = "crowd/presence?limit=1000&after=" + next {
		page := p.present(query)
		for _, m := range page.Members {
			seen[m.Client] = true
		}
		next = page.Next
	}
	if len(seen) != crowd {
		t.Errorf("%d members are listed, want %d", len(seen), crowd)
	}
}

// whileTheyCome publishes to the channel crowd, one message after the other,
// while that many clients subscribe to it and leave again, each by the name it
// is given: four connections, each one client after the other.
func (p *peal) whileTheyCome(how string, clients int, messages *socket, name func(int) string) time.Duration {
	const connections = 4
	began := time.Now()
	var wg sync.WaitGroup
	for n := range connections {
		s := p.dialSocket("/ws", v1)
		s.next() // connected
		wg.Go(func() {
			for i := n; i < clients; i += connections {
				s.send(false, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":"crowd","client":%q}`, name(i)))
				s.send(false, `{"id":2,"command":"unsubscribe","channel":"crowd"}`)
				for answers := 0; answers < 2; { // between them there may be messages
					if strings.HasPrefix(s.next().data, `{"id":`) {
						answers++
					}
				}
			}
		})
	}
	all := make(chan struct{})
	go func() { // ends with them
		wg.Wait()
		close(all)
	}()
	var times []time.Duration
	for more := true; more; {
		sent := time.Now()
		p.publish("crowd", "x")
		messages.next()
		times = append(times, time.Since(sent))
		select {
		case <-all:
			more = false
		default:
		}
	}
	slices.Sort(times)
	quantile := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))] }
	p.t.Logf("%s: %d messages, published and received in %v (median), %v (99 %%), %v (longest)", how, len(times), quantile(0.5), quantile(0.99), quantile(1))
	return time.Since(began)
}
