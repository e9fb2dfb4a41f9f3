package refusal

import (
	"errors"
	"fmt"
	"peal/loop/frame"

	"peal/server/ijson"
	"peal/server/publication"
)

// Error is a refusal as the client sees it.
type Error struct {
	Status  int // of HTTP
	Code    string
	Message string

	Close uint16 // the corresponding close code of a WebSocket; 0: frame.CloseBadRequest
	Retry int    // Retry-After of status 429 and 503, in seconds; 0: 1
}

func (e *Error) Error() string { return "request: " + e.Code + ": " + e.Message }

// CloseCode is the close code that a WebSocket client receives.
func (e *Error) CloseCode() uint16 {
	if e.Close == 0 {
		return frame.CloseBadRequest
	}
	return e.Close
}

// Again returns after how many seconds a client may repeat an unchanged request;
// ok is false if it may not.
func (e *Error) Again() (seconds int, ok bool) {
	return max(1, e.Retry), e.Status == 429 || e.Status == 503
}

// AppendJSON appends {"error":{"code","message"}}.
func (e *Error) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"error":{"code":"`...)
	dst = append(dst, e.Code...)
	dst = append(dst, `","message":`...)
	dst = publication.AppendString(dst, e.Message)
	return append(dst, "}}"...)
}

// Contradiction refuses an ambiguous request: what contradicts itself, and how to
// change it.
func Contradiction(what, change string) *Error {
	return &Error{Status: 400, Code: "contradiction", Message: what + ": " + change}
}

// Bad refuses a mistake in a request.
func Bad(code, message string) *Error { return &Error{Status: 400, Code: code, Message: message} }

// Found when the server is overloaded or drains. Clients try again.
var (
	ErrOverloaded = &Error{Status: 429, Code: "overloaded", Message: "subscribers cannot keep up: publish again in a second (limits: ring-slots, ring-bytes, log-queue-messages, log-queue-bytes)", Close: 1013}
	ErrLogFull    = &Error{Status: 503, Code: "log_full", Message: "the disk of the log is full or failing, and the message was not published: publish again in a second", Close: 1013}
	ErrStoreFull  = &Error{Status: 503, Code: "log_full", Message: "the store of the log refuses messages (it is full, or lacks a permission): publish again in a second", Close: 1013}
	ErrNoMemory   = &Error{Status: 503, Code: "memory_full", Message: "the server has no memory for more messages (memory-limit): publish again in a second", Close: 1013}
	ErrNodeBehind = &Error{Status: 503, Code: "node_behind", Message: "this node has not read all of the log that several nodes share: try again in a second, or on another node", Close: 1013}
	ErrDraining   = &Error{Status: 503, Code: "draining", Message: "the server is shutting down: connect again in a second", Close: 1001}
	ErrNoLog      = &Error{Status: 503, Code: "log_unavailable", Message: "the store of the log cannot be reached, and the message was not published: publish again in a second", Close: 1013}
	ErrUnanswered = &Error{Status: 503, Code: "log_unavailable", Message: "the store of the log did not respond in time, and the message may or may not be published: publish it again with the same idempotency key", Close: 1013}
	ErrLost       = &Error{Status: 500, Code: "not_stored", Message: "the log failed after it accepted the message, and the message may or may not be stored: publish it again with the same idempotency key", Close: 1013}
)

// ErrJSONObject refuses JSON of another kind.
var ErrJSONObject = &Error{Status: 400, Code: "bad_json", Message: "the value must be a JSON object"}

// OfJSON describes the fault in a body that must be JSON, as an ijson.Reader found it.
func OfJSON(err error) *Error {
	e, ok := errors.AsType[*ijson.SyntaxError](err)
	if !ok {
		return ErrJSONObject
	}
	return &Error{Status: 400, Code: "bad_json", Message: fmt.Sprintf(
		"the body is not valid JSON under RFC 7493 (UTF-8, no half surrogates, no duplicate names): %s, at byte %d", e.Reason, e.Offset)}
}
