package httpapi

import (
	"strconv"

	"peal/loop"
	"peal/server/refusal"
	"peal/server/response"
)

// shape is what a response must know of its request, by value: responses of
// workers outlive it.
type shape struct {
	close     bool   // the connection ends after it
	keepAlive bool   // an HTTP/1.0 client needs a line that it does not
	headOnly  bool   // HEAD: the body is left out
	origin    string // header lines for the page that asked, see Origins
}

func (x *exchange) shape() shape {
	h := &x.head
	return shape{
		close:     h.Close,
		keepAlive: !h.HTTP11 && !h.Close,
		headOnly:  string(h.Method) == "HEAD",
		origin:    x.cors,
	}
}

// append appends a whole response. lines are header lines, each with its CR LF. body
// is empty with 204 and 304.
func (s shape) append(dst []byte, date string, status int, contentType, lines string, body []byte) []byte {
	h := response.Head{
		Status: status, Date: date, Type: contentType, Size: len(body),
		Origin: s.origin, Lines: lines, Close: s.close, KeepAlive: s.keepAlive,
	}
	dst = h.Append(dst)
	if s.headOnly {
		return dst
	}
	return append(dst, body...)
}

// appendError appends the response that says err, with more header lines.
func (s shape) appendError(dst []byte, date string, err *refusal.Error, lines string) []byte {
	var text [512]byte
	body := err.AppendJSON(text[:0])
	return s.append(dst, date, err.Status, response.JSON, lines+errorLines(err), body)
}

// errorLines asks clients to come back where the error is the server's hour, and says
// how they can prove who they are where they have not (RFC 9110 §11.6.1).
func errorLines(err *refusal.Error) string {
	if err.Status == 401 {
		return "WWW-Authenticate: Bearer\r\n"
	}
	seconds, ok := err.Again()
	if !ok {
		return ""
	}
	return "Retry-After: " + strconv.Itoa(seconds) + "\r\n"
}

// reply responds to the request at once. lines are header lines, each with its CR LF.
func (x *exchange) reply(status int, contentType, lines string, body []byte) {
	s := x.shape()
	x.call.Out = s.append(x.call.Out, x.clock.Date(), status, contentType, lines, body)
	x.call.Verdict = s.verdict()
}

// refuse responds to the request with an error; the connection stays.
func (x *exchange) refuse(err *refusal.Error) { x.refuseWith(err, "") }

// refuseWith is refuse with more header lines.
func (x *exchange) refuseWith(err *refusal.Error, lines string) {
	x.counts.Refuse(err)
	s := x.shape()
	x.call.Out = s.appendError(x.call.Out, x.clock.Date(), err, lines)
	x.call.Verdict = s.verdict()
}

// refuseAndClose responds to a request of which the end is not known, or not to be
// waited for.
func (x *exchange) refuseAndClose(err *refusal.Error) {
	x.head.Close = true
	x.refuse(err)
	x.call.Used = len(x.call.In)
}

// later promises a response of another goroutine.
func (x *exchange) later() {
	x.call.Verdict, x.call.Close = loop.Later, x.head.Close
}

// verdict is what becomes of the connection after a response that is there.
func (s shape) verdict() loop.Verdict {
	if s.close {
		return loop.ReplyClose
	}
	return loop.Reply
}

// pendingReply writes the response to a request that has ended, on any goroutine.
// It implements look.Reply.
type pendingReply struct {
	shape shape
	clock *response.Clock
}

func (x *exchange) pendingReply() pendingReply { return pendingReply{x.shape(), &x.clock} }

func (r *pendingReply) AppendBody(dst, body []byte) []byte {
	return r.shape.append(dst, r.clock.Date(), 200, response.JSON, response.NoStore, body)
}

func (r *pendingReply) AppendError(dst []byte, err *refusal.Error) []byte {
	return r.shape.appendError(dst, r.clock.Date(), err, "")
}
