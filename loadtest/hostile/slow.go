package hostile

import (
	"context"
	"net"
	"strings"
	"time"
)

// slowKinds hold connections and do little with them.
var slowKinds = []Kind{
	{"slow-heads", (*client).slowHeads},
	{"slow-bodies", (*client).slowBodies},
	{"slow-frames", (*client).slowFrames},
	{"half-open", (*client).halfOpen},
	{"resets", (*client).resets},
	{"zero-windows", (*client).zeroWindows},
	{"tiny-windows", (*client).tinyWindows},
}

// dripEvery is the time between two bytes of what never becomes whole.
const dripEvery = time.Second

// drip opens connections, sends first on each, and then a byte a second.
func (c *client) drip(ctx context.Context, first func(*wire) error) error {
	return c.keepMany(ctx, 0, dripEvery, first, func(w *wire) error { return w.send([]byte{'x'}) })
}

// slowHeads sends request heads that never end.
func (c *client) slowHeads(ctx context.Context) error {
	return c.drip(ctx, sends([]byte("GET /poll?channel=slow HTTP/1.1\r\nHost: "+c.Addr+"\r\nX-Slow: "), 1))
}

// slowBodies sends request bodies that never end.
func (c *client) slowBodies(ctx context.Context) error {
	return c.drip(ctx, sends([]byte("POST /publish?channel=slow HTTP/1.1\r\nHost: "+c.Addr+"\r\nContent-Length: 60000\r\n\r\n"), 1))
}

// slowFrames sends WebSocket messages that never end.
func (c *client) slowFrames(ctx context.Context) error {
	return c.drip(ctx, func(w *wire) error {
		if err := w.upgrade("/ws?channel=slow", ""); err != nil {
			return err
		}
		return sends(appendHead(nil, opText, largeBytes), 1)(w)
	})
}

// halfOpen connects and sends nothing.
func (c *client) halfOpen(ctx context.Context) error {
	return c.keepMany(ctx, 0, dripEvery, func(*wire) error { return nil }, nil)
}

// resets connects, sends the beginning of a request, and resets the connection.
func (c *client) resets(ctx context.Context) error {
	for ctx.Err() == nil {
		w, err := c.dial(ctx, 0)
		if err != nil {
			return err
		}
		err = w.send([]byte("GET /poll?channel=reset HTTP/1.1\r\nHost: " + c.Addr + "\r\n"))
		if t, ok := w.Conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // its close is a reset
		}
		w.hangUp()
		if err != nil {
			return err
		}
		pause(ctx, c.Pause)
	}
	return nil
}

// streamOf is a start for on and keepMany: it asks for an event stream.
func streamOf(channel string) func(*wire) error {
	return func(w *wire) error {
		return sends(w.c.appendRequest(nil, "GET", "/sse?channel="+channel, "", nil), 1)(w)
	}
}

// The messages of zeroWindows and tinyWindows are more than their windows take.
var windowBody = []byte(strings.Repeat("w", 20_000))

// zeroWindows reads nothing of event streams with many messages.
func (c *client) zeroWindows(ctx context.Context) error {
	if c.turn == 0 {
		return c.publish(ctx, "/publish?channel=windows", "", windowBody, max(20*time.Millisecond, c.PublishPause))
	}
	return c.keepUnread(ctx, streamOf("windows"))
}

// tinyWindows reads such streams with a window of a few bytes: the server can send a
// little at a time, for ever.
func (c *client) tinyWindows(ctx context.Context) error {
	if c.turn == 0 {
		return c.publish(ctx, "/publish?channel=windows", "", windowBody, max(20*time.Millisecond, c.PublishPause))
	}
	some := make([]byte, 16)
	return c.keepMany(ctx, smallReceive, 10*time.Millisecond, streamOf("windows"), func(w *wire) error {
		if err := w.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		n, err := w.Read(some)
		count(&w.c.met.Received, n)
		if e, ok := err.(net.Error); ok && e.Timeout() {
			return nil
		}
		return err
	})
}
