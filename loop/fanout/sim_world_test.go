package fanout_test

import (
	"fmt"
	"strings"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// The world of the simulation: an encoder, a history with small limits, and
// sockets that take any number of bytes, stall and die.

const (
	encLine  ring.Encoding = iota // a stream that can tell a gap
	encMute                       // a stream that cannot
	encPoll                       // a poll, several messages
	encPoll1                      // a poll, one message
)

// text is how the simulation writes a message; long ones are half-sent often.
func text(m *ring.Message) string {
	pad := strings.Repeat("x", int(m.Sequence*7%41))
	return fmt.Sprintf("<M %d %s>", m.Sequence, pad)
}

type simEncoder struct{ encodes map[[2]uint64]int }

func (e *simEncoder) Encode(m *ring.Message, k ring.Encoding) []byte {
	e.encodes[[2]uint64{m.Sequence, uint64(k)}]++
	return []byte(text(m))
}
func (e *simEncoder) AppendOpen(dst []byte, k ring.Encoding, _ fanout.Opening) []byte { return dst }
func (e *simEncoder) AppendHeartbeat(dst []byte, k ring.Encoding, s uint64) []byte    { return dst }
func (e *simEncoder) AppendClose(dst []byte, k ring.Encoding, code uint16, reason string) []byte {
	return dst
}
func (e *simEncoder) AppendGap(dst []byte, k ring.Encoding, g ring.Gap) []byte {
	if k == encMute {
		return dst
	}
	if g.Slow {
		return fmt.Appendf(dst, "<G %s %d %d %d>", g.Channel, g.From, g.To, g.Skipped)
	}
	return fmt.Appendf(dst, "<G %s %d %d>", g.Channel, g.From, g.To)
}
func (e *simEncoder) AppendAnswer(dst []byte, k ring.Encoding, a fanout.Answer) []byte {
	for _, g := range a.Gaps {
		dst = e.AppendGap(dst, k, g)
	}
	for _, m := range a.Messages {
		dst = append(dst, text(m)...)
	}
	return fmt.Appendf(dst, "<A %d>", a.Sequence)
}

// simHistory keeps the newest few messages of each channel.
type simHistory struct {
	keep      map[string]int
	kept      map[string][]*ring.Message
	discarded map[string]uint64
	joined    map[string]int
	head      uint64
	all       []*ring.Message // the log; all[i] has sequence i+1
}

func (h *simHistory) append(m *ring.Message) {
	h.head = m.Sequence
	h.all = append(h.all, m)
	for _, c := range append([]string{m.Channel}, m.Also...) {
		h.kept[c] = append(h.kept[c], m)
		if over := len(h.kept[c]) - h.keep[c]; over > 0 {
			h.discarded[c] = h.kept[c][over-1].Sequence
			h.kept[c] = h.kept[c][over:]
		}
	}
}

func (h *simHistory) Read(dst []*ring.Message, c string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	n := 0
	for _, m := range h.kept[c] {
		if m.Sequence <= after || m.Sequence > upto {
			continue
		}
		if n > 0 && (n >= count || bytes <= 0) {
			return dst, h.discarded[c], true
		}
		dst = append(dst, m)
		bytes -= m.Size
		n++
	}
	return dst, h.discarded[c], false
}

func (h *simHistory) Newest(c string, n int) uint64 {
	k := h.kept[c]
	if n < 0 || n > len(k) {
		n = len(k)
	}
	if n == 0 {
		return h.head
	}
	return k[len(k)-n].Sequence - 1
}
func (h *simHistory) Latest(c string, after, upto uint64) (newest *ring.Message, passed int, discarded uint64) {
	for _, m := range h.kept[c] {
		if m.Sequence > after && m.Sequence <= upto {
			if newest != nil {
				passed++
			}
			newest = m
		}
	}
	return newest, passed, h.discarded[c]
}
func (h *simHistory) Join(c string) string { h.joined[c]++; return strings.Clone(c) }
func (h *simHistory) Leave(c string)       { h.joined[c]-- }
func (h *simHistory) Head() uint64         { return h.head }
