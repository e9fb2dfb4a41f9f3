package httpapi

import "peal/server/refusal"

// Found in a request head. The connection is closed, because the start of the
// next request is unknown.
var (
	errRequestLine      = badHead("request line must be: METHOD SP target SP HTTP/1.1 CRLF")
	errMethod           = badHead("method is not a token of RFC 9110")
	errTarget           = badHead("request target must begin with a slash, or be http://host/… without a user before the host")
	errBareLF           = badHead("lines of the head must end with CR LF, found LF alone")
	errBareCR           = badHead("lines of the head must end with CR LF, found CR alone")
	errFold             = badHead("header lines must not be folded")
	errFieldName        = badHead("header name is not a token of RFC 9110 directly before its colon")
	errFieldValue       = badHead("header value contains a control character")
	errHost             = badHead("exactly one valid Host header is required")
	errOriginTwice      = badHead("more than one Origin header")
	errContentLength    = badHead("Content-Length must be one decimal number, given once")
	errTransferEncoding = badHead("the only transfer coding is chunked, given once, with HTTP/1.1")
	errBothLengths      = badHead("Content-Length and Transfer-Encoding exclude each other")
	errChunk            = badHead("chunked body is malformed")
	errLate             = &refusal.Error{Status: 408, Code: "request_timeout", Message: "the request was not complete in time (head-timeout): send the head at once, and the body at 1 KiB per second or more"}
	errEnded            = badHead("the client closed its side of the connection before the request was complete")
	errUnparsed         = badHead("the head could not be parsed")
	errVersion          = &refusal.Error{Status: 505, Code: "bad_version", Message: "use HTTP/1.1 or HTTP/1.0"}
	errTargetTooLong    = &refusal.Error{Status: 414, Code: "target_too_long", Message: "the request line exceeds head-bytes (8 KiB by default): name fewer channels"}
	errHeadTooLarge     = &refusal.Error{Status: 431, Code: "head_too_large", Message: "the request head exceeds head-bytes (8 KiB by default) or 100 lines: send fewer or shorter headers"}
)

func badHead(message string) *refusal.Error {
	return &refusal.Error{Status: 400, Code: "bad_request", Message: message}
}

// Found before the body is read.
var (
	errExpectation   = &refusal.Error{Status: 417, Code: "expectation_failed", Message: "the only supported expectation is 100-continue"}
	errBodyTooLarge  = &refusal.Error{Status: 413, Code: "body_too_large", Message: "the body exceeds message-bytes (64 KiB by default): publish a shorter message, or a link to the data"}
	errBatchTooLarge = &refusal.Error{Status: 413, Code: "body_too_large", Message: "the body of the batch exceeds batch-bytes (1 MiB by default): split the batch"}
)

// Found by routing.
var (
	errMethodNotAllowed = &refusal.Error{Status: 405, Code: "method_not_allowed", Message: "this path does not support the method; see the Allow header"}
	errUpgradeRequired  = &refusal.Error{Status: 426, Code: "upgrade_required", Message: "connect with a WebSocket client: Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: 13"}
	errHandshake        = &refusal.Error{Status: 400, Code: "bad_handshake", Message: "a WebSocket handshake needs HTTP/1.1 and a Sec-WebSocket-Key that is the base64 of 16 bytes"}
)

// Found in parameters and bodies.
var (
	errSession   = &refusal.Error{Status: 400, Code: "bad_session", Message: "session must be an id that the server gave (Peal-Session), or 22 characters of base64url made of 16 random bytes"}
	errFormat    = &refusal.Error{Status: 400, Code: "bad_format", Message: "format must be json or raw, and the subprotocol peal.raw excludes json"}
	errTimeout   = &refusal.Error{Status: 400, Code: "bad_timeout", Message: "timeout must be a number of seconds, or a duration such as 30s"}
	errForm      = &refusal.Error{Status: 400, Code: "bad_form", Message: "the body is not a valid form of its Content-Type"}
	errBatchHead = &refusal.Error{Status: 400, Code: "bad_batch", Message: `a batch takes channel, event, idempotency_key and exclude in each message only: remove them from the URL and the headers`}
)
