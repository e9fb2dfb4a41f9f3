package names

import (
	"strings"

	"peal/loop/frame"
	"peal/server/pattern"
	"peal/server/refusal"
)

// UserPrefix begins the name of the channel of one user: $user: and the sub of the
// user's tokens. Only that user and backends may read it.
const UserPrefix = "$user:"

var userPrefix = []byte(UserPrefix)

// Me is how a user names the channel of its own.
const Me = "$me"

// MaxUser is the length of the longest sub, so that UserPrefix and it are a name.
const MaxUser = MaxBytes - len(UserPrefix)

// IsUser reports whether text may be the sub of a user: 1 to MaxUser bytes of the
// characters of channel names.
func IsUser(text []byte) bool {
	return len(text) > 0 && len(text) <= MaxUser && pattern.IsPrintable(text)
}

// User is the user whose channel it is, "" if it is that of none.
func (n *Name) User() string {
	user, ok := strings.CutPrefix(n.Text(), UserPrefix)
	if !ok {
		return ""
	}
	return user
}

var errUser = &refusal.Error{Status: 400, Code: "bad_user", Message: "user is the sub of a user's tokens, 1 to 194 bytes of the characters of channel names, percent-encoded in URLs"}

// ErrMe refuses Me of a client without a token.
var ErrMe = &refusal.Error{Status: 401, Code: "token_missing", Message: "$me is the channel of the user whose token the request has: send a token", Close: frame.CloseUnauthorized}
