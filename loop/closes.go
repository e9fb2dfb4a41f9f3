package loop

import (
	"slices"

	"peal/loop/frame"
)

// closeCodes are the codes with which the server closes WebSockets of its own
// accord. docs/http.md says what each means.
var closeCodes = [...]uint16{
	frame.CloseGoingAway, frame.CloseProtocolError, frame.CloseInvalidPayload, frame.CloseTooBig, frame.CloseServiceRestart, frame.CloseTryAgainLater,
	frame.CloseBadRequest, frame.CloseUnauthorized, frame.CloseForbidden, frame.CloseGap, frame.CloseDisconnected,
	frame.CloseTooManyChannels, frame.CloseRateLimited,
}

// CloseCounts counts close frames by code. It belongs to one goroutine.
type CloseCounts struct {
	known [len(closeCodes)]uint64
	other uint64
}

// Add counts one close frame. It does not allocate.
func (n *CloseCounts) Add(code uint16) {
	if i := slices.Index(closeCodes[:], code); i >= 0 {
		n.known[i]++
	} else {
		n.other++
	}
}

// ByCode has an entry for each code that the server uses, and 0 for all others.
func (n *CloseCounts) ByCode() map[int]uint64 {
	all := map[int]uint64{0: n.other}
	for i, code := range closeCodes {
		all[int(code)] = n.known[i]
	}
	return all
}
