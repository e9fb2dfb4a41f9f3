package endtoend_test

import (
	"fmt"
	"testing"

	"peal/server"
)

// Polls at one position share a response, but not with pages of another origin: the
// response permits each origin to read, with cookies or without.
func TestPollsOfSeveralOriginsAreAnsweredEachForItsOwn(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.Open, c.Origins = true, []string{"https://app.example"} })
	origins := []string{"", "http://localhost:3000", "https://app.example", "https://other.example"}
	var polls []*wire
	for i := range 12 {
		line := ""
		if o := origins[i%len(origins)]; o != "" {
			line = "Origin: " + o + "\r\n"
		}
		polls = append(polls, p.dial().send(fmt.Sprintf("GET /poll?channel=a HTTP/1.1\r\n%s%s\r\n", hostLine, line)))
	}
	p.awaitSubscribers("a", len(polls))
	p.publish("a", "x")
	for i, w := range polls {
		a, origin := w.want("GET", 200), origins[i%len(origins)]
		allowed, credentials := origin, "true"
		switch origin {
		case "":
			credentials = ""
		case "https://other.example":
			allowed, credentials = "*", ""
		}
		if a.header.Get("Access-Control-Allow-Origin") != allowed || a.header.Get("Access-Control-Allow-Credentials") != credentials || a.header.Get("Vary") != "Origin" {
			t.Errorf("poll of %q: %v", origin, a.header)
		}
	}
}
