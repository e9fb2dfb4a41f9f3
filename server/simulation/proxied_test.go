package simulation_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"peal/loop"
	"peal/loop/proxied"
)

// proxied puts the PROXY protocol between the loops and the machine, and before that
// proxies, through which most clients connect. They write a header before the first
// byte of the client, and it arrives in pieces as all bytes do.
func (w *world) proxied(below loop.OpenKernel) loop.OpenKernel {
	layer := proxied.New(proxied.Config{Trusted: func(netip.Addr) bool { return true }, Timeout: time.Hour})
	return layer.Open(func(number int, h loop.Handler) (loop.Kernel, error) {
		k, err := below(number, h)
		return balancer{k}, err
	})
}

// balancer is the machine as it has the addresses of proxies.
type balancer struct{ loop.Kernel }

func (b balancer) Accept(listener int32) (loop.Arrival, error) {
	a, err := b.Kernel.Accept(listener)
	if err == nil && headerOf(a.Peer) != nil {
		ip := a.Peer.Addr().As4()
		ip[0] = 10 // which is not limited: world.boot
		a.Peer = netip.AddrPortFrom(netip.AddrFrom4(ip), 999)
	}
	return a, err
}

// headerOf is the header with which a proxy names that client; nil where none is
// before it.
func headerOf(client netip.AddrPort) []byte {
	switch ip := client.Addr().As4(); client.Port() % 4 {
	case 0, 1:
		return fmt.Appendf(nil, "PROXY TCP4 %v 198.51.100.1 %d 443\r\n", client.Addr(), client.Port())
	case 2:
		b := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x13"), ip[:]...)
		b = binary.BigEndian.AppendUint16(append(b, 198, 51, 100, 1), client.Port())
		return append(b, "\x01\xbb\x04\x00\x04abcd"...) // a TLV without meaning
	}
	return nil
}

// TestSimulationBehindProxies runs schedules with the PROXY protocol below the loops.
// What the oracle demands is the same: it knows each connection by its client. PEAL_SEED
// and PEAL_SEEDS are as in TestSimulation.
func TestSimulationBehindProxies(t *testing.T) {
	seeds := uint64(60)
	if raceEnabled || testing.Short() {
		seeds = 10
	}
	first, seeds := seedsFromEnv(t, seeds)
	var sum counts
	for seed := first; seed < first+seeds && !t.Failed(); seed++ {
		var w *world
		synctest.Test(t, func(*testing.T) {
			w = newWorld(seed, bug{proxied: true})
			w.run(stepsOfSeed)
		})
		if w.failure != "" {
			t.Errorf("%s\nalone: PEAL_SEED=%d go test ./server/simulation -run '^TestSimulationBehindProxies$'", w.failure, seed)
		}
		for i, n := range w.counts {
			sum[i] += n
		}
	}
	t.Logf("seeds %d–%d, %d steps each: %s", first, first+seeds-1, stepsOfSeed, sum)
}
