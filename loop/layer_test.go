package loop_test

import (
	"errors"
	"net/netip"
	"testing"

	"peal/loop"
)

// naming is a layer that has found out who is behind a proxy before the loop reads.
type naming struct {
	loop.Kernel
	handler loop.Handler
	client  netip.AddrPort
}

func (k *naming) Accept(listener int32) (loop.Arrival, error) {
	a, err := k.Kernel.Accept(listener)
	a.Secure = true
	return a, err
}

func (k *naming) Read(socket int32, b []byte) (int, error) {
	if !k.handler.Peer(socket, k.client) {
		return 0, errors.New("not welcome")
	}
	return k.Kernel.Read(socket, b)
}

func TestALayerNamesTheClientBehindAProxy(t *testing.T) {
	loopback := func(peer netip.Addr) bool { return peer.IsLoopback() }
	for _, c := range []struct{ client, via string }{
		{"192.0.2.7:4711", "secure=true trusted=false named=true"},
		{"[2001:db8::7]:4711", "secure=true trusted=false named=true"},
		{"127.0.0.9:4711", "secure=true trusted=true named=true"},
	} {
		s := start(t, options{trusted: loopback, open: func(number int, h loop.Handler) (loop.Kernel, error) {
			below, err := loop.OpenMachine(number, h)
			return &naming{below, h, netip.MustParseAddrPort(c.client)}, err
		}})
		for range 4 { // on both loops, and in slots that had a client before
			conn := s.dial()
			conn.send("peer\nvia\n")
			conn.expect(c.client)
			conn.expect(c.via)
			conn.ws("wsraw", "room now publish")
			conn.sendFrame(opText, "peer")
			conn.expectFrame(opText, c.client)
			conn.Close()
		}
	}
}

func TestAConnectionWithoutLayersIsPlain(t *testing.T) {
	onlyPlain(t)
	for trusted, want := range map[bool]string{false: "secure=false trusted=false named=false", true: "secure=false trusted=true named=false"} {
		s := start(t, options{trusted: func(netip.Addr) bool { return trusted }})
		c := s.dial()
		c.send("via\n")
		c.expect(want)
	}
}
