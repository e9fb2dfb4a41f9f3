package loop_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop"
)

// Hand-overs in a row, under load: each client has each message once, in order, and each response to its
// requests, and none is disconnected.
func TestHandOversInARow(t *testing.T) {
	plaintextOnly(t)
	const rounds, before, after, of = 6, 30, 10, 8
	last := rounds * (before + after)
	s := start(t, options{sendBuffer: 8 << 10, config: loop.Config{Loops: 2}})
	ended := make(chan error, 5*of)
	var over atomic.Bool
	seed := uint64(0)
	follow := func(name string, f func(c *client, rnd *rand.Rand) error) {
		for range of {
			c := s.dialWith(4096)
			seed++
			rnd := rand.New(rand.NewPCG(seed, 2))
			go func() {
				err := f(c, rnd)
				if err != nil {
					err = fmt.Errorf("%s: %w", name, err)
				}
				ended <- err
			}()
		}
	}
	follow("event stream", func(c *client, _ *rand.Rand) error {
		return c.follow("sse a 0\n", 2, last, c.text)
	})
	follow("WebSocket", func(c *client, _ *rand.Rand) error {
		return c.follow("wsjson a 0\n", 1, last, func() (string, error) {
			for {
				c.SetReadDeadline(time.Now().Add(patience))
				op, payload, err := readFrame(c.r)
				if err != nil || op == opText && !strings.HasPrefix(payload, "open ") {
					return strings.TrimSuffix(payload, "\n"), err
				}
			}
		})
	})
	follow("poll", func(c *client, _ *rand.Rand) error { return c.pollUntil(last) })
	follow("keep-alive", func(c *client, rnd *rand.Rand) error {
		for i := 0; !over.Load(); i++ {
			if err := c.echoed(strconv.Itoa(i), rnd); err != nil {
				return err
			}
		}
		return nil
	})
	follow("publisher", func(c *client, rnd *rand.Rand) error {
		if err := c.put("wsraw b 0 publish\n"); err != nil {
			return err
		}
		if _, err := c.text(); err != nil {
			return err
		}
		for i := 0; !over.Load(); i++ { // each of its messages comes back, among those of the others
			want := fmt.Sprint(i, " of ", c.LocalAddr())
			frame := string(masked(0x81, want))
			cut := rnd.IntN(len(frame))
			if err := c.put(frame[:cut], frame[cut:]); err != nil {
				return err
			}
			for {
				c.SetReadDeadline(time.Now().Add(patience))
				_, payload, err := readFrame(c.r)
				if err != nil {
					return err
				}
				if payload == want {
					break
				}
			}
		}
		return nil
	})
	published := 0
	publish := func(n int) {
		for range n {
			published++
			s.publish("a", fmt.Sprint(published, strings.Repeat("x", published%7*1000)))
		}
	}
	for range rounds {
		publish(before)
		if err := s.group.Freeze(patient(t)); err != nil {
			t.Fatal(err)
		}
		publish(after)
		if err := s.group.Settle(patient(t)); err != nil {
			t.Fatal(err)
		}
		s = s.handOver(options{sendBuffer: 8 << 10, config: loop.Config{Loops: 2}})
	}
	for range 3 * of {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	over.Store(true)
	for range 2 * of {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// put is send for a goroutine of its own.
func (c *client) put(parts ...string) error {
	for _, part := range parts {
		c.SetWriteDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, part); err != nil {
			return err
		}
	}
	return nil
}

// text is line for a goroutine of its own.
func (c *client) text() (string, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	line, err := c.r.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// echoed sends a request in two pieces.
func (c *client) echoed(text string, rnd *rand.Rand) error {
	request := "echo " + text + "\n"
	cut := rnd.IntN(len(request))
	if err := c.put(request[:cut], request[cut:]); err != nil {
		return err
	}
	if got, err := c.text(); err != nil || got != text {
		return fmt.Errorf("%q in response to %q: %w", got, request, err)
	}
	return nil
}

// isMessage checks that line is message n of those that are published to a; others are on b.
func isMessage(line string, n int) error {
	w := strings.Fields(line)
	if want := fmt.Sprint(n, strings.Repeat("x", n%7*1000)); len(w) != 4 || w[0] != "m" || w[3] != want {
		return fmt.Errorf("%.60q, want message %d", line, n)
	}
	return nil
}

// follow reads messages 1 to last of a stream that begins with so many lines.
func (c *client) follow(request string, lines, last int, next func() (string, error)) error {
	if err := c.put(request); err != nil {
		return err
	}
	for range lines {
		if _, err := c.text(); err != nil {
			return err
		}
	}
	for n := 1; n <= last; {
		line, err := next()
		switch {
		case err != nil:
			return fmt.Errorf("at message %d: %w", n, err)
		case strings.HasPrefix(line, "beat "):
			continue
		}
		if err := isMessage(line, n); err != nil {
			return err
		}
		n++
	}
	return nil
}

// pollUntil reads messages 1 to last by polls.
func (c *client) pollUntil(last int) error {
	for position, n := "0", 1; n <= last; {
		if err := c.put("poll a ", position, " 1\n"); err != nil {
			return err
		}
		line, err := c.text()
		if err != nil {
			return fmt.Errorf("at message %d: %w", n, err)
		}
		w := strings.Fields(line)
		if len(w) != 4 || w[0] != "poll" || w[2] != "0" {
			return fmt.Errorf("%.60q, want a response without a gap, at message %d", line, n)
		}
		position = w[1]
		for range number(w[3]) {
			if line, err = c.text(); err == nil {
				err = isMessage(line, n)
			}
			if err != nil {
				return err
			}
			n++
		}
	}
	return nil
}
