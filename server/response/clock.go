package response

import (
	"sync/atomic"
	"time"
)

// dateFormat is IMF-fixdate (RFC 9110 §5.6.7).
const dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// Clock gives the Date header (RFC 9110 §6.6.1), formatted once a second. Any
// goroutine may use it.
type Clock struct {
	last atomic.Pointer[stamp] // immutable once stored
}

type stamp struct {
	second int64
	text   string
}

// Date is the value of the header now.
func (c *Clock) Date() string {
	now := time.Now()
	s := c.last.Load()
	if s == nil || s.second != now.Unix() {
		s = &stamp{now.Unix(), now.UTC().Format(dateFormat)}
		c.last.Store(s)
	}
	return s.text
}
