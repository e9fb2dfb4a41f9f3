package frame

import "errors"

// Error is a client's violation of RFC 6455. Any Error is final: close the
// connection with CloseCode.
type Error struct {
	code uint16
	text string
}

func (e *Error) Error() string { return "frame: " + e.text }

// Found in a frame header.
var (
	// ErrRSV: a reserved bit is set that no negotiated extension uses (§5.2).
	ErrRSV = &Error{CloseProtocolError, "reserved bit set"}
	// ErrOpcode: opcode 3–7 or 11–15 (§5.2).
	ErrOpcode = &Error{CloseProtocolError, "reserved opcode"}
	// ErrControlFragmented: a control frame without FIN (§5.5).
	ErrControlFragmented = &Error{CloseProtocolError, "fragmented control frame"}
	// ErrControlLength: a control frame with more than 125 bytes (§5.5).
	ErrControlLength = &Error{CloseProtocolError, "control frame longer than 125 bytes"}
	// ErrUnmasked: a client must mask every frame (§5.1).
	ErrUnmasked = &Error{CloseProtocolError, "unmasked frame from a client"}
	// ErrLength: a length not in its shortest form, or above 2⁶³−1 (§5.2).
	ErrLength = &Error{CloseProtocolError, "malformed payload length"}
)

// Found in the order of frames, or in a payload.
var (
	// ErrContinuation: a continuation frame with nothing to continue (§5.4).
	ErrContinuation = &Error{CloseProtocolError, "continuation frame outside a message"}
	// ErrInterleaved: a new message inside a fragmented one (§5.4).
	ErrInterleaved = &Error{CloseProtocolError, "new message inside a fragmented one"}
	// ErrTooBig: a message, or its fragments together, beyond the caller's limit (§7.4.1).
	ErrTooBig = &Error{CloseTooBig, "message too big"}
	// ErrUTF8: a text message or a close reason that is not UTF-8 (§8.1).
	ErrUTF8 = &Error{CloseInvalidPayload, "invalid UTF-8"}
	// ErrDeflate: a compressed message that cannot be inflated (RFC 7692 §7.2.2).
	ErrDeflate = &Error{CloseInvalidPayload, "compressed message is not valid DEFLATE"}
	// ErrBlocks: a compressed message that costs more to inflate than any compressor's.
	ErrBlocks = &Error{ClosePolicy, "compressed message has too many blocks with codes of their own"}
	// ErrClosePayload: a close frame with a payload of one byte (§5.5.1).
	ErrClosePayload = &Error{CloseProtocolError, "close frame with half a status code"}
	// ErrCloseCode: a close status that may not be sent (§7.4).
	ErrCloseCode = &Error{CloseProtocolError, "illegal close status"}
)

// CloseCode returns the status to close a connection with after err: that of
// the Error in err's chain, CloseNormal for nil, CloseInternal for all others.
func CloseCode(err error) uint16 {
	if err == nil {
		return CloseNormal
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.code
	}
	return CloseInternal
}

// HandshakeError is a request that cannot become a WebSocket. Refuse it over
// HTTP with StatusCode.
type HandshakeError struct {
	status int
	text   string
}

func (e *HandshakeError) Error() string { return "handshake: " + e.text }

// Found in an upgrade request (§4.2.1).
var (
	// ErrMethod: the method is not GET.
	ErrMethod = &HandshakeError{405, "method must be GET"}
	// ErrHTTPVersion: HTTP/1.0 does not support upgrades.
	ErrHTTPVersion = &HandshakeError{400, "HTTP/1.1 is required"}
	// ErrNotUpgrade: no "websocket" in Upgrade, or no "Upgrade" in Connection.
	// Respond with "Upgrade: websocket" and "Connection: Upgrade" (RFC 9110 §15.5.22).
	ErrNotUpgrade = &HandshakeError{426, "not a WebSocket upgrade"}
	// ErrVersion: not version 13. Respond with "Sec-WebSocket-Version: 13" (§4.4).
	ErrVersion = &HandshakeError{426, "Sec-WebSocket-Version must be 13"}
	// ErrKey: Sec-WebSocket-Key is not the base64 of 16 bytes, or was sent twice.
	ErrKey = &HandshakeError{400, "Sec-WebSocket-Key must be the base64 of 16 bytes"}
)

// StatusCode returns the HTTP status that refuses a handshake which failed
// with err: 400, 405 or 426; 500 for errors of others.
func StatusCode(err error) int {
	if e, ok := errors.AsType[*HandshakeError](err); ok {
		return e.status
	}
	return 500
}
