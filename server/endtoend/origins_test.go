package endtoend_test

import (
	"fmt"
	"testing"

	"peal/server"
	"peal/server/rules"
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

// With tokens, browsers of visitors must not do anything for the pages of other sites.
// Browsers send their forms without a preflight, with the cookies of the server, and
// with what the site has put into the URL.
func TestFormsOfOtherSitesDoNothingWithTokens(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Auth, c.Token.Secrets = server.AuthToken, []string{userSecret}
		c.Origins = []string{"https://app.example", "https://*.example.org"}
		c.Channels = []rules.Rule{{Match: "open", Publish: rules.Anyone, Subscribe: rules.Anyone}}
	})
	own := userToken(t, "victim")
	cookie := "Cookie: peal_token=" + own + "\r\n"
	publish := func(channel string, lines ...string) answer {
		t.Helper()
		return p.dial().post("/publish", "channel="+channel+"&data=x", append(lines, "Content-Type: application/x-www-form-urlencoded\r\n")...)
	}
	for _, from := range []string{
		"Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n", "Origin: https://evil.example\r\n",
		"Origin: https://example.org\r\n", "Origin: null\r\nSec-Fetch-Site: cross-site\r\n", "Origin: null\r\n",
		"Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", "Sec-Fetch-Site: cross-site\r\nReferer: http://localhost/\r\n",
	} {
		for _, channel := range []string{"open", "closed"} {
			for _, with := range []string{"", cookie} {
				if a := publish(channel, from, with); a.status != 403 || a.header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%q on %s, cookie %v: %d %s %v", from, channel, with != "", a.status, a.body, a.header)
				}
			}
		}
		for _, target := range []string{"/publish/batch", "/disconnect?client=ann", "/revoke?sub=ann"} {
			if a := p.dial().post(target, "{}", from, cookie, "Content-Type: text/plain\r\n"); a.status != 403 {
				t.Errorf("%q to %s: %d %s", from, target, a.status, a.body)
			}
		}
	}
	// Pages of the list act for their users.
	for _, origin := range []string{"https://app.example", "https://a.b.example.org"} {
		a := publish("closed", "Origin: "+origin+"\r\nSec-Fetch-Site: cross-site\r\n", "Authorization: Bearer "+own+"\r\n")
		if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != origin || a.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: %d %s %v", origin, a.status, a.body, a.header)
		}
		w := p.dial().send("OPTIONS /publish HTTP/1.1\r\n" + hostLine + "Origin: " + origin + "\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n")
		if a := w.want("OPTIONS", 204); a.header.Get("Access-Control-Allow-Headers") != "authorization" || a.header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("preflight of %s: %v", origin, a.header)
		}
	}
	if a := publish("closed"); a.status != 401 {
		t.Errorf("a program without a token: %d", a.status)
	}
	if a := publish("open"); a.status != 200 {
		t.Errorf("a program where anyone may publish: %d", a.status)
	}
}
