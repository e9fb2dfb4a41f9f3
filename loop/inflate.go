package loop

import (
	"errors"
	"unicode/utf8"

	"peal/loop/deflate"
	"peal/loop/frame"
)

// Inflating a message costs a start, and then by the byte of both sides: a small message
// can become MessageBytes, and 3.5 KB can be nothing but tables of codes, each of which takes
// 3 µs and 11 bytes (BenchmarkInflate). A larger one has fewer of them (deflate.ErrTables).
const (
	workInflate  = 4
	workPacked   = 8   // compressed bytes to a unit
	workInflated = 256 // bytes of the message to a unit
)

// inflate returns the payload of a compressed message, which is the loop's until the
// next. The loop has one inflater, so a connection that sends none costs nothing.
func (l *Loop) inflate(ev frame.Event) ([]byte, error) {
	b, err := l.inflater.Inflate(ev.Payload, l.config.MessageBytes)
	l.spend(workInflate + len(ev.Payload)/workPacked + len(b)/workInflated)
	switch {
	case errors.Is(err, deflate.ErrTooLong):
		l.spend(l.config.MessageBytes / workInflated)
		return nil, frame.ErrTooBig
	case errors.Is(err, deflate.ErrTables):
		return nil, frame.ErrBlocks
	case err != nil:
		return nil, frame.ErrDeflate
	case ev.Kind == frame.Text && !utf8.Valid(b):
		return nil, frame.ErrUTF8
	}
	return b, nil
}
