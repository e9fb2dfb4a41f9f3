package rest

import (
	"time"

	"peal/server/app"
	"peal/server/refusal"
)

// Found in requests of the HTTP API.
var (
	ErrNoApps = &refusal.Error{Status: 404, Code: "no_apps", Message: "this server has no apps of the Pusher protocol: set app to ID:KEY:SECRET, or REVERB_APP_ID, REVERB_APP_KEY and REVERB_APP_SECRET"}
	ErrNoApp  = &refusal.Error{Status: 404, Code: "unknown_app", Message: "no app of this server has this id: check the app id of your backend (REVERB_APP_ID, PUSHER_APP_ID), or add the app to the server"}

	errEventName = &refusal.Error{Status: 400, Code: "bad_event", Message: "name must be the name of the event: 1 to 200 bytes of UTF-8 without control characters; open, error, gap and names that begin with pusher:, pusher_internal: or peal are reserved for the server"}
	errChannel   = &refusal.Error{Status: 400, Code: "bad_channel", Message: "a channel of the Pusher protocol has 1 to 164 letters, digits and _-=@,.; as its name"}
	errTooMany   = &refusal.Error{Status: 400, Code: "too_many_channels", Message: "an event has at most 100 channels: send it in several requests"}
	errEncrypted = &refusal.Error{Status: 400, Code: "bad_channel", Message: "an event for an encrypted channel (private-encrypted-) has no other channel, because its data is encrypted for that one: send it in a request of its own"}
	errNone      = &refusal.Error{Status: 400, Code: "bad_channel", Message: "the event has no channel: send channel, or channels with 1 to 100 names"}
	errBoth      = refusal.Contradiction("channel and channels", "send one of them")
	errData      = &refusal.Error{Status: 400, Code: "no_data", Message: "data must be there, and a string: encode it as JSON before"}
	errSocketID  = &refusal.Error{Status: 400, Code: "bad_exclude", Message: "socket_id must be that of a connection, two numbers with a dot between: send the one that the client has (X-Socket-ID), or leave it out"}
	errInfo      = &refusal.Error{Status: 400, Code: "bad_info", Message: "info must be user_count, subscription_count, or both with a comma between"}
	errUserCount = &refusal.Error{Status: 400, Code: "bad_info", Message: "user_count is known for presence channels only: set filter_by_prefix=presence-, or leave user_count out"}
	errMembers   = &refusal.Error{Status: 400, Code: "bad_channel", Message: "only a presence channel (presence-) has users"}
	errBatch     = &refusal.Error{Status: 400, Code: "bad_batch", Message: `the body must be {"batch":[{"channel":…,"name":…,"data":…},…]} with 1 to 10 events`}
	errPrefix    = &refusal.Error{Status: 400, Code: "bad_channel", Message: "filter_by_prefix must be the beginning of the name of a channel: letters, digits and _-=@,.;#"}
	errUser      = &refusal.Error{Status: 400, Code: "bad_user", Message: "the path must have the id of a user, 1 to 128 bytes of printable UTF-8 without a colon, percent-encoded"}
)

// unsigned says why the signature of a request does not hold.
func unsigned(err error) *refusal.Error {
	return &refusal.Error{Status: 401, Code: "signature_invalid", Message: err.Error()}
}

// Verify is app.Verify with an error that the client receives.
func Verify(a *app.App, r app.Request, now time.Time) *refusal.Error {
	if err := a.Verify(r, now); err != nil {
		return unsigned(err)
	}
	return nil
}
