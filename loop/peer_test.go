package loop_test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

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

// 18 bytes for each connection, beside what it had.
func TestPeerIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(loop.PeerOfZero); n > 18 {
		t.Errorf("%d bytes for the address of a connection", n)
	}
	if loop.ConnBytes != 56 {
		t.Errorf("a connection has %d bytes, want 56", loop.ConnBytes)
	}
}
