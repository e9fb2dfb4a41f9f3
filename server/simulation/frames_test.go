package simulation_test

import (
	"encoding/binary"
	"fmt"
)

// What a client says on a WebSocket (RFC 6455 §5.2), by code that the server does
// not share.

// saying is one message that was sent and that the front has not been given.
type saying struct {
	payload []byte
	binary  bool
	pending *pending // of peal.v1
}

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
	finalFrame     = 0x80
)

// appendFrame appends a masked frame.
func appendFrame(dst []byte, first byte, payload []byte, key uint32) []byte {
	dst = append(dst, first)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	mask := binary.BigEndian.AppendUint32(nil, key)
	dst = append(dst, mask...)
	for i, b := range payload {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// say sends a message, in one frame or in several with pings between them.
func (w *world) say(c *conn, s saying) {
	c.said = append(c.said, s)
	op := byte(opText)
	if s.binary {
		op = opBinary
	}
	var wire []byte
	rest := s.payload
	if c.isDeflated() && w.own.IntN(2) == 0 {
		rest, op = deflated(rest), op|0x40
	}
	for w.rnd.IntN(4) == 0 && len(rest) > 0 {
		n := w.rnd.IntN(len(rest) + 1)
		wire = appendFrame(wire, op, rest[:n], w.rnd.Uint32())
		rest, op = rest[n:], opContinuation
		if w.rnd.IntN(3) == 0 {
			wire = w.appendPing(wire, c)
		}
	}
	c.write(appendFrame(wire, finalFrame|op, rest, w.rnd.Uint32()))
}

func (w *world) appendPing(dst []byte, c *conn) []byte {
	w.number++
	c.pings = append(c.pings, fmt.Sprint("ping ", w.number))
	return appendFrame(dst, finalFrame|opPing, []byte(c.pings[len(c.pings)-1]), w.rnd.Uint32())
}

// pong answers a ping of the server.
func (w *world) pong(c *conn, payload string) {
	if !c.halfClosed && c.saidClose == 0 {
		c.write(appendFrame(nil, finalFrame|opPong, []byte(payload), w.rnd.Uint32()))
	}
}

// sayClose sends a close frame.
func (w *world) sayClose(c *conn, code uint16) {
	if !c.halfClosed && c.saidClose == 0 {
		c.write(appendFrame(nil, finalFrame|opClose, binary.BigEndian.AppendUint16(nil, code), w.rnd.Uint32()))
	}
}
