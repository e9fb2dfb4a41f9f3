package loop_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"peal/loop"
)

// The address that the kernel gives at accept reaches the front, for requests and
// for messages, on every loop; a Unix socket has none.
func TestPeerReachesTheFront(t *testing.T) {
	listenOn := func(address string) func(t testing.TB) (int, net.Addr) {
		return func(t testing.TB) (int, net.Addr) {
			fd, addr, err := loop.Listen(address)
			if err != nil {
				t.Skipf("listen on %s: %v", address, err)
			}
			return fd, addr
		}
	}
	check := func(listen string, want func(local net.Addr) string) {
		t.Run(listen, func(t *testing.T) {
			s := start(t, options{listen: listenOn(listen)})
			for range 4 { // on both loops
				c := s.dial()
				w := want(c.LocalAddr())
				c.send("peer\n")
				c.expect(w)
				c.ws("wsraw", "room now publish")
				c.sendFrame(opText, "peer")
				c.expectFrame(opText, w)
				c.Close()
			}
		})
	}
	self := func(local net.Addr) string { return local.String() }
	check("127.0.0.1:0", self)
	check("[::1]:0", self)
	check("unix:"+filepath.Join(t.TempDir(), "peal.sock"), func(net.Addr) string { return "invalid AddrPort" })

	t.Run("IPv4 through an IPv6 socket", func(t *testing.T) {
		onlyPlain(t)
		s := start(t, options{listen: listenOn("[::]:0")})
		_, port, _ := strings.Cut(s.addr.String(), "]:")
		c, err := net.Dial("tcp4", "127.0.0.1:"+port)
		if err != nil {
			t.Skip(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "peer\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		if want := c.LocalAddr().String() + "\n"; line != want {
			t.Errorf("peer %q, %v, want %q", line, err, want)
		}
	})
}

func TestPeersAreKeptBySlot(t *testing.T) {
	p, model := loop.NewPeers(), map[uint32]netip.AddrPort{}
	random := rand.New(rand.NewPCG(1, 2))
	most := 0
	for step := range 20_000 {
		slot := random.Uint32N(64)
		var a netip.AddrPort
		switch port := uint16(random.Uint32()); random.IntN(4) {
		case 0: // gone, or over a Unix socket
		case 1:
			a = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(step), byte(slot)}), port)
		case 2:
			a = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: byte(step)}), port)
		case 3:
			a = netip.AddrPortFrom(netip.IPv6Loopback(), port)
		}
		p.Set(slot, a)
		model[slot] = a
		long := 0
		for slot, want := range model {
			if got := p.Get(slot); got != want {
				t.Fatalf("step %d: slot %d has %v, want %v", step, slot, got, want)
			}
			if want.Addr().Is6() {
				long++
			}
		}
		if most = max(most, long+1); p.Long() > most { // the new one before the old one of its slot is forgotten
			t.Fatalf("step %d: room for %d IPv6 addresses, at most %d were there at a time", step, p.Long(), most)
		}
	}
}

// 7 bytes for each connection, beside what it had: the address, the port, and how it came.
func TestPeerIsSmall(t *testing.T) {
	if n := loop.PeerBytes; n > 7 {
		t.Errorf("%v bytes for the address of a connection", n)
	}
	if loop.ConnBytes != 56 {
		t.Errorf("a connection has %d bytes, want 56", loop.ConnBytes)
	}
}
