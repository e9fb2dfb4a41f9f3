package rest

import (
	"bytes"
	"strings"

	"peal/server/app"
	"peal/server/refusal"
)

// Wish is the numbers of channels that a request asks for with info.
type Wish uint8

const (
	UserCount Wish = 1 << iota
	SubscriptionCount
)

// ParseWish reads the value of info, empty for no wish.
func ParseWish(text []byte) (w Wish, err *refusal.Error) {
	if len(text) == 0 {
		return 0, nil
	}
	for word := range bytes.SplitSeq(text, []byte{','}) {
		switch string(bytes.TrimSpace(word)) {
		case "user_count":
			w |= UserCount
		case "subscription_count":
			w |= SubscriptionCount
		default:
			return 0, errInfo
		}
	}
	return w, nil
}

// Check finds out whether the numbers of the channel of that name, or of all whose
// names begin so, may be asked for.
func (w Wish) Check(name string) *refusal.Error {
	if w&UserCount != 0 && !strings.HasPrefix(name, app.Presence) {
		return errUserCount
	}
	return nil
}
