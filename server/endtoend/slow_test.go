package endtoend_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// slowRules are the three policies, each on channels of its own.
const slowRules = `channels:
  - {match: "latest.*", slow: latest}
  - {match: "end.*", slow: disconnect}
`

const slowMessages, slowBytes = 200, 50_000 // 10 MB: more than the kernel takes for a client that does not read

// flood publishes to channel while nobody reads, numbered from 0.
func (p *peal) flood(channel string) {
	p.t.Helper()
	for n := range slowMessages {
		p.publish(channel, fmt.Sprintf("%d %s", n, strings.Repeat("x", slowBytes)))
	}
}

// sluggish is a connection with a small window.
func (p *peal) sluggish(request string) *wire {
	p.t.Helper()
	w := p.dial()
	if err := tcp(w.conn).SetReadBuffer(128 << 10); err != nil {
		p.t.Fatal(err)
	}
	if err := w.conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		p.t.Fatal(err)
	}
	return w.send(request)
}

// slowRead is what a slow JSON WebSocket found when it read at last.
type slowRead struct {
	first  int   // how many messages came before anything was missing
	gaps   []gap // what it was told
	after  []int // the numbers of the messages behind
	closed string
}

func (p *peal) readSlowly(channel string) (r slowRead) {
	p.t.Helper()
	w := p.sluggish("GET /ws?format=json&channel=" + channel + " HTTP/1.1\r\n" + hostLine + handshake + "\r\n")
	w.want("GET", 101)
	p.awaitSubscribers(channel, 1)
	p.flood(channel)
	for {
		first, text := w.frame()
		switch first {
		case 0x89: // a ping
			continue
		case 0x88:
			r.closed = text
			return r
		}
		var said struct {
			Gap  []gap
			Data string
		}
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			p.t.Fatal(err)
		}
		var n int
		switch _, err := fmt.Sscan(said.Data, &n); {
		case said.Gap != nil:
			r.gaps = append(r.gaps, said.Gap...)
		case err != nil:
			p.t.Fatalf("a frame says %.100s", text)
		case len(r.gaps) > 0:
			r.after = append(r.after, n)
		case n != r.first:
			p.t.Fatalf("message %d came, want %d", n, r.first)
		default:
			r.first++
		}
		if n == slowMessages-1 {
			return r
		}
	}
}

func TestSlowConsumersByTheRuleOfTheirChannel(t *testing.T) {
	p := launchWithFile(t, slowRules)
	t.Run("resume", func(t *testing.T) {
		r := p.readSlowly("other")
		if len(r.gaps) != 1 || r.gaps[0].Reason != "discarded" || r.gaps[0].From == "" || len(r.after) < 5 || r.after[0] != slowMessages-len(r.after) {
			t.Errorf("after %d messages: gaps %+v, then %v", r.first, r.gaps, r.after)
		}
	})
	t.Run("latest", func(t *testing.T) {
		r := p.readSlowly("latest.a")
		if len(r.gaps) != 1 || r.gaps[0].Reason != "slow" || r.gaps[0].Skipped < 5 || len(r.after) != 1 {
			t.Errorf("after %d messages: gaps %+v, then %v, want the newest alone", r.first, r.gaps, r.after)
		}
	})
	t.Run("disconnect", func(t *testing.T) {
		r := p.readSlowly("end.a")
		if len(r.gaps) != 0 || !strings.HasPrefix(r.closed, "\x03\xf5too slow") {
			t.Errorf("after %d messages: gaps %+v, closed with %q, want 1013", r.first, r.gaps, r.closed)
		}
	})
}
