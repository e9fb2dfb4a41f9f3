package response

import "strconv"

// Head is the head of one response. Its strings of lines have a CR LF at the end of
// each.
type Head struct {
	Status    int
	Date      string // of a Clock, "" for none
	Type      string // Content-Type, "" for none
	Size      int    // Content-Length, or Endless
	Origin    string // lines for the page that asked, "" if it is of no other origin
	Lines     string // further lines
	Close     bool   // the connection ends after it
	KeepAlive bool   // an HTTP/1.0 client needs a line to keep the connection
}

// Endless is the Size of a response that ends with its connection (RFC 9112 §6.3,
// item 8).
const Endless = -1

// NoStore is the line that keeps a response out of caches.
const NoStore = "Cache-Control: no-store\r\n"

// JSON is the type of JSON.
const JSON = "application/json"

// vary keeps caches from giving the response for one origin to another. It is needed
// in responses to requests without an origin, too.
const vary = "Vary: Origin\r\n"

// Room is an upper bound of the length of a head without Origin and Lines.
const Room = 256

// Append appends the whole head.
func (h *Head) Append(dst []byte) []byte { return End(h.AppendLines(dst)) }

// AppendLines appends the head without the empty line at its end: further lines may
// follow, and End must.
func (h *Head) AppendLines(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, statusText(h.Status)...)
	dst = append(dst, "\r\n"...)
	if h.Date != "" {
		dst = append(dst, "Date: "...)
		dst = append(dst, h.Date...)
		dst = append(dst, "\r\n"...)
	}
	if h.Type != "" {
		dst = append(dst, "Content-Type: "...)
		dst = append(dst, h.Type...)
		dst = append(dst, "\r\n"...)
	}
	if h.Size >= 0 && h.Status != 204 && h.Status != 304 { // RFC 9110 §8.6
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(h.Size), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, vary...)
	dst = append(dst, h.Origin...)
	if h.Close {
		dst = append(dst, "Connection: close\r\n"...)
	} else if h.KeepAlive {
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, h.Lines...)
}

// End appends the empty line that ends a head.
func End(dst []byte) []byte { return append(dst, "\r\n"...) }

// statusText is a status with its reason phrase.
func statusText(status int) string {
	switch status {
	case 200:
		return "200 OK"
	case 204:
		return "204 No Content"
	case 304:
		return "304 Not Modified"
	case 400:
		return "400 Bad Request"
	case 401:
		return "401 Unauthorized"
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
	panic("response: no phrase for status " + strconv.Itoa(status))
}
