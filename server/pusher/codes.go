package pusher

import "peal/loop/frame"

// Room is the name of the room that carries out what clients send: dialect.Dialect.Room.
const Room = "pusher"

// Codes of errors and closes, as clients of the protocol read them: 4000 to 4099 end for
// good, 4100 to 4199 come back after a second, 4200 to 4299 at once. Those from 4300 on are
// in events only.
const (
	CodeNoApp           = 4001 // the key is that of no app
	CodeTooManyChannels = 4004 // over the quota
	CodeBadVersion      = 4006 // the version of the protocol is no number
	CodeVersion         = 4007 // the version is not supported
	CodeNoVersion       = 4008
	CodeUnauthorized    = 4009
	CodeAgain           = 4100 // over capacity: come back
	CodeBadMessage      = 4200 // an event only: Peal closes nothing for it
	CodeClientEvent     = 4301 // a client- event was refused
)

// CloseCode is the code with which a connection ends for one of package frame. Those of
// RFC 6455 stay: clients know that they are to come back.
func CloseCode(code uint16) uint16 {
	switch code {
	case frame.CloseGoingAway, frame.CloseServiceRestart, frame.CloseTryAgainLater, frame.CloseRateLimited:
		return CodeAgain
	case frame.CloseTooManyChannels:
		return CodeTooManyChannels
	case frame.CloseBadRequest, frame.CloseUnauthorized, frame.CloseForbidden, frame.CloseDisconnected, frame.CloseGap:
		return CodeUnauthorized
	}
	return code
}

// ComesBack reports whether a client comes back after the code of a close.
func ComesBack(code uint16) bool { return code < 4000 || 4100 <= code && code < 4300 }
