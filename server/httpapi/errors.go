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

	close uint16 // the code that says the same to a WebSocket; 0: 4400
	retry int    // seconds after which 429 and 503 ask for another try; 0: 1
}

func (e *Error) Error() string { return "request: " + e.Code + ": " + e.Message }

// closeCode is what a WebSocket client is told.
func (e *Error) closeCode() uint16 {
	if e.close == 0 {
		return wsproto.CloseBadRequest
	}
	return e.close
}

// Found in a request head. The connection is closed: where the next request
// begins is anybody's guess.
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
	errLate             = &Error{Status: 408, Code: "request_timeout", Message: "the request did not become whole in time: send its head at once, and its body at a kilobyte a second at least"}
	errEnded            = badHead("the client ended its side of the connection before the request was whole")
	errUnparsed         = badHead("the head could not be parsed")
	errVersion          = &Error{Status: 505, Code: "bad_version", Message: "use HTTP/1.1 or HTTP/1.0"}
	errTargetTooLong    = &Error{Status: 414, Code: "target_too_long", Message: "the request line is longer than a whole head may be: name fewer channels"}
	errHeadTooLarge     = &Error{Status: 431, Code: "head_too_large", Message: "the request head is larger than it may be (8 KiB unless set otherwise) or has more than 100 lines: send fewer or shorter headers"}
)

func badHead(message string) *Error {
	return &Error{Status: 400, Code: "bad_request", Message: message}
}

// Found before the body is looked at.
var (
	errForeignHost   = &Error{Status: 403, Code: "host_not_allowed", Message: "this server answers only under an IP address or localhost, and the Host header names something else: use one of these, or start it with --open"}
	errForeignOrigin = &Error{Status: 403, Code: "origin_not_allowed", Message: "this server answers only web pages from localhost, and the Origin header names another site: start it with --allow-origin and that origin, or with --open if everybody may use it"}
	errCrossSite     = &Error{Status: 403, Code: "cross_site", Message: "a page of another site caused this request without a script (Sec-Fetch-Site) and it names a client: connect by fetch, EventSource or WebSocket, which say where they come from", close: wsproto.CloseForbidden}
	errExpectation   = &Error{Status: 417, Code: "expectation_failed", Message: "the only expectation understood is 100-continue"}
	errBodyTooLarge  = &Error{Status: 413, Code: "body_too_large", Message: "the body is larger than a message may be: publish less at a time, or a link to it"}
	errBatchTooLarge = &Error{Status: 413, Code: "body_too_large", Message: "the batch is too large: split it"}
)

// Found by routing.
var (
	errNotFound         = &Error{Status: 404, Code: "not_found", Message: "there is nothing at this path; try /ws, /sse, /poll, /publish, /publish/batch, /channels, /disconnect"}
	errMethodNotAllowed = &Error{Status: 405, Code: "method_not_allowed", Message: "this path does not know the method; see the Allow header"}
	errUpgradeRequired  = &Error{Status: 426, Code: "upgrade_required", Message: "connect with a WebSocket client: Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: 13"}
	errHandshake        = &Error{Status: 400, Code: "bad_handshake", Message: "a WebSocket handshake needs HTTP/1.1 and a Sec-WebSocket-Key that is the base64 of 16 bytes"}
)

// Found in parameters and bodies.
var (
	errChannelName       = &Error{Status: 400, Code: "bad_channel", Message: "a channel name is 1 to 200 bytes of printable UTF-8 (the joiners U+200C and U+200D are legal), percent-encoded in URLs"}
	errChannelReserved   = &Error{Status: 403, Code: "reserved_channel", Message: "channel names that begin with $ are the server's", close: wsproto.CloseForbidden}
	errTooManyChannels   = &Error{Status: 400, Code: "too_many_channels", Message: "too many channels in one request: use several connections or requests", close: wsproto.CloseTooManyChannels}
	errFormat            = &Error{Status: 400, Code: "bad_format", Message: "format must be json or raw, and json does not go with the subprotocol peal.raw"}
	errLast              = &Error{Status: 400, Code: "bad_last", Message: "last must be a number of messages, 0 or more"}
	errLastOfSeveral     = &Error{Status: 400, Code: "bad_last", Message: "last is at most 1000 where several channels are named: ask for fewer, or for one channel at a time"}
	errTimeout           = &Error{Status: 400, Code: "bad_timeout", Message: "timeout must be a number of seconds, or a duration such as 30s"}
	errLimit             = &Error{Status: 400, Code: "bad_limit", Message: "limit must be a number, 1 or more"}
	errEvent             = &Error{Status: 400, Code: "bad_event", Message: "an event name has at most 200 bytes of UTF-8 without control characters; open, error, gap and names that begin with peal are the server's"}
	errIdempotencyKey    = &Error{Status: 400, Code: "bad_idempotency_key", Message: "an idempotency key has at most 200 bytes"}
	errJSONObject        = &Error{Status: 400, Code: "bad_json", Message: "a JSON object is wanted here"}
	errForm              = &Error{Status: 400, Code: "bad_form", Message: "the body is not the form that its Content-Type promises"}
	errNoData            = &Error{Status: 400, Code: "no_data", Message: "the field data is missing; or name the channel in the query and send the bytes as the body"}
	errChannels          = &Error{Status: 400, Code: "bad_channel", Message: `several channels go into the field channel: "channel":["a","b"]`}
	errBase64            = &Error{Status: 400, Code: "bad_base64", Message: "data_base64 must be a string of base64 with padding"}
	errMessageTooLarge   = &Error{Status: 413, Code: "message_too_large", Message: "the data is larger than a message may be: publish less at a time, or a link to it"}
	errAlreadySubscribed = &Error{Status: 400, Code: "already_subscribed", Message: "this connection has the channel already: unsubscribe first to begin somewhere else"}
	errOneChannel        = &Error{Status: 400, Code: "bad_channel", Message: "history and presence are of one channel at a time"}
	errAsking            = &Error{Status: 429, Code: "busy", Message: "one history or presence at a time: ask again when the last one has come"}
	errBatchWide         = &Error{Status: 413, Code: "batch_too_wide", Message: "the messages of this batch name more channels in all than a batch may (8192 unless set otherwise): send the messages from here on in another batch"}
	errBatch             = &Error{Status: 400, Code: "bad_batch", Message: `the body must be JSON: {"messages":[{"channel":…,"data":…},…]}, with nothing beside the messages and no more of them than a batch may have (1000 unless set otherwise)`}
	errBatchHead         = &Error{Status: 400, Code: "bad_batch", Message: `channel, event and idempotency_key of a batch are those of each message: put them there, not into the URL or a header`}
)

// jsonError says what is wrong with a body that must be JSON.
func jsonError(err error) *Error {
	e, ok := errors.AsType[*ijson.SyntaxError](err)
	if !ok {
		return errJSONObject
	}
	return &Error{Status: 400, Code: "bad_json", Message: fmt.Sprintf(
		"the body is not JSON as RFC 7493 has it (UTF-8, no half surrogates, no name twice in an object): %s, at byte %d", e.Reason, e.Offset)}
}

// Found when the server has too much to do, or nothing more. Clients come back.
var (
	errOverloaded = &Error{Status: 429, Code: "overloaded", Message: "subscribers cannot keep up: publish again in a second", close: 1013}
	errLogFull    = &Error{Status: 503, Code: "log_full", Message: "the disk of the log is full or failing, and the message was not published: publish again in a second", close: 1013}
	errBusy       = &Error{Status: 503, Code: "busy", Message: "too many queries are waiting: ask again in a second", close: 1013}
	errDraining   = &Error{Status: 503, Code: "draining", Message: "the server is going away: connect again in a second", close: 1001}
	errLost       = &Error{Status: 500, Code: "not_stored", Message: "the log failed after it had taken the message, which may or may not be stored: publish it again with the same idempotency key", close: 1013}
)
