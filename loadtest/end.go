package loadtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Side is the one that ended a connection, or kept it from opening.
type Side string

const (
	SideServer  Side = "server"  // it refused, closed or reset
	SideUs      Side = "us"      // the load test: a time-out, or what it could not read
	SideNetwork Side = "network" // neither: nothing accepted, or no way there
)

// End is how many connections ended or did not open, or messages were refused, for one
// reason.
type End struct {
	Side   Side   `json:"side"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// maxReasons bounds the distinct reasons; a further one is "others" of its side.
const maxReasons = 16

// AddEnd adds e to those that it is the same as.
func AddEnd(ends []End, e End) []End {
	same := func(o End) bool { return o.Side == e.Side && o.Reason == e.Reason }
	i := slices.IndexFunc(ends, same)
	if i < 0 && len(ends) >= maxReasons {
		e.Reason = "others"
		i = slices.IndexFunc(ends, same)
	}
	if i < 0 {
		return append(slices.Clip(ends), e) // a copy: samples keep the old one
	}
	ends = slices.Clone(ends)
	ends[i].Count += e.Count
	return ends
}

// sided is an error whose side is known.
type sided struct {
	error
	side Side
}

func (e *sided) Unwrap() error { return e.error }

// byServer is the reason of what the server did on purpose.
func byServer(format string, args ...any) error {
	return &sided{fmt.Errorf(format, args...), SideServer}
}

// errEnded means that the server ended the connection.
var errEnded = byServer("connection closed (FIN)")

// endOf describes the error with which a connection ended.
func endOf(err error) End {
	reason, _ := strings.CutPrefix(err.Error(), ErrUnreadable.Error()+": ")
	e := End{SideUs, reason, 1}
	var (
		known *sided
		errno syscall.Errno
		op    *net.OpError
	)
	switch {
	case errors.Is(err, ErrUnreadable):
	case errors.As(err, &known):
		e.Side = known.side
	case errors.Is(err, errCut), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Side = SideServer
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		e.Side = SideServer
	case errors.As(err, &errno):
		switch errno {
		case syscall.ECONNRESET, syscall.EPIPE:
			e.Side = SideServer
		case syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.ETIMEDOUT:
			e.Side = SideNetwork
		}
	}
	return e
}

// closeFrame is the reason that a close frame gives (RFC 6455 §5.5.1, §7.4). fault is what
// is wrong with it, "" for nothing.
func closeFrame(payload []byte) (fault string, reason error) {
	if len(payload) == 0 {
		return "", byServer("close frame without a code")
	}
	if len(payload) == 1 {
		return "a close frame of one byte (RFC 6455 §5.5.1)", byServer("close frame of one byte")
	}
	code, text := binary.BigEndian.Uint16(payload), payload[2:]
	switch {
	case code < 1000 || code >= 5000 || code == 1004 || code == 1005 || code == 1006 || code >= 1015 && code < 3000:
		fault = fmt.Sprintf("a close frame with code %d, which must not be sent (RFC 6455 §7.4)", code)
	case !utf8.Valid(text):
		fault = fmt.Sprintf("a close frame whose reason is not UTF-8: %q (RFC 6455 §5.5.1)", text)
	}
	if len(text) == 0 {
		return fault, byServer("close frame %d", code)
	}
	return fault, byServer("close frame %d %q", code, text)
}
