package proxied_test

import (
	"testing"

	"peal/loop"
)

// The layer says what it has of a connection that is to be handed over: a header may still come, or a
// part of one has.
func TestWhatTheLayerKeeps(t *testing.T) {
	keeps := func(what string, c *conn, want loop.Keeping) {
		t.Helper()
		if got := loop.KeepsOf(c.above, socket); got != want {
			t.Errorf("%s: the layer keeps %d, want %d", what, got, want)
		}
	}
	const header = "PROXY TCP4 198.51.100.7 10.0.0.1 5 6\r\n"
	keeps("of a stranger", dial(t, stranger), loop.KeepsNothing)
	c := dial(t, proxy)
	keeps("before a header", c, loop.KeepsBeginning)
	c.send(header[:9], "")
	c.read(100)
	keeps("inside a header", c, loop.KeepsInput)
	c.send(header[9:], "GET")
	c.read(100)
	keeps("behind a header", c, loop.KeepsNothing)
}

// A connection that another process has accepted has its header taken off, if it is one of a trusted proxy.
func TestAHeaderOfAConnectionThatWasHandedOver(t *testing.T) {
	const header = "PROXY TCP4 198.51.100.7 10.0.0.1 5 6\r\n"
	for peer, want := range map[string]string{"10.0.0.1:999": "GET", "192.0.2.99:999": header + "GET"} {
		c := dial(t, stranger) // its descriptor is that of the other one, too
		c.peer = proxy
		if peer != proxy.String() {
			c.peer = stranger
		}
		loop.AwaitOn(c.above, loop.Arrival{Socket: socket, Peer: c.peer})
		c.send(header + "GET")
		c.read(100)
		if string(c.got) != want {
			t.Errorf("of %s came %q, want %q", peer, c.got, want)
		}
	}
}
