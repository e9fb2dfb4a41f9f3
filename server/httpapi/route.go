package httpapi

import (
	"bytes"

	"peal/loop"
)

const batchPath = "/publish/batch"

// route finds the handler of a request. Paths are compared as they were sent:
// only the channel in a path is percent-decoded, for it may contain slashes.
func (f *Front) route(c *loop.Call, body []byte) {
	path := f.head.Path
	switch string(path) {
	case "/":
		if !f.allowed(c, "GET, HEAD, OPTIONS") {
			return
		}
		if f.head.Upgrade {
			f.serveWebSocket(c)
		} else {
			f.servePage(c)
		}
	case "/ws":
		if f.allowed(c, "GET, OPTIONS") {
			f.serveWebSocket(c)
		}
	case "/sse":
		if f.allowed(c, "GET, HEAD, OPTIONS") {
			f.serveSSE(c)
		}
	case "/poll":
		if f.allowed(c, "GET, HEAD, OPTIONS") {
			f.servePoll(c)
		}
	case "/publish":
		if f.allowed(c, "POST, OPTIONS") {
			f.servePublish(c, body)
		}
	case batchPath:
		if f.allowed(c, "POST, OPTIONS") {
			f.serveBatch(c, body)
		}
	case "/disconnect":
		if f.allowed(c, "POST, OPTIONS") {
			f.serveDisconnect(c, body)
		}
	case clientPath, presencePath, sharePath:
		if f.allowed(c, "GET, HEAD, OPTIONS") {
			f.serveScript(c, string(path))
		}
	case "/channels":
		if f.allowed(c, "GET, HEAD, OPTIONS") {
			f.serveChannels(c)
		}
	case "*":
		f.preflight(c, "GET, HEAD, POST, OPTIONS")
	default:
		f.routeChannel(c, path)
	}
}

// routeChannel serves /channels/{c}, /channels/{c}/history and /channels/{c}/presence.
func (f *Front) routeChannel(c *loop.Call, path []byte) {
	segment, ok := bytes.CutPrefix(path, []byte("/channels/"))
	if !ok || len(segment) == 0 {
		f.refuse(c, errNotFound, "")
		return
	}
	segment, history := bytes.CutSuffix(segment, []byte("/history"))
	presence := false
	if !history {
		segment, presence = bytes.CutSuffix(segment, []byte("/presence"))
	}
	if bytes.IndexByte(segment, '/') >= 0 || len(segment) == 0 {
		f.refuse(c, errNotFound, "")
		return
	}
	if !f.allowed(c, "GET, HEAD, OPTIONS") {
		return
	}
	var decoded [maxName + 1]byte
	n, err := f.names.get(unescape(decoded[:0], segment))
	switch {
	case err != nil:
		f.refuse(c, asError(err), "")
	case history:
		f.serveHistory(c, n.text())
	case presence:
		f.servePresence(c, n)
	default:
		f.serveChannel(c, n.text())
	}
}

// unescape appends the percent-decoded b, at most one byte more than a name
// may have. A percent sign that begins no escape stands for itself.
func unescape(dst, b []byte) []byte {
	for i := 0; i < len(b) && len(dst) <= maxName; i++ {
		if b[i] == '%' && i+2 < len(b) && hexValue(b[i+1]) >= 0 && hexValue(b[i+2]) >= 0 {
			dst = append(dst, byte(hexValue(b[i+1])<<4|hexValue(b[i+2])))
			i += 2
			continue
		}
		dst = append(dst, b[i])
	}
	return dst
}

// allowed reports whether the method of the request is in allow. If not, it
// has answered: OPTIONS with the preflight, others with 405.
func (f *Front) allowed(c *loop.Call, allow string) bool {
	method := f.head.Method
	if string(method) == "OPTIONS" {
		f.preflight(c, allow)
		return false
	}
	for rest := allow; rest != ""; {
		var one string
		one, rest = cutMethod(rest)
		if string(method) == one {
			return true
		}
	}
	f.refuse(c, errMethodNotAllowed, "Allow: "+allow+"\r\n")
	return false
}

func cutMethod(list string) (method, rest string) {
	for i := range len(list) {
		if list[i] == ',' {
			return list[:i], list[i+2:]
		}
	}
	return list, ""
}

// allowedHeaders are what pages may send where the preflight does not ask for
// others: nobody looks at those that are not known here, so all are allowed. Pages
// whose HTTP library adds one to each request (X-Requested-With, traceparent) have
// no say in it.
const allowedHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"

// maxRequestHeaders bounds what a preflight may ask for, in bytes.
const maxRequestHeaders = 2 << 10

// preflight answers OPTIONS (WHATWG Fetch, CORS protocol). A star would not do for
// Authorization, nor for who sends cookies.
func (f *Front) preflight(c *loop.Call, allow string) {
	extra := "Allow: " + allow + "\r\nVary: Access-Control-Request-Headers\r\n"
	if f.origin != noOrigin {
		headers := allowedHeaders
		if asked := f.joined("Access-Control-Request-Headers"); len(asked) > 0 && isTokenList(asked) {
			headers = string(asked)
		}
		extra += "Access-Control-Allow-Methods: " + allow + "\r\n" +
			"Access-Control-Allow-Headers: " + headers + "\r\n" +
			"Access-Control-Max-Age: 86400\r\n"
	}
	f.reply(c, 204, "", extra, nil)
}

// isTokenList reports whether b is a list of header names that may be repeated in
// a response.
func isTokenList(b []byte) bool {
	if len(b) > maxRequestHeaders {
		return false
	}
	for _, c := range b {
		if !tokenByte[c] && c != ',' && c != ' ' {
			return false
		}
	}
	return true
}
