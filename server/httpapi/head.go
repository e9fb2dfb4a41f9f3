package httpapi

import (
	"bytes"

	"peal/server/ascii"
	"peal/server/refusal"
)

// Limits of a request head, beside Limits.HeadLimit.
const (
	maxFields = 100 // header lines
	maxMethod = 20  // bytes; the longest registered method has 17
	maxEmpty  = 4   // empty lines before a request line
)

// Head is what framing, admission and routing need to know of a request head.
// Its slices alias the bytes that were checked and die with them.
type Head struct {
	Start         int // where the request line begins, behind empty lines
	Method        []byte
	Target        []byte
	Path          []byte // of Target, still percent-encoded, begins with a slash; or "*"
	Query         []byte // of Target, without the question mark
	Host          []byte // whom the request is for: of an absolute target, else the Host header; nil if there is neither (HTTP/1.0)
	Origin        []byte // nil if there is none
	Site          []byte // Sec-Fetch-Site; nil if there is none
	ContentLength int    // -1 if there is none
	Chunked       bool
	HTTP11        bool
	Upgrade       bool // Connection: upgrade and Upgrade: websocket
	Close         bool // the connection ends after the answer
	Continue      bool // Expect: 100-continue
	Expectation   bool // some other Expect

	// Plain: there are no fields but those that most programs send, and none of the two that are
	// kept here twice. Then these are all that matter, and fasthttp need not parse the head.
	Plain         bool
	ContentType   []byte // of a plain head, nil if there is none
	Authorization []byte // likewise
	Socket        socketFields

	forwarding     bool   // X-Forwarded-For, X-Forwarded-Proto or Forwarded is there
	authority      []byte // of an absolute target
	fields         int
	upgradeToken   bool
	websocketToken bool
	closeToken     bool
	keepAliveToken bool
}

// Check decodes the request head at the start of b and returns its length n,
// empty lines before it included. n == 0 with a nil error means that b ends
// inside the head, which may have limit bytes: call again with more. Any error
// is final: answer it and close. An error is found as soon as the byte
// that makes it one is there; what lies behind is then of no interest.
//
// It is stricter than RFC 9112 wherever two readers of a lenient head could
// disagree about where the request ends or whom it is for (§11.2): no bare CR
// or LF, no folded lines, no space before the colon, one Host, one
// Content-Length, never together with Transfer-Encoding, and no coding but
// chunked. With an absolute target the Host header must be there and valid, and
// what it says is ignored: h.Host is the target's authority (RFC 9112 §3.2.2).
//
// b is not kept but for the slices in h. It does not allocate.
func (h *Head) Check(b []byte, limit int) (n int, err *refusal.Error) {
	*h = Head{ContentLength: -1, Plain: true}
	whole := len(b)
	b = b[:min(whole, limit)]
	i, err := h.checkRequestLine(b)
	if err != nil {
		return 0, err
	}
	if i == 0 {
		if len(b) == limit {
			return 0, errTargetTooLong
		}
		return 0, nil
	}
	for {
		next, end, err := h.checkField(b, i)
		if err != nil {
			return 0, err
		}
		if next == 0 {
			if len(b) == limit {
				return 0, errHeadTooLarge
			}
			return 0, nil
		}
		i = next
		if end {
			if err := h.conclude(); err != nil {
				return 0, err
			}
			return i, nil
		}
	}
}

// checkRequestLine reads empty lines and the request line (RFC 9112 §3) and
// returns where the next line begins, 0 if b ends before.
func (h *Head) checkRequestLine(b []byte) (next int, err *refusal.Error) {
	i := 0
	for i < len(b) && b[i] == '\r' { // §2.2: at least one empty line is to be ignored
		if i+1 == len(b) {
			return 0, nil
		}
		if b[i+1] != '\n' {
			return 0, errBareCR
		}
		if i += 2; i > 2*maxEmpty {
			return 0, errRequestLine
		}
	}
	h.Start = i

	j := i
	for j < len(b) && tokenByte[b[j]] {
		j++
	}
	if j-i > maxMethod {
		return 0, errMethod
	}
	if j == len(b) {
		return 0, nil
	}
	if b[j] != ' ' || j == i {
		return 0, misplaced(b[j], errMethod)
	}
	h.Method = b[i:j]

	i, j = j+1, j+1
	for j < len(b) && targetByte[b[j]] {
		j++
	}
	if j == len(b) {
		return 0, nil
	}
	if b[j] != ' ' || j == i {
		return 0, misplaced(b[j], errTarget)
	}
	h.Target = b[i:j]
	if err := h.checkTarget(); err != nil {
		return 0, err
	}
	return h.checkVersion(b, j+1)
}

// checkTarget takes the target apart (RFC 9112 §3.2).
func (h *Head) checkTarget() *refusal.Error {
	t := h.Target
	switch {
	case t[0] == '/':
	case len(t) == 1 && t[0] == '*' && string(h.Method) == "OPTIONS":
	default:
		// The absolute form is for proxies, but every server must take it.
		scheme := len("http://")
		if len(t) > scheme && ascii.EqualFold(t[:scheme], "http://") {
		} else if scheme++; len(t) > scheme && ascii.EqualFold(t[:scheme], "https://") {
		} else {
			return errTarget
		}
		h.authority = t[scheme:]
		if end := bytes.IndexAny(h.authority, "/?"); end >= 0 {
			h.authority, t = h.authority[:end], h.authority[end:]
		} else {
			t = nil
		}
		if !isHost(h.authority) {
			return errTarget
		}
	}
	h.Path, h.Query, _ = bytes.Cut(t, []byte{'?'})
	if len(h.Path) == 0 {
		h.Path = rootPath
	}
	return nil
}

var rootPath = []byte("/")

// checkVersion reads "HTTP/1.1" CRLF at i.
func (h *Head) checkVersion(b []byte, i int) (next int, err *refusal.Error) {
	const pattern = "HTTP/#.#\r\n" // # is a digit
	for k := range len(pattern) {
		if i+k == len(b) {
			return 0, nil
		}
		c := b[i+k]
		expected := c == pattern[k]
		if pattern[k] == '#' {
			expected = '0' <= c && c <= '9'
		}
		if !expected {
			return 0, misplaced(c, errRequestLine)
		}
	}
	if b[i+5] != '1' || b[i+7] > '1' {
		return 0, errVersion
	}
	h.HTTP11 = b[i+7] == '1'
	return i + len(pattern), nil
}

// checkField reads one header line at i (RFC 9112 §5), or the empty line that
// ends the head, and returns where the next begins, 0 if b ends before.
func (h *Head) checkField(b []byte, i int) (next int, end bool, err *refusal.Error) {
	j := i
	for j < len(b) && tokenByte[b[j]] {
		j++
	}
	if j == len(b) {
		return 0, false, nil
	}
	name := b[i:j]
	if b[j] != ':' || j == i {
		if j > i {
			return 0, false, misplaced(b[j], errFieldName)
		}
		switch b[j] {
		case '\r':
			next, err = checkLineEnd(b, j)
			return next, true, err
		case ' ', '\t':
			return 0, false, errFold
		}
		return 0, false, misplaced(b[j], errFieldName)
	}

	for j++; j < len(b) && (b[j] == ' ' || b[j] == '\t'); {
		j++
	}
	i = j
	for j < len(b) && valueByte[b[j]] {
		j++
	}
	if j == len(b) {
		return 0, false, nil
	}
	if b[j] != '\r' {
		return 0, false, misplaced(b[j], errFieldValue)
	}
	if next, err = checkLineEnd(b, j); next == 0 {
		return 0, false, err
	}
	for j > i && (b[j-1] == ' ' || b[j-1] == '\t') {
		j--
	}
	if h.fields++; h.fields > maxFields {
		return 0, false, errHeadTooLarge
	}
	return next, false, h.take(name, b[i:j])
}

// checkLineEnd reads the LF behind the CR at i.
func checkLineEnd(b []byte, i int) (next int, err *refusal.Error) {
	if i+1 == len(b) {
		return 0, nil
	}
	if b[i+1] != '\n' {
		return 0, errBareCR
	}
	return i + 2, nil
}

// misplaced names the fault of a byte where it must not stand; other is what it
// is called if it is no line end.
func misplaced(c byte, other *refusal.Error) *refusal.Error {
	switch c {
	case '\n':
		return errBareLF
	case '\r':
		return errBareCR
	}
	return other
}
