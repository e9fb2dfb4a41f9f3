package endtoend_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"peal/server"
)

// from is a client of p with an address of its own on the loopback network.
func (p *peal) from(address string) *peal {
	other := *p
	other.local = &net.TCPAddr{IP: net.ParseIP(address)}
	dialer := &net.Dialer{Timeout: patience, LocalAddr: other.local}
	transport := &http.Transport{DialContext: dialer.DialContext}
	p.t.Cleanup(transport.CloseIdleConnections)
	other.client = &http.Client{Transport: transport, Timeout: patience}
	return &other
}

// keyedBatch publishes that many messages with keys of their own, and counts
// those that were accepted and those that were refused for the table's sake.
func (p *peal) keyedBatch(name string, messages int) (accepted, refused int) {
	p.t.Helper()
	items := make([]string, messages)
	for i := range items {
		items[i] = fmt.Sprintf(`{"channel":"flood","data":"x","idempotency_key":"%s-%d"}`, name, i)
	}
	a := p.do("POST", "/publish/batch", `{"messages":[`+strings.Join(items, ",")+`]}`)
	if a.status != 200 {
		p.t.Fatalf("batch: %d %s", a.status, a.body)
	}
	return strings.Count(string(a.body), `"cursor"`), strings.Count(string(a.body), `"idempotency_full"`)
}

// TestKeysOfManyAddresses: one address that publishes 13,000 keys into a table of
// 2,000 is refused beyond its half, and 40 addresses together take from the largest
// only. An honest publisher with fewer keys than a fair share keeps them all, and
// finds room for more.
func TestKeysOfManyAddresses(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.IdempotencyKeys = 2000 })
	const keys = 40
	publish := func(name string) (status int, replayed bool) {
		a := p.do("POST", "/publish?channel=orders", "paid", "Content-Type: text/plain", "Idempotency-Key: "+name)
		return a.status, a.header.Get("Idempotency-Replayed") == "true"
	}
	for i := range keys {
		if status, replayed := publish(fmt.Sprint("order-", i)); status != 200 || replayed {
			t.Fatalf("order %d: %d, replayed %v", i, status, replayed)
		}
	}
	check := func(when string) {
		t.Helper()
		again := 0
		for i := range keys {
			if status, replayed := publish(fmt.Sprint("order-", i)); status != 200 || !replayed {
				again++
			}
		}
		if again > 0 {
			t.Errorf("%s: %d of %d orders were published again", when, again, keys)
		}
		if status, _ := publish("new " + when); status != 200 {
			t.Errorf("%s: a new key of the honest publisher: %d", when, status)
		}
	}
	attacker := p.from("127.0.0.2")
	accepted, refused := 0, 0
	for i := range 13 {
		a, r := attacker.keyedBatch(fmt.Sprint("one-", i), 1000)
		accepted, refused = accepted+a, refused+r
	}
	if accepted != 1000 || refused != 12_000 {
		t.Errorf("one address: %d keys accepted and %d refused, want 1,000 and 12,000", accepted, refused)
	}
	check("after one address")
	for i := range 40 {
		p.from(fmt.Sprint("127.0.1.", i+1)).keyedBatch(fmt.Sprint("many-", i), 1000)
	}
	check("after 40 addresses")
}

// TestPresenceOfManyAddresses: one peal.v1 connection that takes and leaves channels
// under ever new names has half of the table, and 20 addresses with several
// connections leave room for an honest client too. A list that is filled by one
// address takes others.
func TestPresenceOfManyAddresses(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Presence.Members, c.Presence.ChannelMembers = 4000, 500
		c.Presence.Grace = patience // nobody leaves for good
		c.HTTP.ChannelLimit = 128
	})
	ann := p.events("channel=room&client=ann").opened()
	defer ann.close()
	listed := func(channel, client string) bool {
		a := p.do("GET", "/channels/"+channel+"/presence?limit=1000", "")
		return strings.Contains(string(a.body), fmt.Sprintf(`{"client":%q}`, client))
	}
	check := func(when string, n int) {
		t.Helper()
		if !listed("room", "ann") {
			t.Errorf("%s: ann is no longer listed", when)
		}
		client := fmt.Sprint("new-", n)
		s := p.events("channel=room&channel=lobby&client=" + client).opened()
		defer s.close()
		if !listed("room", client) || !listed("lobby", client) {
			t.Errorf("%s: who comes is not listed", when)
		}
	}
	flood := func(q *peal, name string, rounds int) {
		t.Helper()
		s := q.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
		s.next() // the greeting
		for i := range rounds {
			channels := `"lobby"`
			for k := range 127 {
				channels += fmt.Sprintf(`,"flood-%d"`, k)
			}
			s.send(false, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":[%s],"client":"%s-%d"}`, channels, name, i))
			s.next()
			s.send(false, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":[%s]}`, channels))
			s.next()
		}
	}
	flood(p.from("127.0.0.2"), "one", 600) // 76,800 members
	check("after one connection", 1)
	for i := range 20 {
		flood(p.from(fmt.Sprint("127.0.1.", i+1)), fmt.Sprint("many-", i), 20)
	}
	check("after 20 addresses", 2)
}
