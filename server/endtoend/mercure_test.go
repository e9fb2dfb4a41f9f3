package endtoend_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/app"
	"peal/server/rules"
)

// The secrets of publishers and subscribers.
const (
	publisherSecret  = "!the-secret-of-publishers-of-mercure!"
	subscriberSecret = "!the-secret-of-subscribers-of-mercure!"
)

const hubPath = "/.well-known/mercure"

// hub is a server with Mercure.
type hub struct {
	*peal
	publisher string // a token for all topics
}

func startHub(t testing.TB, set func(*server.Config)) *hub {
	t.Helper()
	p := startWith(t, func(c *server.Config) {
		c.Mercure.Publisher.Secrets, c.Mercure.Subscriber.Secrets = []string{publisherSecret}, []string{subscriberSecret}
		c.Mercure.Anonymous = true
		if set != nil {
			set(c)
		}
	})
	return &hub{p, jwt(publisherSecret, `"mercure":{"publish":["*"]}`)}
}

// reader is a token that reads the private updates of topics.
func reader(topics ...string) string {
	list, _ := json.Marshal(topics) // never fails
	return jwt(subscriberSecret, `"mercure":{"subscribe":`+string(list)+`}`)
}

// update publishes fields and values, and returns the id in the response.
func (h *hub) update(fields ...string) (id string) {
	h.t.Helper()
	form := url.Values{}
	for pair := range slices.Chunk(fields, 2) {
		form.Add(pair[0], pair[1])
	}
	a := h.do("POST", hubPath, form.Encode(), "Content-Type: application/x-www-form-urlencoded", "Authorization: Bearer "+h.publisher)
	if a.status != 200 || len(a.body) == 0 {
		h.t.Fatalf("publish %q: %d %s", fields, a.status, a.body)
	}
	return string(a.body)
}

// updates subscribes to topics.
func (h *hub) updates(token string, topics ...string) *eventStream {
	h.t.Helper()
	var header []string
	if token != "" {
		header = []string{"Authorization: Bearer " + token}
	}
	s := h.eventsAt(hubPath+"?"+url.Values{"topic": topics}.Encode(), header...)
	return s.opened()
}

// heard reads the next update.
func (s *eventStream) heard(t *testing.T, what, data string) event {
	t.Helper()
	e := s.next()
	if e.data != data {
		t.Fatalf("%s: received %+v, want %q", what, e, data)
	}
	return e
}

func TestMercureUpdatesWithAlternateTopicsArriveOnce(t *testing.T) {
	h := startHub(t, nil)
	both := h.updates(reader("https://a/books/{id}"), "https://a/books/1", "https://a/users/7", "news")
	one := h.updates("", "https://a/users/7")
	history := h.eventsAt("/sse?channel=news").opened() // another dialect reads the same log
	first := h.update("topic", "https://a/books/1", "topic", "https://a/users/7", "topic", "news", "data", "one\nline", "type", "goal", "retry", "1234")
	h.update("topic", "https://a/books/1", "topic", "https://a/books/2", "topic", "https://a/users/7", "data", "private", "private", "on")
	h.update("topic", "news", "topic", "https://a/users/7", "data", "last")
	if e := both.heard(t, "both", "one\nline"); e.name != "goal" || e.id != first {
		t.Errorf("%+v, want the id %s", e, first)
	}
	both.heard(t, "both", "private")
	last := both.heard(t, "both", "last").id
	one.heard(t, "one topic", "one\nline")
	one.heard(t, "one topic", "last")
	history.heard(t, "sse", "one\nline")
	history.heard(t, "sse", "last")

	// A client that comes back has what it missed, once.
	again := h.eventsAt(hubPath+"?topic=https://a/books/1&topic=news&topic=https://a/users/7", "Last-Event-ID: "+first, "Authorization: Bearer "+reader("https://a/books/1"))
	again.heard(t, "again", "private")
	again.heard(t, "again", "last")
	// From the beginning, without a grant.
	all := h.eventsAt(hubPath + "?topic=https://a/books/1&topic=https://a/users/7&lastEventID=earliest")
	all.opened()
	all.heard(t, "all", "one\nline")
	all.heard(t, "all", "last")
	if id := h.update("topic", "news", "data", "end"); id == last {
		t.Errorf("the id %s again", id)
	}
	again.heard(t, "again", "end")
}

func TestMercureIDsOfPublishersAreIdempotencyKeys(t *testing.T) {
	h := startHub(t, nil)
	s := h.updates("", "news")
	for range 2 {
		if id := h.update("topic", "news", "data", "once", "id", "urn:uuid:5e94c686"); id != "urn:uuid:5e94c686" {
			t.Errorf("the response is %q", id)
		}
	}
	next := h.update("topic", "news", "data", "next")
	if e := s.heard(t, "one", "once"); e.id == "urn:uuid:5e94c686" {
		t.Errorf("%+v", e)
	}
	if e := s.heard(t, "two", "next"); e.id != next {
		t.Errorf("%+v, want %s", e, next)
	}
	form := "topic=news&data=other&id=urn:uuid:5e94c686"
	if a := h.do("POST", hubPath, form, "Content-Type: application/x-www-form-urlencoded", "Authorization: Bearer "+h.publisher); a.status != 422 {
		t.Errorf("another update with the id of before: %d %s", a.status, a.body)
	}
}

// Nothing of a private update can be had by another way, whatever the client may do there,
// also where no token is needed.
func TestMercurePrivateUpdatesHaveNoOtherWay(t *testing.T) {
	for _, mode := range []string{server.AuthOpen, server.AuthToken} {
		t.Run(mode, func(t *testing.T) {
			h := startHub(t, func(c *server.Config) {
				c.Auth, c.Token.Secrets = mode, []string{signingSecret}
				c.Channels = []rules.Rule{{Match: "*", Subscribe: rules.Anyone}}
			})
			granted := h.updates(reader("news"), "news")
			for what, s := range map[string]*eventStream{
				"no token": h.updates("", "news"), "token of another topic": h.updates(reader("new", "newss", "$private:news", "New{s}"), "news"), "sse": h.eventsAt("/sse?channel=news").opened(),
			} {
				defer func() { s.heard(t, what, "public") }()
			}
			h.update("topic", "news", "data", "secret", "private", "on")
			h.update("topic", "news", "data", "public")
			granted.heard(t, "granted", "secret")
			granted.heard(t, "granted", "public")

			names := []string{"%24private:news", "%24private%3Anews", "$private:news", "%24presence:%24private:news", "$like:news", "%24me"}
			for _, name := range names {
				for _, path := range []string{"/sse?channel=" + name, "/poll?timeout=1&last=9&channel=" + name, "/channels/" + name, "/channels/" + name + "/history?cursor=earliest", "/channels/" + name + "/presence", hubPath + "?topic=" + name} {
					if a := h.do("GET", path, ""); a.status < 400 || strings.Contains(string(a.body), "secret") {
						t.Errorf("GET %s: %d %s", path, a.status, a.body)
					}
				}
				if a := h.do("POST", "/publish?channel="+name, "forged"); a.status < 400 {
					t.Errorf("publish on %s: %d", name, a.status)
				}
			}
			for _, path := range []string{"/channels", "/channels?prefix=%24", "/channels?prefix=%24private:", "/poll?timeout=1&cursor=earliest&channel=news", "/channels/news/history?cursor=earliest"} {
				if a := h.do("GET", path, ""); strings.Contains(string(a.body), "private") || strings.Contains(string(a.body), "secret") {
					t.Errorf("GET %s: %d %s", path, a.status, a.body)
				}
			}
			w := h.dialSocket("/ws", map[string][]string{"Sec-Websocket-Protocol": {"peal.v1"}})
			w.next() // connected
			for _, command := range []string{`"subscribe","cursor":"earliest"`, `"history"`, `"presence"`, `"publish","data":"forged"`} {
				w.send(false, `{"id":1,"channel":"$private:news","command":`+command+`}`)
				if reply := w.next().data; !strings.Contains(reply, `"reserved_channel"`) {
					t.Errorf("%s: %s", command, reply)
				}
			}
		})
	}
}

// A template receives what it matches, in the order of the log, and of private updates what
// a selector of the token selects, too. What a rule or an app restricts, it does not receive.
func TestMercureTemplates(t *testing.T) {
	h := startHub(t, func(c *server.Config) {
		c.Apps = []app.Definition{{ID: "1", Key: "key", Secret: "the secret of an app"}}
		c.Channels = []rules.Rule{{Match: "https://a/books/closed", Subscribe: rules.Token}, {Match: "https://a/books/backend", Subscribe: rules.Backend}}
	})
	open := h.updates("", "https://a/books/{id}", "https://a/books/1")
	some := h.updates(reader("https://a/books/{id}", "*x"), "https://a/books/{id}{?q}")
	one := h.updates(reader("https://a/books/2"), "https://a/{+rest}")
	all := h.updates(reader("*"), "*")
	first := h.update("topic", "https://a/books/1", "data", "public 1", "type", "t")
	h.update("topic", "https://a/books/1", "data", "private 1", "private", "on")
	h.update("topic", "https://a/books/2", "topic", "https://a/users/7", "data", "private 2", "private", "on")
	h.update("topic", "https://a/books/closed", "data", "closed")
	h.update("topic", "https://a/books/backend", "data", "backend", "private", "on")
	h.update("topic", "private-a", "data", "protected")
	h.update("topic", "https://a/books/1/reviews", "data", "deeper")
	h.update("topic", "https://b/x", "topic", "https://a/books/3", "data", "last")
	for _, c := range []struct {
		what string
		s    *eventStream
		want []string
	}{
		{"open", open, []string{"public 1", "last"}},
		{"some", some, []string{"public 1", "private 1", "private 2", "last"}},
		{"one", one, []string{"public 1", "private 2", "deeper", "last"}},
		{"all", all, []string{"public 1", "private 1", "private 2", "deeper", "last"}},
	} {
		for _, text := range c.want {
			c.s.heard(t, c.what, text)
		}
	}
	for channel, want := range map[string]int{"private-a": 403, "presence-a": 403, "https://a/books/closed": 401} {
		if a := h.do("GET", hubPath+"?topic="+channel, ""); a.status != want {
			t.Errorf("%s: %d %s", channel, a.status, a.body)
		}
	}
	h.updates(reader("private-a"), "private-a")
	again := h.eventsAt(hubPath+"?topic=https://a/books/%7Bid%7D", "Last-Event-ID: "+first, "Authorization: Bearer "+reader("https://a/books/{id}"))
	if got := again.header.Get("Last-Event-ID"); got != first {
		t.Errorf("Last-Event-ID %q, want %q", got, first)
	}
	for _, text := range []string{"private 1", "private 2", "last"} {
		again.heard(t, "again", text)
	}
}

// The connection ends when the token does, as those of Peal's tokens do, and the client
// goes on with a new one.
func TestMercureStreamsEndWithTheirToken(t *testing.T) {
	h := startHub(t, func(c *server.Config) { c.Token.Leeway = -1 })
	short := jwt(subscriberSecret, fmt.Sprintf(`"exp":%d,"mercure":{"subscribe":["news"]}`, time.Now().Add(3*time.Second).Unix()))
	s := h.updates(short, "news")
	h.update("topic", "news", "data", "one", "private", "on")
	id := s.heard(t, "before", "one").id
	if e, err := s.tryNext(); err == nil {
		t.Fatalf("it goes on: %+v", e)
	}
	h.update("topic", "news", "data", "two", "private", "on")
	again := h.eventsAt(hubPath+"?topic=news", "Last-Event-ID: "+id, "Authorization: Bearer "+reader("news"))
	again.heard(t, "after", "two")
	if a := h.do("GET", hubPath+"?topic=news", "", "Authorization: Bearer "+short); a.status != 401 {
		t.Errorf("the expired token: %d %s", a.status, a.body)
	}
}
