package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/auth"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/log"
)

const devPage = "http://localhost:3000"

// withPolicy returns a harness with a Front of that policy, and its Encoder.
func (h *harness) withPolicy(p *auth.Policy) (*harness, *dialect.Encoder) {
	other := *h
	origins := httpapi.NewOrigins(p)
	other.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Policy: p, Origins: origins})
	e := httpapi.NewEncoder(table, log.NewLineage(epoch), func(int64) int64 { return 0 }, origins)
	return &other, e
}

// ways are requests of a page that end in each way in which a response is made.
var ways = map[string]string{
	"page":               get("/"),
	"script":             get("/peal.js"),
	"publish":            post("/publish?channel=a", "x"),
	"publish with a key": post("/publish?channel=a", "x", "Idempotency-Key: k\r\n"),
	"batch":              post("/publish/batch", `{"messages":[{"channel":"a","data":"x"}]}`),
	"disconnect":         post("/disconnect?client=ann", ""),
	"channels":           get("/channels"),
	"one channel":        get("/channels/a"),
	"history":            get("/channels/a/history"),
	"event stream":       get("/sse?channel=a"),
	"head of a stream":   "HEAD /sse?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"poll":               get("/poll?channel=a"),
	"raw poll":           get("/poll?channel=a&format=raw"),
	"bad parameter":      get("/poll?channel="),
	"bad body":           post("/publish", "{", asJSON),
	"not found":          get("/nothing"),
	"wrong method":       get("/publish"),
	"no upgrade":         get("/ws"),
	"too large":          "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n",
}

// ask sends in with further header lines, and returns the head of the response.
func ask(t *testing.T, h *harness, e *dialect.Encoder, in string, headers ...string) *http.Response {
	t.Helper()
	in = strings.Replace(in, "\r\n", "\r\n"+strings.Join(headers, ""), 1)
	c := h.call(in)
	out := c.Out
	switch c.Verdict {
	case loop.Later:
		out = h.door.wait(t)
	case loop.Park:
		out = e.AppendAnswer(nil, c.Sub.Encoding, fanout.Answer{Sequence: 1, HeadOnly: c.Sub.HeadOnly, Origin: c.Sub.Origin})
	case loop.Stream:
		out = c.Out
	}
	resp, _ := readAnswer(t, in, out)
	return resp
}

func TestTrustedPagesMayReadWithCookies(t *testing.T) {
	for name, p := range map[string]*auth.Policy{
		"closed": {Origins: []string{"https://app.example"}}, "open": {Open: true, Origins: []string{"https://app.example"}},
	} {
		h, e := newHarness(t).withPolicy(p)
		for _, origin := range []string{devPage, "http://127.0.0.1:8080", "https://app.example"} {
			for way, in := range ways {
				resp := ask(t, h, e, in, "Origin: "+origin+"\r\nCookie: s=1\r\n")
				if resp.Header.Get("Access-Control-Allow-Origin") != origin || resp.Header.Get("Access-Control-Allow-Credentials") != "true" ||
					!strings.Contains(strings.Join(resp.Header.Values("Vary"), ","), "Origin") {
					t.Errorf("%s, %s, %s: %v", name, way, origin, resp.Header)
				}
				for _, shown := range []string{"Peal-Cursor", "Peal-Event", "Peal-Gap", "Peal-Session", "Last-Event-ID", "Idempotency-Replayed", "Retry-After"} {
					if !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), shown) {
						t.Errorf("%s, %s: pages are not shown %s", name, way, shown)
					}
				}
			}
		}
	}
}

func TestOtherPagesMayReadWithoutCookiesOnAnOpenServerOnly(t *testing.T) {
	open, e := newHarness(t).withPolicy(&auth.Policy{Open: true, Origins: []string{"https://app.example"}})
	closed, e2 := newHarness(t).withPolicy(&auth.Policy{Origins: []string{"https://app.example"}})
	for _, origin := range []string{"https://evil.example", "https://app.example.evil.example", "http://app.example", "null"} {
		for way, in := range ways {
			resp := ask(t, open, e, in, "Origin: "+origin+"\r\n")
			if resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Access-Control-Allow-Credentials") != "" || resp.Header.Get("Vary") != "Origin" {
				t.Errorf("open, %s: %v", way, resp.Header)
			}
			resp = ask(t, closed, e2, in, "Origin: "+origin+"\r\n")
			if resp.StatusCode != 403 || resp.Header.Get("Vary") != "Origin" {
				t.Errorf("closed, %s: %d %v", way, resp.StatusCode, resp.Header)
			}
			noCORS(t, "refused: "+way, resp)
		}
	}
	for way, in := range ways { // who is no page of another origin needs none
		resp := ask(t, closed, e2, in)
		noCORS(t, way, resp)
		if resp.Header.Get("Vary") != "Origin" {
			t.Errorf("%s without an Origin: %v, but a cache would give it to pages", way, resp.Header)
		}
	}
}

func noCORS(t *testing.T, what string, resp *http.Response) {
	t.Helper()
	for name := range resp.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %s: %s", what, name, resp.Header.Get(name))
		}
	}
}

func preflight(target, origin, headers string) string {
	in := "OPTIONS " + target + " HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: POST\r\n"
	if origin != "" {
		in += "Origin: " + origin + "\r\n"
	}
	return in + headers + "\r\n"
}

func TestPreflightAllowsWhatPagesSend(t *testing.T) {
	h := newHarness(t)
	for _, target := range []string{"/publish", "/sse", "/poll", "/channels/a", "*"} {
		for _, asked := range []string{"content-type", "x-requested-with", "content-type,traceparent, cache-control", "x-csrf-token,authorization,x-a_b~c"} {
			resp, _ := h.answer(preflight(target, devPage, "Access-Control-Request-Headers: "+asked+"\r\n"))
			if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Headers") != asked || resp.Header.Get("Access-Control-Allow-Origin") != devPage ||
				resp.Header.Get("Access-Control-Allow-Credentials") != "true" || resp.Header.Get("Access-Control-Max-Age") == "" || resp.Header.Get("Access-Control-Allow-Methods") == "" ||
				!strings.Contains(strings.Join(resp.Header.Values("Vary"), ", "), "Access-Control-Request-Headers") || resp.ContentLength > 0 {
				t.Errorf("%s, %s: %d %v", target, asked, resp.StatusCode, resp.Header)
			}
		}
	}
	for name, headers := range map[string]string{
		"none": "", "not names": "Access-Control-Request-Headers: a:b\r\n", "in quotes": "Access-Control-Request-Headers: \"a\"\r\n",
		"beyond ASCII": "Access-Control-Request-Headers: \xe9\r\n", "too many": "Access-Control-Request-Headers: " + strings.Repeat("abcdefg,", 300) + "\r\n",
	} {
		resp, _ := h.answer(preflight("/publish", devPage, headers))
		if got := resp.Header.Get("Access-Control-Allow-Headers"); got != "Authorization, Content-Type, Idempotency-Key, Last-Event-ID" {
			t.Errorf("%s: %.80s", name, got)
		}
	}
	resp, _ := h.answer(preflight("/publish", "https://evil.example", "Access-Control-Request-Headers: content-type\r\n"))
	if noCORS(t, "foreign", resp); resp.StatusCode != 403 {
		t.Errorf("foreign: %d", resp.StatusCode)
	}
	resp, _ = h.answer(preflight("/publish", "", ""))
	if noCORS(t, "no origin", resp); resp.StatusCode != 204 || resp.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("no origin: %d %v", resp.StatusCode, resp.Header)
	}
}

// Beyond the table's room polls are answered as if they were not trusted, and all
// other requests are not affected, nor are origins that are listed by name.
func TestOriginsAreBounded(t *testing.T) {
	h, e := newHarness(t).withPolicy(&auth.Policy{Origins: []string{"https://app.example", "https://*.example.org"}})
	last := uint16(0)
	for i := range 5000 {
		c := h.call("GET /poll HTTP/1.1\r\nHost: localhost\r\nOrigin: " + fmt.Sprintf("http://n%d.localhost", i) + "\r\n\r\n")
		last = max(last, c.Sub.Origin)
	}
	if last != 4097 {
		t.Errorf("the highest number is %d, want 4097: 4096 origins behind two numbers of other meaning", last)
	}
	for origin, want := range map[string]string{
		"http://n0.localhost": "http://n0.localhost", "https://app.example": "https://app.example", "https://a.example.org": "*", "http://n4999.localhost": "*", "http://" + strings.Repeat("a", 300) + ".localhost": "*",
	} {
		if resp := ask(t, h, e, get("/poll"), "Origin: "+origin+"\r\n"); resp.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("%.30s: %v, want %s", origin, resp.Header, want)
		}
	}
	for way, in := range ways {
		if strings.HasSuffix(way, "poll") {
			continue
		}
		if resp := ask(t, h, e, in, "Origin: https://a.example.org\r\n"); resp.Header.Get("Access-Control-Allow-Origin") != "https://a.example.org" || resp.Header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: %v", way, resp.Header)
		}
	}
}

// A page with an origin of null is one of any site: if it is listed, it may read
// without cookies.
func TestNullReadsWithoutCookiesIfListed(t *testing.T) {
	for name, p := range map[string]*auth.Policy{
		"closed": {Origins: []string{"null"}}, "open": {Open: true, Origins: []string{"null"}}, "any host": {AnyHost: true, Origins: []string{"null"}},
	} {
		h, e := newHarness(t).withPolicy(p)
		for way, in := range ways {
			resp := ask(t, h, e, in, "Origin: null\r\nCookie: s=1\r\n")
			if resp.StatusCode == 403 || resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s, %s: %d %v", name, way, resp.StatusCode, resp.Header)
			}
		}
	}
}

// Browsers send forms of any site without a preflight. Nothing of them may happen,
// on no path that has an effect.
func TestFormsOfOtherSitesHaveNoEffect(t *testing.T) {
	forms := map[string]string{
		"text/plain":                        `{"channel":"a","data":"x","messages":[{"channel":"a","data":"x"}],"client":"ann"}`,
		"application/x-www-form-urlencoded": "channel=a&data=x&client=ann",
		"multipart/form-data; boundary=b":   "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nx\r\n--b--\r\n",
	}
	site := func(value string) string { return "Sec-Fetch-Site: " + value + "\r\n" }
	sources := map[string]string{ // header lines: the error
		"Origin: https://evil.example\r\n" + site("cross-site"): "origin_not_allowed",
		"Origin: https://evil.example\r\n":                      "origin_not_allowed",
		"Origin: null\r\n" + site("cross-site"):                 "origin_not_allowed",
		"Origin: null\r\n" + site("same-origin"):                "origin_not_allowed",
		"Origin: null\r\n":                                      "origin_not_allowed",
		site("cross-site"):                                      "cross_site",
		site("same-site"):                                       "cross_site",
		"Cookie: s=1\r\n" + site("cross-site"):                  "cross_site",
	}
	for name, p := range map[string]*auth.Policy{
		"closed": {Origins: []string{"https://app.example"}}, "any host": {AnyHost: true, Origins: []string{"https://app.example"}}, "open": {Open: true},
	} {
		h, e := newHarness(t).withPolicy(p)
		for _, target := range []string{"/publish?channel=a", "/publish", "/publish/batch", "/disconnect?client=ann", "/disconnect"} {
			for media, body := range forms {
				in := post(target, body, "Content-Type: "+media+"\r\n")
				for lines, want := range sources {
					if name == "open" && want == "origin_not_allowed" {
						continue // pages of any origin may use it
					}
					resp := ask(t, h, e, in, lines)
					if resp.StatusCode != 403 {
						t.Errorf("%s: %s, %s with %q: %d, want 403 %s", name, target, media, lines, resp.StatusCode, want)
					}
					noCORS(t, lines, resp)
				}
			}
		}
		if published := h.log.take(); published != "" {
			t.Errorf("%s: published: %s", name, published)
		}
		for _, lines := range []string{"", site("same-origin"), site("none"), "Origin: http://localhost:3000\r\n" + site("cross-site")} {
			if resp := ask(t, h, e, post("/publish?channel=a", "x"), lines); resp.StatusCode != 200 {
				t.Errorf("%s: publish with %q: %d", name, lines, resp.StatusCode)
			}
		}
	}
}

// A preflight has no token: browsers add Authorization to the request that follows.
func TestPreflightAllowsAuthorization(t *testing.T) {
	for name, p := range map[string]*auth.Policy{
		"closed": {Origins: []string{"https://app.example", "https://*.example.org"}}, "any host": {AnyHost: true, Origins: []string{"https://app.example", "https://*.example.org"}}, "open": {Open: true},
	} {
		h, _ := newHarness(t).withPolicy(p)
		for _, origin := range []string{"https://app.example", "https://a.b.example.org"} {
			for _, target := range []string{"/publish", "/publish/batch", "/poll", "/sse", "/channels/a/history", "/disconnect"} {
				resp, _ := h.answer(preflight(target, origin, "Access-Control-Request-Headers: authorization\r\n"))
				if allowed := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Headers") != "authorization" || allowed != origin && (name != "open" || allowed != "*") {
					t.Errorf("%s, %s, %s: %d %v", name, origin, target, resp.StatusCode, resp.Header)
				}
			}
		}
		resp, _ := h.answer(preflight("/publish", "https://example.org", "Access-Control-Request-Headers: authorization\r\n"))
		if refused := resp.StatusCode == 403; refused == (name == "open") {
			t.Errorf("%s: the bare domain of a wildcard: %d", name, resp.StatusCode)
		}
	}
}

// An image of another site is a request without an Origin: it must not have
// anybody listed, nor have presence watched. The page itself may be linked to.
func TestPagesOfOtherSitesCreateNoPresence(t *testing.T) {
	site := func(value string) string { return "Sec-Fetch-Site: " + value + "\r\n" }
	for name, p := range map[string]*auth.Policy{"closed": {}, "open": {Open: true}} {
		h, e := newHarness(t).withPolicy(p)
		for _, in := range []string{
			get("/sse?channel=a&client=ann"), get("/poll?channel=a&client=ann"), get("/poll?channel=a&presence=1"), get("/sse?channel=a&presence=1"),
			"HEAD /poll?channel=a&client=ann HTTP/1.1\r\nHost: localhost\r\n\r\n",
		} {
			for _, from := range []string{"cross-site", "same-site"} {
				if resp := ask(t, h, e, in, site(from)); resp.StatusCode != 403 {
					t.Errorf("%s, %s: %q: %d", name, from, in, resp.StatusCode)
				}
			}
			if strings.Contains(in, "presence=1") {
				continue // there is no table of presence here to watch
			}
			for _, ours := range []string{"", site("same-origin"), site("none"), site("cross-site") + "Origin: " + devPage + "\r\n", site("same-site") + "Origin: " + devPage + "\r\n"} {
				if resp := ask(t, h, e, in, ours); resp.StatusCode != 200 {
					t.Errorf("%s: %q with %q: %d", name, in, ours, resp.StatusCode)
				}
			}
		}
		in := strings.Replace(upgrade("/ws?channel=a&client=ann", version13), "\r\n\r\n", "\r\n"+site("cross-site")+"\r\n", 1)
		if code, _ := refused(t, h, in); code != "cross_site" {
			t.Errorf("%s: WebSocket: %s", name, code)
		}
		for _, in := range []string{get("/"), get("/?utm_source=x"), get("/peal.js"), get("/sse?channel=a"), get("/poll?channel=a")} {
			if resp := ask(t, h, e, in, site("cross-site")); resp.StatusCode != 200 {
				t.Errorf("%s: %q from another site: %d", name, in, resp.StatusCode)
			}
		}
	}
}
