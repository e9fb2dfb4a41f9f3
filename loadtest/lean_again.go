package loadtest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// This file is about connections that a server may end without doing wrong: after a
// response that said so, and between two requests (RFC 9112 §9.3 to §9.6).

// hungUp handles the end of c: rest is what came and was not whole, err errEnded or
// why the read failed. It returns an error where a subscriber was lost by it.
func (k *epollKind) hungUp(c *leanConn, i int, rest []byte, err error) error {
	if until := k.waitsFor(c, len(rest) > 0); until != "" {
		err = fmt.Errorf("%w %s", err, until)
	}
	asking := c.state == leanRequest || c.state == leanSubscribe || c.state == leanStream && k.spec.Transport == Poll
	switch {
	case !asking:
		return err
	case len(rest) == 0 && c.served: // it ended instead of taking a further request: a GET can be repeated
		return k.again(c, i)
	case len(rest) == 0 || c.state == leanSubscribe:
		return err
	}
	k.last = true
	_, err = k.input(c, i, rest, Now())
	k.last = false
	return err
}

// waitsFor says in the middle of what, or before what, a connection is.
func (k *epollKind) waitsFor(c *leanConn, begun bool) string {
	switch {
	case begun || len(c.text) > 0 || c.fragmented:
		return "in the middle of a response or message"
	case c.state == leanRequest:
		return "before the response to a preliminary request"
	case c.state == leanSubscribe:
		return "before the response to the handshake"
	case c.state == leanConfirm:
		return "before the server confirmed the subscription" + k.awaited(c)
	}
	return ""
}

// again connects c once more: with its next request, or with the one that was not
// answered. A subscriber stays one.
func (k *epollKind) again(c *leanConn, i int) error {
	k.sink.renewed++
	unix.Close(c.fd)
	*c = leanConn{sub: c.sub, stalled: c.stalled, began: c.began, cursor: c.cursor, step: c.step, tried: c.tried, dials: c.dials, known: c.known, state: c.state,
		continuing: c.continuing || c.state == leanStream}
	return k.connect(i)
}

// outOfTime reports whether a says that no request came in time on a connection that
// was kept, and met one on its way: it is to be repeated (RFC 9110 §15.5.9).
func (c *leanConn) outOfTime(a answer) bool { return a.status == 408 && a.close && c.served }
