// Package permit is the one place that decides whether a client may do what it
// asks for. Everything that a client asks becomes a [Request]: the client,
// the action, the channels, and where it comes from. An HTTP request, a raw
// WebSocket message, a command of peal.v1 and a message of a batch, which a
// worker reads, all become the same value and go through [Gate.Decide].
//
// Decide makes these checks, in this order, on every transport. The first that
// fails is the error that the client receives.
//
//	check     actions                        errors
//	host      arrive                         host_not_allowed
//	origin    arrive                         origin_not_allowed
//	site      arrive, by POST;               cross_site
//	          subscribe, with a client name
//	          or presence
//	          publish, without a token
//	          where tokens are needed
//	revoked   all but arrive, with a token   control_state_lost, token_revoked
//	stale     all but arrive, with a token   node_behind
//	client    subscribe, with a token        client_mismatch
//	ban       subscribe, with a client name  disconnected
//	          or a token
//	grant     all but arrive                 reserved_channel, token_missing, channel_protected, backend_only, not_allowed
//	rule      publish, by a client           publish_not_allowed
//	          subscribe with presence,       presence_off
//	          presence
//	room      subscribe, history             node_behind
//	          subscribe                      draining, too_many_channels, too_many_connections, channel_full
//	          publish                        memory_full
//	rate      publish; over a WebSocket all  rate_limited
//	size      publish                        message_too_large
//	ask       subscribe, history, presence,  ask_unavailable, ask_denied, ask_busy
//	          publish; not of a backend
//	presence  subscribe with presence        presence_full
//
// A request is decided when all of it is known, so what is wrong with its form (a
// name that is none, a parameter that contradicts another, JSON) comes before
// any of these; only host, origin and the site of a POST are decided as soon as a head has come
// (action arrive), before its body is waited for. Which methods a path has is the
// table of routes' to say (package httpapi): without them there is no action. The
// log itself refuses what it has no room for, and the table of idempotency keys
// the keys: neither is known before the attempt.
//
// What a client has proven is a [grant.Grant]: that of a user's token or of a backend's
// key; a token or key that is none is refused before, by package httpapi. The check
// "grant" compares it with the rule of each channel: anyone, token or backend. The
// channel $user:<name> is for the user of that name and for backends. Which actions
// need what, is a table of the test (grant_test.go), which fails for an action that
// is not in it.
//
// A request of the Mercure protocol (Request.Topics) is decided by Gate.topics in place of
// "grant": public updates are for all subscribers that no rule of the channel excludes,
// private ones and publishing need a token that selects the topic. Its tokens have no
// patterns but topic selectors, and are good for such requests only.
//
// The check "ask" is the backend's word (package ask), which comes last, so that Peal asks
// about nothing that it refuses anyway: it takes away, and grants nothing. Decide does
// not wait for it. It returns ErrAsk, and the same request is decided again with the answer;
// the check "rate" is left out then. Only presence, which takes room, comes behind it.
//
// The check "rate" ([Pace]) comes after all that would refuse the request anyway, and
// before presence takes room for it. Only a message that is too large is counted
// though it is refused.
//
// The fan-out asks nothing: a delivery costs the same whatever is checked here.
//
// A Gate is a value that is copied to the goroutines that need it; its tables are
// shared. Decide keeps nothing, and allocates only to refuse.
package permit
