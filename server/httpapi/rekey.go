package httpapi

import (
	"peal/loop"
	"peal/loop/frame"
	"peal/server/apikey"
	"peal/server/grant"
	"peal/server/identity"
	"peal/server/refusal"
)

// The ends of connections whose key a reload has replaced.
var (
	keyRevoked = NewEnding(identity.ErrKeyUnknown, "the key was removed from the configuration")
	keyChanged = NewEnding(errKeyChanged, "the key allows less than before: connect again")
)

var errKeyChanged = &refusal.Error{Status: 503, Code: "key_changed", Message: "the configuration of the key was changed, and the key allows less than before: try again", Close: frame.CloseTryAgainLater}

// Rekey gives the connection of that session what its key allows in a new table. If
// the key may allow less, or is gone, it returns the end of the connection, which must
// follow, as after Dismiss.
func (f *Front) Rekey(session uint64, keys *apikey.Table) *loop.Ending {
	known := false
	if !f.guests.Rekey(session, func(g *grant.Grant) (now *grant.Grant) {
		now, known = keys.Renew(g)
		return now
	}) {
		return nil
	}
	if known {
		return keyChanged
	}
	return keyRevoked
}
