package liar

import (
	"net"
	"strconv"
	"testing"
)

// Lie decides what a subscriber gets of a message. It sends it once to deliver it, never
// to lose it, twice to repeat it, with a later message to reorder it, changed to damage
// it. It sleeps to stall. It runs under a lock of the server's.
type Lie func(to *Subscriber, sequence uint64, message string)

// Plan is a Lie of intact messages, to subscriber 0, 1, … as they connected.
type Plan func(subscriber int, sequence uint64, send func())

// Truth delivers everything.
func Truth(_ int, _ uint64, send func()) { send() }

// Start starts a server with a plan, which ends with the test.
func Start(t testing.TB, plan Plan) *Odd {
	t.Helper()
	return StartOdd(t, Oddity{Lie: func(to *Subscriber, sequence uint64, message string) {
		plan(to.Number, sequence, func() { to.Send(message) })
	}})
}

// Subscriber is one connection that receives. Its methods are for lies, and take effect in
// their order.
type Subscriber struct {
	Number int // 0, 1, … as they connected
	queue  []item
}

// item is what a subscriber is sent.
type item struct {
	text  string
	raw   bool // as it is, and not as the transport writes messages
	cut   bool // only its first half, and the connection ends
	reset bool // the end is a reset
}

// Send sends a message.
func (s *Subscriber) Send(message string) { s.queue = append(s.queue, item{text: message}) }

// Raw sends bytes as they are: to a poll, instead of a response.
func (s *Subscriber) Raw(bytes string) { s.queue = append(s.queue, item{text: bytes, raw: true}) }

// Ping pings a WebSocket.
func (s *Subscriber) Ping(payload string) { s.Raw(Frame(0x89, payload)) }

// Cut sends the first half of a message and ends the connection.
func (s *Subscriber) Cut(message string) { s.queue = append(s.queue, item{text: message, cut: true}) }

// HangUp ends the connection.
func (s *Subscriber) HangUp() { s.queue = append(s.queue, item{raw: true, cut: true}) }

// Reset ends the connection with a reset.
func (s *Subscriber) Reset() { s.queue = append(s.queue, item{raw: true, cut: true, reset: true}) }

// next takes the next item out and writes it, in the form of the transport. ok is false
// when the connection is to end.
func (s *Subscriber) next(w piecewise, form func(message string) string) (ok bool) {
	it := s.queue[0]
	s.queue = s.queue[1:]
	text := it.text
	if !it.raw {
		text = form(text)
	}
	if it.cut {
		text = text[:len(text)/2]
	}
	ok = w.write(text) && !it.cut
	if tcp, is := w.Conn.(*net.TCPConn); it.reset && is {
		_ = tcp.SetLinger(0) // on an error the end is an orderly one
		_ = tcp.Close()
	}
	return ok
}

// Where the sequence stands in a message: see loadtest.Stamp. The liar reads it
// for itself, so that a fault there cannot hide here.
const (
	sequenceAt  = 11
	sequenceEnd = 21
)

// lie decides what a subscriber gets of message number at, counted from 0.
func (s *Odd) lie(to *Subscriber, at int, message string) {
	switch {
	case s.Garbage != "" && at > 0:
		to.Raw(s.Garbage)
	case s.Lie == nil || len(message) < sequenceEnd:
		to.Send(message)
	default:
		sequence, _ := strconv.ParseUint(message[sequenceAt:sequenceEnd], 16, 64) // 0 where it is none
		s.lies.Lock()
		defer s.lies.Unlock()
		s.Lie(to, sequence, message)
	}
}

// follow sends a stream or a WebSocket its messages, from number at on, until it ends.
func (s *Odd) follow(w piecewise, at int, form func(at int, message string) string) {
	for to := s.subscriber(); ; at++ {
		message, ok := s.after(at)
		if !ok {
			return
		}
		for s.lie(to, at, message); len(to.queue) > 0; {
			if !to.next(w, func(m string) string { return form(at, m) }) {
				return
			}
		}
	}
}
