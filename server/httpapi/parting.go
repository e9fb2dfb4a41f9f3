package httpapi

import (
	"errors"
	"sync/atomic"

	"peal/loop"
	"peal/server/log"
	"peal/server/permit"
	"peal/server/refusal"
)

// parting is an order that ends connections and is under way. Loops and the log
// finish their parts of it on their goroutines; the later one responds.
type parting struct {
	respond func()
	waits   atomic.Int32 // parts that are not finished

	// Each is set by one part, before it is finished.
	ended   int
	failure error // of the log
}

// newParting returns a parting whose response has the body that body returns when all
// is finished. Its parts are stored, for the log, and end.
func (x *exchange) newParting(body func(*parting) []byte) *parting {
	p := &parting{}
	p.waits.Store(2)
	reply, door, ref := x.pendingReply(), x.deps.Door, x.call.Conn
	counts := x.deps.Workers.Tally()
	p.respond = func() {
		if errors.Is(p.failure, log.ErrUnavailable) {
			counts.Refuse(errOrderUnavailable)
			door.Answer(ref, reply.AppendError(nil, errOrderUnavailable))
			return
		}
		door.Answer(ref, reply.AppendBody(nil, body(p)))
	}
	return p
}

// NewEnding returns the end of connections for a reason, which polls receive as the
// response to a request.
func NewEnding(why *refusal.Error, reason string) *loop.Ending {
	return &loop.Ending{Code: why.CloseCode(), Reason: why.Code + ": " + reason, Cause: why}
}

// How orders end connections.
var (
	Disconnected = NewEnding(permit.ErrDisconnected, "the backend has ended the connections of this client")
	Revoked      = NewEnding(permit.ErrRevoked, "the backend has revoked the token of this connection")
)

// end ends the connections that pick chooses, on all loops.
func (p *parting) end(x *exchange, ending *loop.Ending, pick func(front *Front, session uint64) bool) {
	if x.deps.Dismisser == nil {
		p.dismissed(0)
	} else if !x.deps.Dismisser.Dismiss(x.by, func(front *Front, session uint64) *loop.Ending {
		if pick(front, session) {
			return ending
		}
		return nil
	}, p.dismissed) {
		x.refuse(errDismissBusy)
		return
	}
	x.later()
}

func (p *parting) dismissed(ended int) {
	p.ended = ended
	p.finish()
}

func (p *parting) stored(err error) {
	p.failure = err
	p.finish()
}

func (p *parting) finish() {
	if p.waits.Add(-1) == 0 {
		p.respond()
	}
}

// appendDurable ends the body of a response, an object: with a member that says so if
// a restart undoes the order.
func (p *parting) appendDurable(body []byte) []byte {
	if p.failure != nil {
		body = append(body, `,"not_durable":true`...)
	}
	return append(body, '}')
}

// errOrderUnavailable is the response to an order that the other nodes of the log do not
// know, or may not know.
var errOrderUnavailable = &refusal.Error{Status: 503, Code: "log_unavailable", Message: "the log did not take the order, or has not responded: the order holds on this node, and the other nodes may not know of it; repeat it in a second"}

var errDismissBusy = &refusal.Error{Status: 503, Code: "busy", Message: "too many requests to disconnect or revoke are in progress (64 in all, 32 per address): try again in a second"}
