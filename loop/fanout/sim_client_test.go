package fanout_test

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// simClient is one connection and what its far end makes of the bytes.
type simClient struct {
	name     string
	slot     uint32
	socket   *simSocket
	session  uint64
	id       [16]byte // by which it is left out: its own, or one that it has adopted
	channels map[string]bool
	encoding ring.Encoding
	position uint64            // by what was decoded
	lost     map[string]uint64 // told as gaps, by channel
	quiet    map[string]uint64 // what was gone before an "earliest" or "last" began
	had      map[string]uint64 // it has all of the channel up to here, though position is behind
	skip     map[string]uint64 // it asked for nothing of the channel up to here
	carried  []string          // channels whose notices before socket.old still count
	private  int               // next private item expected
	wrote    int               // private items written
	parked   bool              // poll: subscribed
	decoded  int               // bytes of socket.arrived that were decoded
	gone     bool
	expired  bool                // poll: its time was up
	closing  bool                // it is sent what is on its way, and nothing else
	idle     bool                // what was private had not gone at once: Idle is due
	answers  int                 // bytes that were written as answers and may be in its lane
	changes  []func(base uint64) // made while bytes were on their way
	base     uint64              // before the first of them
	reached  uint64              // by what was on its way, of the channels in carrying
	carrying map[string]bool
	abreast  bool // it was never behind, and never full unless socket.slow says so
	gaps     int
}

func (c *simClient) conn() fanout.Conn {
	return fanout.Conn{Slot: c.slot, Generation: uint32(c.session)}
}

func (c *simClient) wants(m *ring.Message) bool {
	if m.Exclude != nil && m.Exclude.ID == c.id {
		return false
	}
	had, asked := false, false
	for _, ch := range c.carriers(m) {
		had = had || c.had[ch] >= m.Sequence
		asked = asked || c.skip[ch] < m.Sequence
	}
	return asked && !had
}

// missing returns the first message in (from, to) that c should have had and
// was not told to be gone.
func (s *sim) missing(c *simClient, from, to uint64) *ring.Message {
	for q := from + 1; q < to; q++ {
		m := s.hist.all[q-1]
		if !c.wants(m) {
			continue
		}
		excused := true
		for _, ch := range c.carriers(m) {
			if !s.told(c, ch, m) && q > max(c.quiet[ch], c.skip[ch]) {
				excused = false
			}
		}
		if !excused {
			return m
		}
	}
	return nil
}

// decode reads what arrived, item by item.
func (s *sim) decode(c *simClient) {
	for {
		b := c.socket.arrived[c.decoded:]
		if len(b) == 0 {
			return
		}
		end := bytes.IndexByte(b, '>')
		if b[0] != '<' || bytes.LastIndexByte(b[:max(end, 0)], '<') > 0 {
			s.fail("%s: something begins inside something else: %.80q", c.name, b)
			return
		}
		if end < 0 {
			return
		}
		old := c.decoded < c.socket.old
		c.decoded += end + 1
		w := strings.Fields(string(b[1:end]))
		if old && w[0] == "G" && slices.Contains(c.carried, w[1]) {
			to, _ := strconv.ParseUint(w[3], 10, 64)
			c.lost[w[1]] = max(c.lost[w[1]], to)
		}
		if old && w[0] != "P" {
			continue
		}
		switch w[0] {
		case "P":
			if n, _ := strconv.Atoi(w[1]); n != c.private {
				s.fail("%s: private item %d, want %d", c.name, n, c.private)
			}
			c.private++
		case "M":
			q, _ := strconv.ParseUint(w[1], 10, 64)
			m := s.hist.all[q-1]
			if string(b[:end+1]) != text(m) {
				s.fail("%s: message %d is garbled: %q", c.name, q, b[:end+1])
			}
			if q <= c.position {
				s.fail("%s: message %d after %d", c.name, q, c.position)
			}
			if !c.wants(m) {
				s.fail("%s: message %d is not for it", c.name, q)
			}
			if x := s.missing(c, c.position, q); x != nil {
				s.fail("%s: message %d came, but %d on %s did not", c.name, q, x.Sequence, x.Channel)
			}
			c.position = q
			s.messages++
		case "G":
			from, _ := strconv.ParseUint(w[2], 10, 64)
			to, _ := strconv.ParseUint(w[3], 10, 64)
			slow := len(w) == 5
			if slow {
				s.checkSkip(c, w)
			}
			if !slow && (to > s.gone(w[1]) || !s.lacks(c, w[1], max(c.position, c.had[w[1]], c.skip[w[1]]), to)) || to <= max(c.position, c.had[w[1]], c.skip[w[1]]) && c.encoding < encPoll {
				s.fail("%s: gap on %s %d..%d is not real (discarded %d, at %d)", c.name, w[1], from, to, s.gone(w[1]), c.position)
			}
			if c.abreast && !c.socket.slow && !c.socket.dead {
				s.fail("%s: gap on %s %d..%d, though it was never behind (at %d)", c.name, w[1], from, to, c.position)
			}
			if to > max(s.fan.Applied(), s.applied) {
				s.fail("%s: gap on %s up to %d, but the ring may still bring what follows %d", c.name, w[1], to, s.fan.Applied())
			}
			if to <= c.lost[w[1]] && c.encoding < encPoll {
				s.fail("%s: gap on %s up to %d told twice", c.name, w[1], to)
			}
			c.lost[w[1]] = max(c.lost[w[1]], to)
			c.gaps++
			s.gaps++
		case "A":
			q, _ := strconv.ParseUint(w[1], 10, 64)
			if q < c.position {
				s.fail("%s: answer's cursor %d goes back from %d", c.name, q, c.position)
			}
			if x := s.missing(c, c.position, q+1); x != nil {
				s.fail("%s: the answer covers %d, but %d did not come", c.name, q, x.Sequence)
			}
			c.position = q
		}
	}
}
