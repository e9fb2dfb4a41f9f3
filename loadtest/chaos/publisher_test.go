package chaos

import (
	"math/rand/v2"
	"testing"

	"peal/loadtest/child"
)

func TestARepeatedMessageIsNotTheLast(t *testing.T) {
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	server := &fake{addr: child.Loopback(port), keep: 10}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(true) })
	r := &run{Config: Config{Addr: server.addr, Channels: 1, Keeps: All}, ending: make(chan struct{})}
	close(r.ending)
	p := publisher{run: r, channels: []int32{0}, rnd: rand.New(rand.NewPCG(1, 1))}
	p.again = p.next(0) // its response was lost before the run was ending
	repeated := p.again.id
	if last := p.live(t.Context(), 1)[0]; last <= repeated {
		t.Errorf("the last message is %d, of which %d was sent before the run was ending", last, repeated)
	}
	if r.ledger.all[repeated-1].at.isZero() {
		t.Error("the message was not repeated")
	}
}
