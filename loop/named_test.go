package loop_test

import (
	"slices"
	"sync"
	"testing"

	"peal/loop"
)

// ledger is sessions in the order in which something happened to them.
type ledger struct {
	mu       sync.Mutex
	sessions []uint64
}

func (l *ledger) add(session uint64) {
	l.mu.Lock()
	l.sessions = append(l.sessions, session)
	l.mu.Unlock()
}

func (l *ledger) inOrder() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.sessions)
}

func (l *ledger) sorted() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.sessions))
}

// However a connection comes to receive nothing more, the front hears of it
// once, and of those that were not named never.
func TestFrontIsToldOnceWhenANamedConnectionReceivesNothingMore(t *testing.T) {
	endings := map[string]func(s *server, c *client){
		"event stream, client hangs up": func(_ *server, c *client) {
			c.sse("a now named")
			c.Close()
		},
		"event stream, reset": func(_ *server, c *client) {
			c.sse("a now named")
			c.reset()
		},
		"WebSocket, client closes": func(_ *server, c *client) {
			c.ws("wsraw", "a now named")
			c.sendFrame(opClose, closePayload(1000, ""))
			c.expectClose(1000)
		},
		"WebSocket, server closes": func(_ *server, c *client) {
			c.ws("wsraw", "a now publish named")
			c.sendFrame(opText, "throw me out")
			c.expectClose(4410)
		},
		"WebSocket, gap at once": func(_ *server, c *client) {
			c.ws("wsraw", "a foreign named")
			c.expectClose(4409)
		},
		"WebSocket, against the protocol": func(_ *server, c *client) {
			c.ws("wsraw", "a now publish named")
			c.send(string(masked(0x80|0x40|opText, "x")))
			c.expectClose(1002)
		},
		"poll, client hangs up": func(s *server, c *client) {
			c.send("poll held now 60 named\n")
			s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
			c.Close()
		},
		"polls, answered": func(s *server, c *client) {
			c.send("poll b 0 60 named\n")
			c.line()
			c.line()
			c.send("echo between\n")
			c.expect("between")
			c.send("poll b 0 60 named\n")
			c.line()
			c.line()
			c.Close()
		},
		"poll that ends the connection": func(s *server, c *client) {
			c.send("lastpoll b 0 60 named\n")
			c.line()
			c.line()
			c.expectEnd()
		},
		"poll, then a stream": func(s *server, c *client) {
			c.send("poll b 0 60 named\n")
			c.line()
			c.line()
			c.sse("a now named")
			c.Close()
		},
		"not named": func(s *server, c *client) {
			c.send("poll b 0 60\n")
			c.line()
			c.line()
			c.sse("a now")
			c.Close()
		},
	}
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{})
			s.publish("b", "x")
			c := s.dial()
			end(s, c)
			c.Close()
			s.awaitEmpty()
			named, left := s.named.sorted(), s.left.sorted()
			if !slices.Equal(named, left) || (len(named) == 0) != (name == "not named") {
				t.Errorf("named %d, left %d", named, left)
			}
		})
	}
}

func polls(s loop.Stats) int { return s.Transports.Poll }
