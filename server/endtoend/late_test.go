package endtoend_test

import (
	"strings"
	"testing"
	"time"

	"peal/server"
)

// A client that does not send a whole request in time gets an error, on every route
// that reads a body. A connection that has sent nothing is idle, and stays.
func TestSlowRequestsAreRefusedInWords(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Loop.HeadTimeout, c.Loop.IdleTimeout = time.Second, time.Hour
	})
	silent := p.dial()
	var slow []*wire
	for _, path := range []string{"/publish?channel=a", "/publish", "/publish/batch", "/disconnect"} {
		for _, rest := range []string{
			"Content-Le",
			"Content-Length: 900\r\n\r\n",
			"Content-Length: 900\r\n\r\n" + strings.Repeat("x", 800),
			"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
		} {
			slow = append(slow, p.dial().send("POST "+path+" HTTP/1.1\r\n"+hostLine+rest))
		}
	}
	slow = append(slow, p.dial().send("GET /ws HTT"))
	for i, w := range slow {
		a := w.answer("POST")
		if a.status != 408 || !a.closing || !strings.Contains(string(a.body), `"code":"request_timeout"`) {
			t.Errorf("request %d: %d, closed %v, %s", i, a.status, a.closing, a.body)
		}
		w.ended("a late request")
	}
	silent.send(get("/channels")).want("GET", 200)
}
