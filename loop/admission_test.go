package loop_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/admit"
)

// Addresses of clients that are limited; 127.0.0.1 is not.
const (
	here  = "127.0.0.2"
	there = "127.0.0.3"
)

// expectClosed wants the end of the connection without a byte before it.
func (c *client) expectClosed() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(c.r); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("got %q, %v; want the end", b, err)
	}
}

func (c *client) echo() {
	c.t.Helper()
	c.send("echo in\n")
	c.expect("in")
}

func (c *client) expectRefused(why admit.Reason) {
	c.t.Helper()
	c.send("echo out\n")
	c.expect("refused: " + why.String())
	c.expectEnd()
	c.Close()
}

func TestConnectionsOfOneAddress(t *testing.T) {
	s := start(t, options{config: loop.Config{Admission: admit.Limits{PerAddress: 2}}})
	first, second := s.dialFrom(here, 0), s.dialFrom(here, 0)
	first.echo()
	second.sse("a now")
	s.dialFrom(here, 0).expectRefused(admit.Address)
	s.dialFrom(here, 0).expectRefused(admit.Address)
	s.dialFrom(there, 0).echo() // another address
	for range 5 {
		s.dial().echo() // one without limits
	}
	second.reset()
	s.await("one has gone", func() bool { return s.sum(connections) <= 7 })
	s.dialFrom(here, 0).echo()
	if n := s.stats()[0].Admission.Refused["address"]; n != 2 {
		t.Errorf("%d refused for their address, want 2", n)
	}
}

func TestNewConnectionsOfOneAddress(t *testing.T) {
	s := start(t, options{config: loop.Config{Admission: admit.Limits{
		AddressRate: admit.Rate{Interval: time.Hour, Burst: 3},
		Rate:        admit.Rate{Interval: time.Hour, Burst: 8},
	}}})
	for range 3 {
		s.dialFrom(here, 0).echo()
	}
	for range 20 { // takes nothing from the rate of all
		s.dialFrom(here, 0).expectRefused(admit.AddressRate)
	}
	for range 3 {
		s.dialFrom(there, 0).echo()
	}
	s.dial().echo()
	s.dial().echo()
	if a := s.stats()[0].Admission; a.Refused["address_rate"] != 20 || a.Pauses != 1 {
		t.Errorf("refused %v, %d pauses, want 20 and the one that has begun", a.Refused, a.Pauses)
	}
	waiting := s.dial()
	waiting.send("echo in\n")
	s.stats()
	if n := s.sum(func(l loop.Stats) int { return int(l.Accepted) }); n > 8+20 {
		t.Errorf("%d accepted, beyond the rate", n)
	}
	limits := s.group.Config()
	limits.Admission.Rate = admit.Rate{Interval: time.Millisecond, Burst: 1}
	s.group.LimitAdmission(limits)
}

// A client that waits for a rate that is far too low is served once it was raised.
func TestAcceptRateThatIsRaised(t *testing.T) {
	limits := loop.Config{Admission: admit.Limits{Rate: admit.Rate{Interval: time.Hour, Burst: 1}}}
	s := start(t, options{config: limits})
	s.dial().echo()
	late := s.dial()
	if !eventually(patience, func() bool { return s.stats()[0].Admission.Pauses > 0 }) {
		t.Fatal("accepting does not pause")
	}
	limits.Admission.Rate = admit.Rate{}
	s.group.LimitAdmission(limits)
	late.echo()
}

// Beyond the rate of new connections all are served, a little later.
func TestAcceptRateSpreadsAStorm(t *testing.T) {
	s := start(t, options{config: loop.Config{Admission: admit.Limits{Rate: admit.Rate{Interval: 2 * time.Millisecond, Burst: 10}}}})
	began := time.Now()
	all := s.dialMany(200)
	for _, c := range all {
		c.SetDeadline(time.Now().Add(patience))
		if answer, err := ask(c, "echo in\n"); err != nil || answer != "in\n" {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	if took := time.Since(began); took < 190*2*time.Millisecond {
		t.Errorf("200 connections in %v, faster than the rate", took)
	}
	a := s.stats()[0].Admission
	if a.Pauses == 0 || a.Pauses > 200 {
		t.Errorf("%d pauses", a.Pauses)
	}
}

func TestRefusalsBeyondTheirBudgetHaveNoResponse(t *testing.T) {
	s := start(t, options{config: loop.Config{Admission: admit.Limits{PerAddress: 1, RefusalRate: admit.Rate{Interval: time.Hour, Burst: 2}}}})
	s.dialFrom(here, 0).echo()
	s.dialFrom(here, 0).expectRefused(admit.Address)
	s.dialFrom(here, 0).expectRefused(admit.Address)
	for range 5 {
		s.dialFrom(here, 0).expectClosed()
	}
	s.awaitConnections(1)
}

// A client that is to be refused and sends no request holds its place for a short time only.
func TestRefusalThatNobodyFetches(t *testing.T) {
	s := start(t, options{config: loop.Config{MaxConnections: 1, HeadTimeout: time.Second}})
	s.dial().echo()
	s.dial().expectClosed()
	s.dialFrom(here, 0).expectRefused(admit.Full)
}

func TestPressRefusesUntilItEnds(t *testing.T) {
	s := start(t, options{})
	s.group.Press(true)
	s.dial().expectRefused(admit.Memory)
	s.group.Press(false)
	s.dial().echo()
}

// Whatever way a connection ends, its address is not counted any more: awaitEmpty.
func TestNoWayOfEndingLeavesAnAddressCounted(t *testing.T) {
	s := start(t, options{config: loop.Config{HeadTimeout: time.Second, LingerTimeout: time.Second, Admission: admit.Limits{PerAddress: 8}}})
	for name, end := range map[string]func(c *client){
		"closed":        func(c *client) { c.Close() },
		"reset":         func(c *client) { c.reset() },
		"half-closed":   func(c *client) { c.send("echo 1"); c.Conn.(*net.TCPConn).CloseWrite() },
		"unfinished":    func(c *client) { c.send("ech") },
		"stream, reset": func(c *client) { c.sse("a now"); c.reset() },
		"stream":        func(c *client) { c.sse("a now"); c.Close() },
	} {
		var all []*client
		for range 8 {
			c := s.dialFrom(here, 0)
			all = append(all, c)
		}
		s.await("all are there", func() bool { return s.stats()[0].Admission.Addresses == 1 && s.sum(connections) == 8 })
		turnedAway := func() uint64 { a := s.stats()[0]; return a.Refused + a.Failed }
		before := turnedAway()
		s.dialFrom(here, 0).expectRefused(admit.Address)
		refused := s.dialFrom(here, 0)
		refused.reset()
		s.await("both were taken from the backlog", func() bool { return turnedAway() == before+2 })
		for _, c := range all {
			end(c)
		}
		if name == "unfinished" {
			s.await("they are late", func() bool { return s.sum(connections) == 0 })
		}
		for _, c := range all {
			c.Close()
		}
		s.awaitEmpty()
	}
	drained := s.dialFrom(here, 0)
	drained.sse("a now")
	s.group.Drain(testContext())
	if n := s.group.Addresses(); n != 0 {
		t.Errorf("%d addresses are counted after the drain", n)
	}
}

// A proxy that is named, and trusted no longer at that moment, is not counted: the address of its
// connection may change before it ends.
func TestProxyThatIsNamedDuringAReload(t *testing.T) {
	proxy := netip.MustParseAddrPort("192.0.2.1:2")
	var asked atomic.Int32
	s := start(t, options{
		config:  loop.Config{Loops: 1, Admission: admit.Limits{PerAddress: 1}},
		trusted: func(a netip.Addr) bool { return a == proxy.Addr() && asked.Add(1) == 1 },
	})
	c := s.dial()
	c.echo()
	s.group.NameClient(0, 0, proxy)
	if n := s.group.Addresses(); n != 0 {
		t.Errorf("%d addresses are counted", n)
	}
}

// The PROXY protocol names the client after its connection was accepted.
func TestClientThatIsNamedLater(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Admission: admit.Limits{PerAddress: 1}}})
	far, other := netip.MustParseAddrPort("192.0.2.1:2"), netip.MustParseAddrPort("[2001:db8::1]:2")
	var all []*client
	for range 3 { // slots 0, 1, 2
		c := s.dial()
		c.echo()
		all = append(all, c)
	}
	count := func(want int) {
		t.Helper()
		if n := s.group.Addresses(); n != want {
			t.Errorf("%d addresses are counted, want %d", n, want)
		}
	}
	s.group.NameClient(0, 0, far)
	s.group.NameClient(0, 1, other)
	count(2)
	s.group.NameClient(0, 2, other)
	all[2].expectClosed()
	all[1].echo()
	s.group.NameClient(0, 1, netip.MustParseAddrPort("127.0.0.1:1"))
	count(1)
	all[0].Close()
	all[1].Close()
	s.awaitEmpty()
}
