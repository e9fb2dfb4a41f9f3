package httpapi

import (
	"fmt"
	"time"

	"peal/loop"
	"peal/loop/admit"
	"peal/loop/frame"
	"peal/server/refusal"
	"peal/server/subscribe"
)

// refusedFor is what a connection is refused for before its requests are looked at.
var refusedFor = [...]refusal.Error{
	admit.Full:        {Status: 503, Code: "too_many_connections", Message: "the server has reached max-connections", Close: frame.CloseTryAgainLater},
	admit.Address:     {Status: 429, Code: "too_many_connections", Message: "your address has too many connections (max-connections-per-address)", Close: frame.CloseRateLimited},
	admit.AddressRate: {Status: 429, Code: "too_many_connections", Message: "your address opens connections too often (accept-rate-per-address)", Close: frame.CloseRateLimited},
	admit.Memory:      {Status: 503, Code: "memory_full", Message: "the server has no memory for more connections (memory-limit)", Close: frame.CloseTryAgainLater},
}

// refuseConnection refuses the first request of a connection that is here for that only.
// The head has come; what else the request has is not waited for.
func (f *Front) refuseConnection(x *exchange) {
	r := x.call.Refusal
	err := refusedFor[r.Reason]
	err.Retry = max(1, int((r.Retry+time.Second-1)/time.Second))
	x.head.Close = true
	x.route = f.routes.find(x.head.Path, &x.segments)
	if x.route == nil || x.route.refuse == nil || x.take(x.call.In[x.head.Start:x.progress.Head]) != nil || !x.route.refuse(x, &err) {
		x.refuseLater(&err)
	}
	x.call.Used = len(x.call.In)
}

// refuseLater refuses with a message that names the time of Retry-After.
func (x *exchange) refuseLater(err *refusal.Error) {
	err.Message = fmt.Sprintf("%s: connect again in %d s", err.Message, err.Retry)
	x.refuse(err)
}

// refuseStream refuses with an event stream that ends at once: an EventSource
// connects again after the time that it names, and after any status but 200 never.
func (s *subscribing) refuseStream(x *exchange, err *refusal.Error) bool {
	if string(x.head.Method) != "GET" {
		return false
	}
	s.counts.Refuse(err)
	w := s.wishOf(loop.EventStream, "")
	x.call.Out = x.appendSSEHead(x.call.Out, s.deps.Sessions.Of(x.call.Session), "")
	x.call.Out = w.Dialects.At(w.Dialect).AppendClose(x.call.Out, err.CloseCode(), err.Code+": "+err.Message, x.call.Refusal.Retry)
	x.call.Verdict = loop.ReplyClose
	return true
}

// refusePoll refuses with the status that poll clients come back after.
func (s *subscribing) refusePoll(x *exchange, err *refusal.Error) bool {
	err.Status = 429
	x.refuseLater(err)
	return true
}

// refuseSocket refuses with a close frame behind the handshake: browsers hide HTTP
// refusals from scripts.
func (s *subscribing) refuseSocket(x *exchange, err *refusal.Error) bool {
	up := x.upgrade()
	if up.Check() != nil {
		return false
	}
	protocol := frame.ChooseProtocol(up.Protocols, s.deps.Dialects.Protocols())
	w := s.wishOf(loop.WebSocket, protocol)
	s.counts.Refuse(err)
	s.counts.Close(err.CloseCode())
	x.call.Out = frame.AppendSwitching(x.call.Out, up.Key, protocol, nil)
	x.call.Out = w.Dialects.At(w.Dialect).AppendClose(x.call.Out, err.CloseCode(), err.Code+": "+err.Message, x.call.Refusal.Retry)
	x.call.Verdict = loop.ReplyClose
	return true
}

// wishOf is a wish of which no more is known than its dialect.
func (s *subscribing) wishOf(f loop.Framing, protocol string) (w subscribe.Wish) {
	w.Dialects = s.deps.Dialects
	w.Dialect, _ = w.Dialects.Choose(f, protocol, "")
	return w
}
