package loop_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/admit"
)

func anyPeer(netip.Addr) bool { return true }

// A connection of a trusted proxy brings requests of many clients. What the front is
// shown as the peer stays the proxy; what is counted and logged is the client.
func TestEachRequestHasItsClient(t *testing.T) {
	lines := &record{}
	s := start(t, options{trusted: anyPeer, config: loop.Config{Loops: 1, HeadTimeout: time.Second, Heartbeat: time.Hour, Log: slog.New(slog.NewTextHandler(lines, nil))}})
	for _, client := range []string{"192.0.2.7:4711", "[2001:db8::7]:4711"} {
		c := s.dial()
		self := c.LocalAddr().String()
		c.send("as " + client + " peer\n")
		c.expect(self)
		c.send("peer\n")
		c.expect(self)
		c.send("as [2001:db8::9]:1 peer\nas 192.0.2.9:1 peer\nas " + client + " peer\n")
		c.expect(self)
		c.expect(self)
		c.expect(self)
		// The stream is the client's for good: its messages have the address, and its lines.
		c.ws("as "+client+" wsraw", "room now publish")
		c.sendFrame(opText, "peer")
		c.expectFrame(opText, client)
		c.send("\x81\xFE\x01\x00half a frame")
		s.await("half a frame is here", func() bool { return s.stats()[0].InputBytes > 0 })
		s.age(5 * time.Second)
		c.expectClose(1013)
		line := lines.lines()
		if last := line[len(line)-1]; !strings.Contains(last, "client="+client+" ") {
			t.Errorf("the line has no client=%s: %s", client, last)
		}
		c.Close()
	}
	s.await("no proxy is kept", func() bool { return s.group.Proxies(0) == 0 })
}

// Between requests, and until the head of one is whole, the connection is the proxy's.
func TestBetweenRequestsTheConnectionIsTheProxys(t *testing.T) {
	s := start(t, options{trusted: anyPeer, config: loop.Config{Loops: 1}})
	c := s.dial()
	self := c.LocalAddr().String()
	check := func(want string) {
		t.Helper()
		s.await("the connection has the address "+want, func() bool { return s.group.PeerOf(0, 0) == want })
	}
	check(self)
	c.send("as 192.0.2.7:1 echo a\n")
	c.expect("a")
	check("192.0.2.7:1")
	c.send("ec")
	check(self)
	c.send("ho b\n")
	c.expect("b")
	check(self)
	c.send("as 192.0.2.8:1 body 5\n")
	c.expect("continue")
	check("192.0.2.8:1")
	c.send("abc")
	check("192.0.2.8:1")
	c.send("de")
	c.expect("got 5")
	check("192.0.2.8:1")
	c.send("as 192.0.2.9:1 poll room now\n") // held: counted with its client
	check("192.0.2.9:1")
}

// From a peer that is not trusted no client is taken.
func TestOnlyTrustedPeersHaveClients(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.ws("as 192.0.2.7:1 wsraw", "room now publish")
	c.sendFrame(opText, "peer")
	c.expectFrame(opText, c.LocalAddr().String())
}

// A stream behind a trusted proxy counts as a connection of its client, and nothing of the
// proxy counts as one of its own.
func TestStreamsBehindAProxyCountForTheirClient(t *testing.T) {
	s := start(t, options{trusted: anyPeer, config: loop.Config{Loops: 1, Admission: admit.Limits{PerAddress: 2}}})
	client, other := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	check := func(addresses int, full bool) {
		t.Helper()
		s.await("the streams are counted", func() bool {
			return s.group.Addresses() == addresses && s.group.AddressFull(client) == full && !s.group.AddressFull(other)
		})
	}
	check(0, false)
	keep := s.dial()
	keep.send("as 192.0.2.7:1 echo a\n") // a request is no stream
	keep.expect("a")
	check(0, false)
	one, two := s.dial(), s.dial()
	one.ws("as 192.0.2.7:1 wsraw", "room now publish")
	check(1, false)
	two.ws("as 192.0.2.7:2 wsraw", "room now publish")
	check(1, true)
	s.dial().ws("as [2001:db8::7]:1 wsraw", "room now publish")
	s.dial().ws("as 127.0.0.1:1 wsraw", "room now publish") // this machine is not limited
	check(2, true)
	one.Close()
	check(2, false)
	two.Close()
	check(1, false)
}

func TestExempt(t *testing.T) {
	trusted := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") }
	for text, want := range map[string]bool{"": true, "127.0.0.1": true, "::1": true, "192.0.2.1": true, "192.0.2.2": false, "2001:db8::1": false} {
		var a netip.Addr
		if text != "" {
			a = netip.MustParseAddr(text)
		}
		if got := loop.Exempt(trusted, a); got != want {
			t.Errorf("%q is exempt: %v, want %v", text, got, want)
		}
	}
}
