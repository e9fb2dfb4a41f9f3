package httpapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/grant"
	"peal/server/httpapi"
	"peal/server/identity"
	"peal/server/log"
	"peal/server/mercure"
	"peal/server/rules"
)

const hubPath = "/.well-known/mercure"

// newHub is a Front with tokens for Mercure: p.u.b publishes on books and news, s.u.b
// reads the private updates of books. Without a token public updates are for all.
func newHub(t *testing.T, change func(m *identity.Mercure), more ...func(d *httpapi.Deps)) *guarded {
	t.Helper()
	selectors := func(list ...string) grant.Selectors {
		s, err := mercure.Compile(list)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	token := func(text string, scope *grant.Scope) *fakeTokens {
		return &fakeTokens{cached: map[string]bool{}, dropped: make(chan struct{}, 100), grants: map[string]*grant.Grant{
			text: {Kind: grant.User, Topics: true, Scope: scope},
		}}
	}
	m := &identity.Mercure{
		Publishers:  token("p.u.b", grant.NewTopicScope(nil, selectors("https://a/books/{id}", "news"))),
		Subscribers: token("s.u.b", grant.NewTopicScope(selectors("https://a/books/{id}"), nil)),
		Anonymous:   true, Templates: true, Cookie: "mercureAuthorization", Query: true,
	}
	if change != nil {
		change(m)
	}
	return newGuarded(t, func(d *httpapi.Deps) {
		d.Mercure = m
		d.Rules = rules.New([]rules.Rule{{Match: "closed", Subscribe: rules.Token}, {Match: "backends", Subscribe: rules.Backend, Publish: rules.Backend}, {Match: "news", ClientPublish: rules.No}},
			rules.Rule{Subscribe: rules.Token, Publish: rules.Token})
		for _, set := range more {
			set(d)
		}
	})
}

// channelsOf are those that a request subscribes to, or its outcome.
func (g *guarded) channelsOf(in string) string {
	g.t.Helper()
	if c := g.ask(in); c.Verdict == loop.Stream {
		return strings.Join(c.Sub.Channels, " ")
	}
	return g.outcome(in)
}

func TestMercureSubscribes(t *testing.T) {
	g := newHub(t, nil)
	const bearer = "Authorization: Bearer "
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		query string
		line  string
		want  string
	}{
		{"topic=news", "", "news"},
		{"topic=news&topic=b&topic=news", "", "b news"},
		{"topic[]=news&topic[1]=b", "", "b news"},
		{"topic=https%3A%2F%2Fa%2Fbooks%2F1", "", "https://a/books/1"},
		{"topic=https%3A%2F%2Fa%2Fbooks%2F1", bearer + "s.u.b", "$private:https://a/books/1 https://a/books/1"},
		{"topic=https://a/books/1&topic=news", bearer + "s.u.b", "$private:https://a/books/1 https://a/books/1 news"},
		{"topic=https://a/books/1&authorization=s.u.b", "", "$private:https://a/books/1 https://a/books/1"},
		{"topic=https://a/books/1&authorization=b.a.d", "", "401 token_invalid"},
		{"topic=https://a/books/1&authorization=b.a.d", bearer + "s.u.b", "$private:https://a/books/1 https://a/books/1"}, // the header goes first
		{"topic=https://a/books/1&authorization=s.u.b&authorization=o.t.h", "", "401 token_invalid"},
		{"topic=news", bearer + "b.a.d", "401 token_invalid"},
		{"topic=news", "Authorization: Basic eDp5", "401 token_invalid"},
		{"topic=https://a/books/1", bearer + "p.u.b", "401 token_invalid"}, // a token of publishers
		{"topic=https://a/books/1", bearer + "t.o.k", "401 token_invalid"}, // one of Peal
		{"topic=https://a/books/1", bearer + "peal_good", "$private:https://a/books/1 https://a/books/1"},
		{"topic=news&authorization=peal_good", "", "401 key_misplaced"},
		{"topic=https://a/books/1", "Cookie: mercureAuthorization=s.u.b\r\nOrigin: http://localhost:3000", "$private:https://a/books/1 https://a/books/1"},
		{"topic=https://a/books/1", "Cookie: mercureAuthorization=s.u.b\r\nReferer: http://localhost/page", "$private:https://a/books/1 https://a/books/1"},
		{"topic=https://a/books/1", "Cookie: mercureAuthorization=s.u.b", "https://a/books/1"}, // neither Origin nor Referer
		{"topic=https://a/books/1", "Cookie: mercureAuthorization=s.u.b\r\nReferer: http://evil.example/", "https://a/books/1"},
		{"topic=https://a/books/1", "Cookie: peal_token=s.u.b\r\nOrigin: http://localhost:3000", "https://a/books/1"},
		{"topic=https://a/books/1&authorization=s.u.b", "Cookie: mercureAuthorization=b.a.d\r\nOrigin: http://localhost:3000", "$private:https://a/books/1 https://a/books/1"}, // nor does the cookie count beside the URL
		{"topic=" + long, "", long},
		{"topic=" + long + "x", "", "400 bad_topic"},
		{"topic=", "", "400 bad_topic"},
		{"topic=a%0Ab", "", "400 bad_topic"},
		{"topic=%FF", "", "400 bad_topic"},
		{"", "", "400 bad_topic"},
		{"channel=news", "", "400 bad_topic"},
		{"topic=%24private:news", bearer + "s.u.b", "403 reserved_channel"},
		{"topic=%24me", "", "403 reserved_channel"},
		{"topic=%24user:42", "", "403 reserved_channel"},
		{"topic=https://a/books/{id}", "", "$like:https://a/books/{id}"},
		{"topic=https://a/books/{id}", bearer + "s.u.b", "$like-private:https://a/books/{id} $like:https://a/books/{id}"},
		{"topic=https://a/{%2Bx}", bearer + "s.u.b", "$like-private:https://a/{+x} https://a/books/{id} $like:https://a/{+x}"},
		{"topic=https://b/{x}&topic=https://a/books/1", bearer + "s.u.b", "$like:https://b/{x} $private:https://a/books/1 https://a/books/1"},
		{"topic=*", bearer + "s.u.b", "$like-private:https://a/books/{id} $like:*"},
		{"topic=*", "", "$like:*"},
		{"topic=*", bearer + "peal_good", "$like-private:* $like:*"},
		{"topic=*&topic=news", "", "$like:* news"},
		{"topic=a{", "", "400 bad_topic"},
		{"topic={a%0A}", "", "400 bad_topic"},
		{"topic=" + strings.Repeat("{a}", 17), "", "400 bad_topic"},
		{"topic=$like:*", bearer + "s.u.b", "403 reserved_channel"},
		{"topic=$like-private:{x}", bearer + "s.u.b", "$like:$like-private:{x}"}, // matches no channel of the server
		{"match=news&match_exact=b", "", "b news"},
		{"match=https://a/books/1", bearer + "s.u.b", "$private:https://a/books/1 https://a/books/1"},
		{"match=a{x}", "", "a{x}"}, // no template
		{"match=*", "", "$like:*"},
		{"match=", "", "400 bad_topic"},
		{"match=%24private:news", bearer + "s.u.b", "403 reserved_channel"},
		{"match_urlpattern=https://a/:id", "", "400 bad_topic"},
		{"match=news&match_regexp=x", "", "400 bad_topic"},
		{"topic=news&Match=x", "", "400 bad_topic"},
		{"topic=news&mat=x&xmatch=y", "", "news"},
		{"topic=https://a/books/1", "Cookie: __Secure-mercure_access_token=s.u.b\r\nOrigin: http://localhost:3000", "$private:https://a/books/1 https://a/books/1"},
		{"topic=https://a/books/1", "Cookie: __Secure-mercure_access_token=s.u.b", "https://a/books/1"},
		{"topic=closed", "", "401 token_missing"},
		{"topic=closed", bearer + "s.u.b", "403 not_allowed"},
		{"topic=backends", bearer + "s.u.b", "403 backend_only"},
		{"topic=backends", bearer + "peal_good", "$private:backends backends"},
	} {
		if got := g.channelsOf(with(hubPath+"?"+c.query, c.line)); got != c.want {
			t.Errorf("%.60s %s: %q, want %q", c.query, c.line, got, c.want)
		}
	}
}

func TestMercureWithoutAnonymousCookieAndQuery(t *testing.T) {
	g := newHub(t, func(m *identity.Mercure) { m.Anonymous, m.Templates, m.Cookie, m.Query = false, false, "", false })
	for _, c := range []struct{ query, line, want string }{
		{"topic=news", "", "401 token_missing"},
		{"topic=news", "Authorization: Bearer s.u.b", "news"},
		{"topic=news", "Cookie: mercureAuthorization=s.u.b\r\nOrigin: http://localhost:3000", "401 token_missing"},
		{"topic=news&authorization=s.u.b", "", "401 token_misplaced"},
		{"topic={x}", "Authorization: Bearer s.u.b", "400 bad_topic"},
	} {
		if got := g.channelsOf(with(hubPath+"?"+c.query, c.line)); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.query, c.line, got, c.want)
		}
	}
}

func TestMercureIsOffWithoutItsSettings(t *testing.T) {
	g := newGuarded(t, nil)
	for _, in := range []string{with(hubPath+"?topic=a", "Authorization: Bearer t.o.k"), post(hubPath, "topic=a&data=b", "Content-Type: application/x-www-form-urlencoded\r\n")} {
		if got := g.outcome(in); got != "404 not_found" {
			t.Errorf("%.40q: %s", in, got)
		}
	}
	g = newHub(t, func(m *identity.Mercure) { m.Publishers = nil })
	if got := g.outcome(publishing("topic=news&data=b")); got != "401 token_invalid" {
		t.Errorf("without keys of publishers: %s", got)
	}
}

// A client that has missed something finds another id than its own. Everything up to 3 was
// dropped.
func TestMercureSaysWhichEventPrecedes(t *testing.T) {
	g := newHub(t, nil)
	g.log.head = 9
	for _, c := range []struct {
		query, line string
		want        string // Last-Event-ID of the response
		from        fanout.From
		sequence    uint64
	}{
		{"", "", "", fanout.Now, 0},
		{"", "Last-Event-ID: z-5", "z-5", fanout.After, 5},
		{"&lastEventID=z-5", "", "z-5", fanout.After, 5},
		{"&lastEventId=z-5", "", "z-5", fanout.After, 5},
		{"&last_event_id=z-5", "", "z-5", fanout.After, 5},
		{"&Last-Event-ID=z-5", "", "z-5", fanout.After, 5},
		{"&lastEventID=z-5&lastEventID=z-6", "", "z-6", fanout.After, 6}, // polyfills append
		{"&lastEventID=z-5", "Last-Event-ID: z-6", "z-6", fanout.After, 6},
		{"&lastEventID=", "Last-Event-ID: ", "", fanout.Now, 0},
		{"&lastEventID=z-2", "", "z-3", fanout.After, 2},
		{"&lastEventID=x-3", "", "x-3", fanout.After, 3}, // of the life before
		{"&lastEventID=earliest", "", "earliest", fanout.Earliest, 0},
		{"&lastEventID=urn:uuid:1", "", "earliest", fanout.Foreign, 0},
		{"&lastEventID=z-10", "", "earliest", fanout.Foreign, 0},
		{"&lastEventID=a%0D%0Ab:c", "", "earliest", fanout.Foreign, 0},
	} {
		call := g.ask(with(hubPath+"?topic=news"+c.query, c.line))
		if call.Verdict != loop.Stream {
			t.Errorf("%s: %s", c.query, call.Out)
			continue
		}
		resp, _ := readAnswer(t, "GET /", call.Out)
		if got := resp.Header.Get("Last-Event-ID"); got != c.want || call.Sub.From != c.from || call.Sub.Sequence != c.sequence {
			t.Errorf("%s %s: %q from %v %d, want %q %v %d", c.query, c.line, got, call.Sub.From, call.Sub.Sequence, c.want, c.from, c.sequence)
		}
		if got := resp.Header.Get("Link"); got != `</.well-known/mercure>; rel="mercure"` || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: Link %q", c.query, got)
		}
	}
	resp, _ := g.answer("HEAD " + hubPath + "?topic=news HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp.StatusCode != 200 || resp.Header.Get("Link") == "" {
		t.Errorf("HEAD: %v", resp)
	}
}

func TestMercureStreamEndsWithItsToken(t *testing.T) {
	g := newHub(t, func(m *identity.Mercure) {
		m.Subscribers.(*fakeTokens).grants["s.u.b"].Expires = time.Now().Add(time.Minute).Unix()
	})
	c := g.ask(with(hubPath+"?topic=news", "Authorization: Bearer s.u.b"))
	if d := c.Sub.Deadline; d <= 50*time.Second || d > time.Minute {
		t.Errorf("deadline %v", d)
	}
}

// publishing is the request of a publisher with that form.
func publishing(form string) string {
	return post(hubPath, form, "Content-Type: application/x-www-form-urlencoded\r\n", "Authorization: Bearer p.u.b\r\n")
}

// entry is what was appended since the last call.
func (l *fakeLog) entry() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) != 1 {
		return fmt.Sprint(len(l.entries), " entries")
	}
	e := l.entries[0]
	l.entries = nil
	text := fmt.Sprintf("%s%q %q", e.Channel, e.Also, e.Data)
	if e.Event != "" {
		text += " type=" + e.Event
	}
	if e.Private {
		text += " private"
	}
	if e.IdempotencyKey != "" {
		text += " id=" + e.IdempotencyKey + " of " + e.Publisher
	}
	if retry, ok := e.Tags[log.RetryTag]; ok {
		text += " retry=" + retry
	}
	return text
}

func TestMercurePublishes(t *testing.T) {
	g := newHub(t, nil)
	sequence := 0
	for _, c := range []struct{ form, body, entry string }{
		{"topic=news&data=hello", "", `news[] "hello"`},
		{"topic=news", "", `news[] ""`},
		{"topic=https%3A%2F%2Fa%2Fbooks%2F1&topic=news&topic=news&data=a%0Ab", "", `https://a/books/1["news"] "a\nb"`},
		{"topic[]=news&topic[]=https://a/books/2&data=x", "", `news["https://a/books/2"] "x"`},
		{"topic=news&data=x&private=on", "", `$private:news[] "x" private`},
		{"topic=news&topic=https://a/books/1&data=x&private=", "", `$private:news["$private:https://a/books/1"] "x" private`},
		{"data=x&private=off&topic=news", "", `$private:news[] "x" private`}, // any value
		{"topic=news&data=x&type=goal&retry=1500", "", `news[] "x" type=goal retry=1500`},
		{"topic=news&data=x&id=urn%3Auuid%3A1", "urn:uuid:1", `news[] "x" id=urn:uuid:1 of $mercure`},
		{"topic=news&data=x&id=&type=&retry=&other=1", "", `news[] "x"`},
		{"topic=news&data=" + strings.Repeat("%41", 30000), "", `news[] "` + strings.Repeat("A", 30000) + `"`},
	} {
		call := g.ask(publishing(c.form))
		sequence++
		if call.Verdict != loop.Reply {
			t.Errorf("%.60s: %s", c.form, call.Out)
			continue
		}
		resp, body := readAnswer(t, "POST /", call.Out)
		if c.body == "" {
			c.body = fmt.Sprint("z-", sequence)
		}
		if got := g.log.entry(); got != c.entry || resp.StatusCode != 200 || body != c.body || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%.60s: %d %q %q %.200s\nwant %q %.200s", c.form, resp.StatusCode, body, resp.Header.Get("Content-Type"), got, c.body, c.entry)
		}
	}
}

// All subscribers share the bytes of an update: they name only the alternate topics that
// everybody may subscribe to.
func TestMercureShowsOpenAlternateTopics(t *testing.T) {
	for _, anonymous := range []bool{true, false} {
		g := newHub(t, func(m *identity.Mercure) { m.Anonymous = anonymous })
		for _, c := range []struct{ form, also, shown string }{
			{"topic=a&topic=closed&topic=b&topic=backends&topic=c", `["b" "c" "backends" "closed"]`, "2"},
			{"topic=closed&topic=b", `["b"]`, "1"},
			{"topic=a&topic=closed", `["closed"]`, ""},
			{"topic=a", `[]`, ""},
			{"topic=a&topic=b&private=on", `["$private:b"]`, ""},
		} {
			if !anonymous {
				c.shown = "" // auth token: nobody has the channels but by a grant
			}
			if got := g.outcome(post(hubPath, c.form+"&data=x", "Content-Type: application/x-www-form-urlencoded\r\n", "Authorization: Bearer peal_good\r\n")); got != "ok" {
				t.Errorf("%s: %s", c.form, got)
			}
			e := g.log.entries[0]
			g.log.take()
			also := fmt.Sprintf("%q", e.Also)
			if e.Tags[log.AlsoTag] != c.shown || anonymous && also != c.also {
				t.Errorf("anonymous %v, %s: also %s, shown %q", anonymous, c.form, also, e.Tags[log.AlsoTag])
			}
		}
	}
}

func TestMercureRefusesUpdates(t *testing.T) {
	g := newHub(t, nil)
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	for _, c := range []struct{ in, want string }{
		{post(hubPath, "topic=news&data=x", form), "401 token_missing"},
		{post(hubPath, "topic=news&data=x", form, "Authorization: Bearer s.u.b\r\n"), "401 token_invalid"},
		{post(hubPath, "topic=news&data=x", form, "Authorization: Bearer t.o.k\r\n"), "401 token_invalid"},
		{post(hubPath, "topic=news&data=x", form, "Cookie: mercureAuthorization=p.u.b\r\n"), "401 token_missing"},
		{post(hubPath, "topic=news&data=x", form, "Cookie: mercureAuthorization=p.u.b\r\nOrigin: http://evil.example\r\n"), "403 origin_not_allowed"},
		{post(hubPath, "topic=news&data=x", form, "Cookie: mercureAuthorization=p.u.b\r\nOrigin: http://localhost\r\n"), "ok"},
		{post(hubPath, "topic=news&data=x", form, "Authorization: Bearer peal_good\r\n"), "ok"},
		{post(hubPath, "topic=news&data=x", "Authorization: Bearer p.u.b\r\n"), "400 bad_form"},
		{post(hubPath, `{"topic":"news"}`, "Content-Type: application/json\r\nAuthorization: Bearer p.u.b\r\n"), "400 bad_form"},
		{publishing("topic=other&data=x"), "403 not_allowed"},
		{publishing("topic=news&topic=other&data=x"), "403 not_allowed"}, // all topics must be granted
		{publishing("topic=other&data=x&private=on"), "403 not_allowed"},
		{publishing("topic=backends&data=x"), "403 backend_only"},
		{publishing("data=x"), "400 bad_topic"},
		{publishing(""), "400 bad_topic"},
		{publishing("topic=&data=x"), "400 bad_topic"},
		{publishing("topic=" + strings.Repeat("x", 201)), "400 bad_topic"},
		{publishing("topic=%24private:news"), "403 reserved_channel"},
		{publishing("topic=/.well-known/mercure/subscriptions/a/b"), "403 reserved_channel"},
		{publishing("topic=news&data=x&data=y"), "400 contradiction"},
		{publishing("topic=news&id=%23x"), "400 bad_id"},
		{publishing("topic=news&id=earliest"), "400 bad_id"},
		{publishing("topic=news&id=a%0Ab"), "400 bad_id"},
		{publishing("topic=news&id=" + strings.Repeat("x", 201)), "400 bad_id"},
		{publishing("topic=news&retry=1.5"), "400 bad_field"},
		{publishing("topic=news&retry=1234567890"), "400 bad_field"},
		{publishing("topic=news&type=a%0Ab"), "400 bad_event"},
		{publishing("topic=news&type=peal.cursor"), "400 bad_event"},
		{publishing("topic=news&data=" + strings.Repeat("x", 64<<10+1)), "413 message_too_large"},
	} {
		if got := g.outcome(c.in); got != c.want {
			t.Errorf("%.200q: %q, want %q", c.in, got, c.want)
		}
	}
	g.log.take()
	if c := g.call(publishing("topic=news&data=" + strings.Repeat("x", 3*64<<10+8<<10))); c.Verdict != loop.ReplyClose || !strings.Contains(string(c.Out), "body_too_large") {
		t.Errorf("%d %.200s", c.Verdict, c.Out)
	}
}

// Whatever a form or a query has, nothing is published or subscribed to but topics that a
// client can name, and private channels only with private or a grant.
func FuzzMercure(f *testing.F) {
	f.Add("topic=news&data=a&private=on&id=1&retry=2&type=t", "s.u.b")
	f.Add("topic=https://a/books/1&topic[]=x&lastEventID=z-1&authorization=s.u.b", "")
	f.Add("topic={%2Bx}&topic=*&topic=https://a/books/{id}", "s.u.b")
	f.Add("topic=%24private:news&topic=$me&private", "p.u.b")
	f.Fuzz(func(t *testing.T, text, token string) {
		if len(text) > 4000 || strings.ContainsAny(text+token, " \r\n\t\x00#") {
			return
		}
		g := newHub(t, nil)
		c := g.ask(with(hubPath+"?"+text, "Authorization: Bearer "+url.QueryEscape(token)))
		if c.Verdict == loop.Stream {
			for _, name := range c.Sub.Channels {
				if strings.HasPrefix(name, "$like:") {
					continue
				}
				if selector, ok := strings.CutPrefix(name, "$like-private:"); ok {
					if _, granted, both := strings.Cut(selector, " "); both {
						selector = granted
					}
					if selector != "https://a/books/{id}" {
						t.Errorf("%q: subscribed to %q", text, name)
					}
					continue
				}
				topic, private := strings.CutPrefix(name, log.PrivatePrefix)
				if topic == "" || topic[0] == '$' || len(topic) > 200 || private && !strings.HasPrefix(topic, "https://a/books/") {
					t.Errorf("%q: subscribed to %q", text, name)
				}
			}
		}
		g.ask(publishing(text))
		for _, e := range g.log.entries {
			for _, name := range append(e.Also, e.Channel) {
				topic, private := strings.CutPrefix(name, log.PrivatePrefix)
				if private != e.Private || topic != "news" && !strings.HasPrefix(topic, "https://a/books/") {
					t.Errorf("%q: published on %q", text, name)
				}
			}
		}
	})
}
