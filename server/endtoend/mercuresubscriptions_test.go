package endtoend_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"peal/server"
	"peal/server/rules"
)

// subscriptionOf is a document, or an event, about a subscription.
type subscriptionOf struct {
	ID, Type, Topic, Subscriber string
	Active                      bool
	Payload                     struct{ User int }
	LastEventID                 string `json:"lastEventID"`
	Subscriptions               []subscriptionOf
}

const subscriptionsPath = hubPath + "/subscriptions"

// A page shows who reads a topic: it reads the list, and from there on the events.
func TestMercureSubscriptionsCanBeFollowed(t *testing.T) {
	h := startHub(t, func(c *server.Config) {
		c.Mercure.Subscriptions = 100
		c.Channels = []rules.Rule{{Match: subscriptionsPath + "/*", HistoryMessages: 5}}
	})
	token := reader(subscriptionsPath + "/news{/subscriber}")
	user := jwt(subscriberSecret, `"mercure":{"subscribe":[],"payload":{"user":42}}`)
	h.updates(user, "news", "https://a/books/{id}")
	list := func() (all subscriptionOf) {
		a := h.do("GET", subscriptionsPath+"/news", "", "Authorization: Bearer "+token)
		if a.status != 200 || a.header.Get("Content-Type") != "application/ld+json" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return decode[subscriptionOf](t, a.body)
	}
	before := list()
	if len(before.Subscriptions) != 1 || before.Subscriptions[0].Payload.User != 42 {
		t.Fatalf("%+v", before)
	}
	if a := h.do("GET", subscriptionsPath, "", "Authorization: Bearer "+token); a.status != 403 {
		t.Errorf("all of them: %d %s", a.status, a.body)
	}

	follow := h.eventsAt(hubPath+"?"+url.Values{"topic": {subscriptionsPath + "/{topic}/{subscriber}"}}.Encode(), "Last-Event-ID: "+before.LastEventID, "Authorization: Bearer "+token)
	stranger := h.eventsAt(hubPath+"?"+url.Values{"topic": {subscriptionsPath + "/{topic}/{subscriber}", "end"}}.Encode(), "Last-Event-ID: earliest", "Authorization: Bearer "+user)
	known := map[string]bool{before.Subscriptions[0].ID: true}
	next := func(active bool) (s subscriptionOf) {
		t.Helper()
		for {
			e := follow.next()
			if err := json.Unmarshal([]byte(e.data), &s); err != nil || e.name != "message" || s.Topic != "news" {
				t.Fatalf("%+v: %v", e, err)
			}
			if s.Active && known[s.ID] { // the list may be ahead of the events
				s = subscriptionOf{}
				continue
			}
			if s.Active != active {
				t.Fatalf("%+v, want active %v", s, active)
			}
			return s
		}
	}
	second := h.eventsAt(hubPath+"?topic=news", "Authorization: Bearer "+user).opened()
	s := next(true)
	if s.Type != "Subscription" || s.Payload.User != 42 || s.ID != subscriptionsPath+"/news/"+strings.ReplaceAll(s.Subscriber, ":", "%3A") {
		t.Errorf("%+v", s)
	}
	if all := list(); len(all.Subscriptions) != 2 {
		t.Errorf("%+v", all)
	}
	_ = second.body.Close()
	if e := next(false); e.ID != s.ID || e.Payload.User != 42 {
		t.Errorf("%+v, want the end of %s", e, s.ID)
	}
	if a := h.do("GET", s.ID, "", "Authorization: Bearer "+token); a.status != 404 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// A client that is granted nothing receives none of them.
	h.update("topic", "end", "data", "end")
	stranger.heard(t, "without a grant", "end")
}

// A client that was granted topics finds them in an update, however it has come by it, and no
// others that were granted to others.
func TestAlternateTopicsThatWereGranted(t *testing.T) {
	h := startHub(t, func(c *server.Config) {
		c.Auth, c.Token.Secrets, c.Mercure.Anonymous = server.AuthToken, []string{userSecret}, false
	})
	const header = "Authorization: Bearer "
	token := header + userToken(t, "u")
	granted := h.eventsAt("/sse?channel=mine&channel=other&channel=too&format=json", token).opened()
	same := h.eventsAt("/sse?channel=mine&channel=too&format=json", token).opened()
	single := h.eventsAt("/sse?channel=mine&format=json", token).opened()
	ws := h.dialSocket("/ws?channel=other&channel=too&format=json&token="+token[len(header):], nil)
	h.update("topic", "first", "topic", "mine", "topic", "theirs", "topic", "too", "data", "x")
	h.update("topic", "first", "topic", "theirs", "topic", "mine", "data", "y")
	h.update("topic", "other", "topic", "mine", "data", "z")
	for _, c := range []struct {
		what string
		next func() string
		want []string
	}{
		{"of three", func() string { return granted.next().data }, []string{`"first","also":["mine","too"]`, `"first","also":["mine"]`, `"other","also":["mine"]`}},
		{"of two", func() string { return same.next().data }, []string{`"first","also":["mine","too"]`, `"first","also":["mine"]`, `"other","also":["mine"]`}},
		{"of one", func() string { return single.next().data }, []string{`"first","also":["mine"]`, `"first","also":["mine"]`, `"other","also":["mine"]`}},
		{"of a WebSocket", func() string { return ws.next().data }, []string{`"first","also":["too"]`, `"other"`}},
	} {
		for _, want := range c.want {
			if got := c.next(); !strings.HasPrefix(got, `{"channel":`+want+`,"cursor":`) {
				t.Errorf("%s: %s, want %s", c.what, got, want)
			}
		}
	}
	got := string(h.do("GET", "/poll?channel=mine&channel=too&cursor=earliest", "", token).body)
	for _, want := range []string{`{"channel":"first","also":["mine","too"],`, `{"channel":"first","also":["mine"],`, `{"channel":"other","also":["mine"],`} {
		if !strings.Contains(got, want) {
			t.Errorf("poll: %s, want %s", got, want)
		}
	}
	if strings.Contains(got, "theirs") {
		t.Errorf("poll: %s", got)
	}
}

// Readers of JSON find the alternate topics of an update that everybody may subscribe to.
func TestAlternateTopicsInJSON(t *testing.T) {
	h := startHub(t, func(c *server.Config) { c.Channels = []rules.Rule{{Match: "closed", Subscribe: rules.Token}} })
	s := h.eventsAt("/sse?channel=b&format=json").opened()
	ws := h.dialSocket("/ws?channel=b&format=json", nil)
	h.update("topic", "a", "topic", "closed", "topic", "b", "topic", "c", "data", "x", "private", "on")
	id := h.update("topic", "a", "topic", "closed", "topic", "b", "topic", "c", "data", "x")
	want := fmt.Sprintf(`{"channel":"a","also":["b","c"],"cursor":%q,"time":`, id)
	for how, got := range map[string]string{
		"sse":  s.next().data,
		"ws":   ws.next().data,
		"poll": strings.TrimPrefix(string(h.do("GET", "/poll?channel=b&channel=c&cursor=earliest", "").body), fmt.Sprintf(`{"cursor":%q,"messages":[`, id)),
	} {
		if !strings.HasPrefix(got, want) || strings.Contains(got, "closed") {
			t.Errorf("%s: %s, want %s…", how, got, want)
		}
	}
	if got := string(h.do("GET", "/channels/b/history", "").body); !strings.Contains(got, `{"channel":"b","also":["c"],"cursor":`) {
		t.Errorf("history: %s", got)
	}
}
