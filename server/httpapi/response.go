package httpapi

import (
	"strconv"

	"peal/loop"
	"peal/server/refusal"
)

const (
	jsonType = "application/json"
	noStore  = "Cache-Control: no-store\r\n"
)

// shape is what a response must know of its request, by value: responses of
// workers outlive it.
type shape struct {
	close     bool   // the connection ends after it
	keepAlive bool   // HTTP/1.0 must be told that it does not
	headOnly  bool   // HEAD: the body is left out
	origin    string // header lines for the page that asked, see Origins
}

func (x *exchange) shape() shape {
	h := &x.head
	return shape{
		close:     h.Close,
		keepAlive: !h.HTTP11 && !h.Close,
		headOnly:  string(h.Method) == "HEAD",
		origin:    x.deps.Origins.head(x.origin),
	}
}

// appendResponse appends a whole response. extra is header lines, each with its
// CR LF. body is empty with 204 and 304, which then have no Content-Length.
func appendResponse(dst []byte, s shape, date string, status int, contentType, extra string, body []byte) []byte {
	dst = appendResponseHead(dst, s, date, status, contentType, extra, len(body))
	if s.headOnly {
		return dst
	}
	return append(dst, body...)
}

func appendResponseHead(dst []byte, s shape, date string, status int, contentType, extra string, size int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, statusLine(status)...)
	dst = append(dst, "\r\nDate: "...)
	dst = append(dst, date...)
	if status != 204 && status != 304 {
		dst = append(dst, "\r\nContent-Type: "...)
		dst = append(dst, contentType...)
		dst = append(dst, "\r\nContent-Length: "...)
		dst = strconv.AppendInt(dst, int64(size), 10)
	}
	dst = append(dst, "\r\n"+varyHead...)
	dst = append(dst, s.origin...)
	if s.close {
		dst = append(dst, "Connection: close\r\n"...)
	} else if s.keepAlive {
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	dst = append(dst, extra...)
	return append(dst, "\r\n"...)
}

// appendError appends the response that says err, beside header lines extra.
func appendError(dst []byte, s shape, date string, err *refusal.Error, extra string) []byte {
	var text [512]byte
	body := err.AppendJSON(text[:0])
	return appendResponse(dst, s, date, err.Status, jsonType, extra+retryLine(err), body)
}

// retryLine asks clients to come back where the error is the server's hour.
func retryLine(err *refusal.Error) string {
	seconds, ok := err.Again()
	if !ok {
		return ""
	}
	return "Retry-After: " + strconv.Itoa(seconds) + "\r\n"
}

// reply responds to the request at once. extra is header lines, each with its CR LF.
func (x *exchange) reply(status int, contentType, extra string, body []byte) {
	s := x.shape()
	x.call.Out = appendResponse(x.call.Out, s, x.clock.date(), status, contentType, extra, body)
	x.call.Verdict = s.verdict()
}

// refuse responds to the request with an error; the connection stays.
func (x *exchange) refuse(err *refusal.Error) { x.refuseWith(err, "") }

// refuseWith is refuse with more header lines.
func (x *exchange) refuseWith(err *refusal.Error, extra string) {
	x.counts.Refuse(err)
	s := x.shape()
	x.call.Out = appendError(x.call.Out, s, x.clock.date(), err, extra)
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
	clock *clock
}

func (x *exchange) pendingReply() pendingReply { return pendingReply{x.shape(), &x.clock} }

func (r *pendingReply) AppendBody(dst, body []byte) []byte {
	return appendResponse(dst, r.shape, r.clock.date(), 200, jsonType, noStore, body)
}

func (r *pendingReply) AppendError(dst []byte, err *refusal.Error) []byte {
	return appendError(dst, r.shape, r.clock.date(), err, "")
}

// statusLine returns the status with its reason phrase.
func statusLine(status int) string {
	switch status {
	case 200:
		return "200 OK"
	case 204:
		return "204 No Content"
	case 304:
		return "304 Not Modified"
	case 400:
		return "400 Bad Request"
	case 403:
		return "403 Forbidden"
	case 404:
		return "404 Not Found"
	case 405:
		return "405 Method Not Allowed"
	case 408:
		return "408 Request Timeout"
	case 410:
		return "410 Gone"
	case 413:
		return "413 Content Too Large"
	case 414:
		return "414 URI Too Long"
	case 417:
		return "417 Expectation Failed"
	case 422:
		return "422 Unprocessable Content"
	case 426:
		return "426 Upgrade Required"
	case 429:
		return "429 Too Many Requests"
	case 431:
		return "431 Request Header Fields Too Large"
	case 500:
		return "500 Internal Server Error"
	case 503:
		return "503 Service Unavailable"
	case 505:
		return "505 HTTP Version Not Supported"
	}
	panic("httpapi: no phrase for status " + strconv.Itoa(status))
}
