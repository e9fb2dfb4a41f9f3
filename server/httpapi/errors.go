package httpapi

import (
	"errors"
	"fmt"

	"peal/server/ijson"
	"peal/server/wsproto"
)

// Error is a refusal as the client sees it: a stable code for programs and a
// sentence for people that says what to change.
type Error struct {
	Status  int // of HTTP
	Code    string
	Message string

	close uint16 // the corresponding close code of a WebSocket; 0: 4400
	retry int    // Retry-After of 429 and 503, in seconds; 0: 1
}

func (e *Error) Error() string { return "request: " + e.Code + ": " + e.Message }

// closeCode is the close code that a WebSocket client receives.
func (e *Error) closeCode() uint16 {
	if e.close == 0 {
		return wsproto.CloseBadRequest
	}
	return e.close
}

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
	errLate             = &Error{Status: 408, Code: "request_timeout", Message: "the request was not complete in time (head-timeout): send the head at once, and the body at 1 KiB per second or more"}
	errEnded            = badHead("the client closed its side of the connection before the request was complete")
	errUnparsed         = badHead("the head could not be parsed")
	errVersion          = &Error{Status: 505, Code: "bad_version", Message: "use HTTP/1.1 or HTTP/1.0"}
	errTargetTooLong    = &Error{Status: 414, Code: "target_too_long", Message: "the request line exceeds head-bytes (8 KiB by default): name fewer channels"}
	errHeadTooLarge     = &Error{Status: 431, Code: "head_too_large", Message: "the request head exceeds head-bytes (8 KiB by default) or 100 lines: send fewer or shorter headers"}
)

func badHead(message string) *Error {
	return &Error{Status: 400, Code: "bad_request", Message: message}
}

// Found before the body is read.
var (
	errForeignHost   = &Error{Status: 403, Code: "host_not_allowed", Message: "this server accepts only an IP address or localhost in the Host header: use one of these, or start the server with --open"}
	errForeignOrigin = &Error{Status: 403, Code: "origin_not_allowed", Message: "this server accepts only web pages from localhost, and the Origin header names another site: start the server with --allow-origin and that origin, or with --open to accept all sites"}
	errCrossSite     = &Error{Status: 403, Code: "cross_site", Message: "a page of another site caused this request without a script (Sec-Fetch-Site), and the request uses client or presence: use fetch, EventSource or WebSocket, which send an Origin header", close: wsproto.CloseForbidden}
	errExpectation   = &Error{Status: 417, Code: "expectation_failed", Message: "the only supported expectation is 100-continue"}
	errBodyTooLarge  = &Error{Status: 413, Code: "body_too_large", Message: "the body exceeds message-bytes (64 KiB by default): publish a shorter message, or a link to the data"}
	errBatchTooLarge = &Error{Status: 413, Code: "body_too_large", Message: "the body of the batch exceeds batch-bytes (1 MiB by default): split the batch"}
)

// Found by routing.
var (
	errNotFound         = &Error{Status: 404, Code: "not_found", Message: "unknown path; Peal serves /ws, /sse, /poll, /publish, /publish/batch, /channels, /disconnect"}
	errMethodNotAllowed = &Error{Status: 405, Code: "method_not_allowed", Message: "this path does not support the method; see the Allow header"}
	errUpgradeRequired  = &Error{Status: 426, Code: "upgrade_required", Message: "connect with a WebSocket client: Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: 13"}
	errHandshake        = &Error{Status: 400, Code: "bad_handshake", Message: "a WebSocket handshake needs HTTP/1.1 and a Sec-WebSocket-Key that is the base64 of 16 bytes"}
)

// Found in parameters and bodies.
var (
	errChannelName       = &Error{Status: 400, Code: "bad_channel", Message: "a channel name is 1 to 200 bytes of printable UTF-8 (the joiners U+200C and U+200D are legal), percent-encoded in URLs"}
	errChannelReserved   = &Error{Status: 403, Code: "reserved_channel", Message: "channel names that begin with $ are reserved for the server", close: wsproto.CloseForbidden}
	errTooManyChannels   = &Error{Status: 400, Code: "too_many_channels", Message: "the request names more channels than max-channels (128 by default): use several connections or requests", close: wsproto.CloseTooManyChannels}
	errFormat            = &Error{Status: 400, Code: "bad_format", Message: "format must be json or raw, and the subprotocol peal.raw excludes json"}
	errLast              = &Error{Status: 400, Code: "bad_last", Message: "last must be a number of messages, 0 or more"}
	errLastOfSeveral     = &Error{Status: 400, Code: "bad_last", Message: "with several channels last is at most 1000: request fewer messages, or one channel at a time"}
	errTimeout           = &Error{Status: 400, Code: "bad_timeout", Message: "timeout must be a number of seconds, or a duration such as 30s"}
	errLimit             = &Error{Status: 400, Code: "bad_limit", Message: "limit must be a number, 1 or more"}
	errEvent             = &Error{Status: 400, Code: "bad_event", Message: "an event name has at most 200 bytes of UTF-8 without control characters; open, error, gap and names that begin with peal are reserved for the server"}
	errIdempotencyKey    = &Error{Status: 400, Code: "bad_idempotency_key", Message: "an idempotency key has at most 200 bytes"}
	errJSONObject        = &Error{Status: 400, Code: "bad_json", Message: "the value must be a JSON object"}
	errForm              = &Error{Status: 400, Code: "bad_form", Message: "the body is not a valid form of its Content-Type"}
	errNoData            = &Error{Status: 400, Code: "no_data", Message: "the field data is missing: add it, or name the channel in the query and send the data as the body"}
	errChannels          = &Error{Status: 400, Code: "bad_channel", Message: `put several channels into the field channel: "channel":["a","b"]`}
	errBase64            = &Error{Status: 400, Code: "bad_base64", Message: "data_base64 must be a string of base64 with padding"}
	errMessageTooLarge   = &Error{Status: 413, Code: "message_too_large", Message: "the data exceeds message-bytes (64 KiB by default): publish a shorter message, or a link to the data"}
	errAlreadySubscribed = &Error{Status: 400, Code: "already_subscribed", Message: "this connection is already subscribed to the channel: unsubscribe first to start from another cursor"}
	errOneChannel        = &Error{Status: 400, Code: "bad_channel", Message: "history and presence take one channel"}
	errAsking            = &Error{Status: 429, Code: "busy", Message: "a history or presence command is still running on this connection: wait for its reply"}
	errBatchWide         = &Error{Status: 413, Code: "batch_too_wide", Message: "the batch exceeds batch-entries (8192 by default; each channel of each message counts): send this message and those after it in another batch"}
	errBatch             = &Error{Status: 400, Code: "bad_batch", Message: `the body must be JSON: {"messages":[{"channel":…,"data":…},…]}, with no other field and at most batch-messages messages (1000 by default)`}
	errBatchHead         = &Error{Status: 400, Code: "bad_batch", Message: `a batch takes channel, event and idempotency_key in each message only: remove them from the URL and the headers`}
)

// jsonError describes the fault in a body that must be JSON.
func jsonError(err error) *Error {
	e, ok := errors.AsType[*ijson.SyntaxError](err)
	if !ok {
		return errJSONObject
	}
	return &Error{Status: 400, Code: "bad_json", Message: fmt.Sprintf(
		"the body is not valid JSON under RFC 7493 (UTF-8, no half surrogates, no duplicate names): %s, at byte %d", e.Reason, e.Offset)}
}

// Found when the server is overloaded or drains. Clients try again.
var (
	errOverloaded = &Error{Status: 429, Code: "overloaded", Message: "subscribers cannot keep up: publish again in a second (limits: ring-slots, ring-bytes, log-queue-messages, log-queue-bytes)", close: 1013}
	errLogFull    = &Error{Status: 503, Code: "log_full", Message: "the disk of the log is full or failing, and the message was not published: publish again in a second", close: 1013}
	errBusy       = &Error{Status: 503, Code: "busy", Message: "too many requests wait for a worker (worker-queue): try again in a second", close: 1013}
	errDraining   = &Error{Status: 503, Code: "draining", Message: "the server is shutting down: connect again in a second", close: 1001}
	errLost       = &Error{Status: 500, Code: "not_stored", Message: "the log failed after it accepted the message, and the message may or may not be stored: publish it again with the same idempotency key", close: 1013}
)
