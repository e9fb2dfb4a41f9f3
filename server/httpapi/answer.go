package httpapi

import (
	"errors"
	"strconv"

	"peal/loop"
	"peal/server/log"
	"peal/server/publication"
)

const (
	jsonType = "application/json"
	noStore  = "Cache-Control: no-store\r\n"
)

// shape is what an answer must know of its request, by value: answers of
// workers outlive it.
type shape struct {
	close     bool   // the connection ends after it
	keepAlive bool   // HTTP/1.0 must be told that it does not
	headOnly  bool   // HEAD: the body is left out
	origin    string // header lines for the page that asked, see Origins
}

func (f *Front) shape() shape {
	h := &f.head
	return shape{
		close:     h.Close,
		keepAlive: !h.HTTP11 && !h.Close,
		headOnly:  string(h.Method) == "HEAD",
		origin:    f.deps.Origins.head(f.origin),
	}
}

// appendAnswer appends a whole response. extra is header lines, each with its
// CR LF. body is empty with 204 and 304, which then have no Content-Length.
func appendAnswer(dst []byte, s shape, date string, status int, contentType, extra string, body []byte) []byte {
	dst = appendAnswerHead(dst, s, date, status, contentType, extra, len(body))
	if s.headOnly {
		return dst
	}
	return append(dst, body...)
}

func appendAnswerHead(dst []byte, s shape, date string, status int, contentType, extra string, size int) []byte {
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

// appendCursorAnswer appends the response to a publish request that was accepted.
func appendCursorAnswer(dst []byte, s shape, date, extra string, c log.Cursor) []byte {
	var text [len(`{"cursor":""}`) + log.MaxCursorBytes]byte
	body := append(text[:0], `{"cursor":"`...)
	body = c.Append(body)
	body = append(body, `"}`...)
	return appendAnswer(dst, s, date, 200, jsonType, extra, body)
}

// appendError appends the response that says err.
func appendError(dst []byte, s shape, date string, err *Error, extra string) []byte {
	var text [512]byte
	body := appendErrorBody(text[:0], err)
	return appendAnswer(dst, s, date, err.Status, jsonType, extra, body)
}

// appendErrorBody appends {"error":{"code","message"}}.
func appendErrorBody(dst []byte, err *Error) []byte {
	dst = append(dst, `{"error":`...)
	dst = appendErrorObject(dst, err)
	return append(dst, '}')
}

func appendErrorObject(dst []byte, err *Error) []byte {
	dst = append(dst, `{"code":"`...)
	dst = append(dst, err.Code...)
	dst = append(dst, `","message":`...)
	dst = publication.AppendString(dst, err.Message)
	return append(dst, '}')
}

// retryLine asks clients to come back where the error is the server's hour.
func retryLine(err *Error) string {
	if err.Status == 429 || err.Status == 503 {
		return "Retry-After: " + strconv.Itoa(max(1, err.retry)) + "\r\n"
	}
	return ""
}

// reply answers the request at once.
func (f *Front) reply(c *loop.Call, status int, contentType, extra string, body []byte) {
	s := f.shape()
	c.Out = appendAnswer(c.Out, s, f.clock.date(), status, contentType, extra, body)
	c.Verdict = replyVerdict(s)
}

// refuse answers the request with an error; the connection stays.
func (f *Front) refuse(c *loop.Call, err *Error, extra string) {
	f.counts.refuse(err)
	s := f.shape()
	c.Out = appendError(c.Out, s, f.clock.date(), err, extra+retryLine(err))
	c.Verdict = replyVerdict(s)
}

func replyVerdict(s shape) loop.Verdict {
	if s.close {
		return loop.ReplyClose
	}
	return loop.Reply
}

// refuseAndClose answers a request of which the end is not known, or not to be
// waited for.
func (f *Front) refuseAndClose(c *loop.Call, err error) {
	f.head.Close = true
	f.refuse(c, asError(err), "")
	c.Used = len(c.In)
}

// later promises an answer of another goroutine.
func (f *Front) later(c *loop.Call) {
	c.Verdict, c.Close = loop.Later, f.head.Close
}

// asError finds the Error in err. All errors of this package are made as one.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	panic("httpapi: not a refusal: " + err.Error())
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
