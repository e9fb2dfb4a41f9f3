package frame

import (
	"encoding/binary"
	"unicode/utf8"
)

// Status codes of a close frame: RFC 6455 §7.4.1 and the IANA registry of
// §11.7. 3000–3999 are registered by libraries, 4000–4999 are private (§7.4.2).
const (
	CloseNormal             uint16 = 1000
	CloseGoingAway          uint16 = 1001
	CloseProtocolError      uint16 = 1002
	CloseUnsupported        uint16 = 1003
	CloseNoStatus           uint16 = 1005 // never sent: the close frame was empty
	CloseAbnormal           uint16 = 1006 // never sent: there was no close frame
	CloseInvalidPayload     uint16 = 1007
	ClosePolicy             uint16 = 1008
	CloseTooBig             uint16 = 1009
	CloseMandatoryExtension uint16 = 1010
	CloseInternal           uint16 = 1011
	CloseServiceRestart     uint16 = 1012
	CloseTryAgainLater      uint16 = 1013
	CloseBadGateway         uint16 = 1014
	CloseTLS                uint16 = 1015 // never sent: the TLS handshake failed
)

// Private codes of Peal (§7.4.2). After one of these a client should not reconnect
// unchanged; after CloseGoingAway and CloseTryAgainLater it should.
const (
	CloseBadRequest      uint16 = 4400
	CloseUnauthorized    uint16 = 4401 // token missing, invalid or expired
	CloseForbidden       uint16 = 4403
	CloseGap             uint16 = 4409 // messages are gone, and the dialect cannot carry a gap
	CloseDisconnected    uint16 = 4410 // by the backend
	CloseTooManyChannels uint16 = 4413
	CloseRateLimited     uint16 = 4429
)

// maxReason is the room of a close frame after the status (§5.5.1).
const maxReason = MaxControl - 2

// MaySend reports whether a close frame may contain code (§7.4).
func MaySend(code uint16) bool {
	switch {
	case code >= 3000:
		return code <= 4999
	case code == 1004, code == CloseNoStatus, code == CloseAbnormal:
		return false
	}
	return code >= CloseNormal && code <= CloseBadGateway
}

// ParseClose decodes the payload of a close frame. An empty one gives
// CloseNoStatus. reason aliases payload. Errors: ErrClosePayload,
// ErrCloseCode, ErrUTF8.
func ParseClose(payload []byte) (code uint16, reason []byte, err error) {
	switch len(payload) {
	case 0:
		return CloseNoStatus, nil, nil
	case 1:
		return 0, nil, ErrClosePayload
	}
	code, reason = binary.BigEndian.Uint16(payload), payload[2:]
	if !MaySend(code) {
		return 0, nil, ErrCloseCode
	}
	if !utf8.Valid(reason) {
		return 0, nil, ErrUTF8
	}
	return code, reason, nil
}

// AppendClose appends a whole close frame. The reason is truncated to 123 bytes,
// between two characters, and before anything that is not UTF-8. For a code that
// may not be sent it appends an empty close frame, so the response to a Close event
// can use its Code (§5.5.1).
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if !MaySend(code) {
		return AppendHeader(dst, true, OpClose, 0)
	}
	reason = cutReason(reason)
	dst = AppendHeader(dst, true, OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}

// cutReason returns the longest start of s that is UTF-8 and fits a close frame.
func cutReason(s string) string {
	end := 0
	for end < len(s) {
		r, size := utf8.DecodeRuneInString(s[end:])
		if r == utf8.RuneError && size == 1 || end+size > maxReason {
			break
		}
		end += size
	}
	return s[:end]
}
