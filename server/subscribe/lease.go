package subscribe

import (
	"math/rand/v2"
	"time"

	"peal/server/grant"
)

// A client is warned between leastWarning and mostWarning before its token expires. The
// time is chosen at random, so that clients that connected together do not come for
// new tokens together.
const (
	leastWarning = 10 * time.Second
	mostWarning  = 30 * time.Second
)

// lease is how long a connection may go on with what it has proven, at the moment now;
// 0 for ever. If the client can be warned, it is the time until it is to be warned.
func lease(g *grant.Grant, now time.Time, warned bool) time.Duration {
	if g == nil || g.Expires == 0 {
		return 0
	}
	left := max(time.Unix(g.Expires, 0).Sub(now), time.Millisecond)
	if !warned {
		return left
	}
	ahead := leastWarning + rand.N(mostWarning-leastWarning)
	return max(left-ahead, left/2) // a token that is valid for a short time only is warned about halfway
}
