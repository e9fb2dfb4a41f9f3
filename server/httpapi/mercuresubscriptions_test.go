package httpapi_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"peal/loop"
	"peal/server/grant"
	"peal/server/httpapi"
	"peal/server/identity"
	"peal/server/mercure"
	"peal/server/mercure/subscription"
)

// newListing is newHub with a table of subscriptions. The token l.i.s may read all of them, o.n.e
// those to news.
func newListing(t *testing.T) (*guarded, *subscription.Table) {
	t.Helper()
	table := subscription.New(10, 10)
	return newHub(t, func(m *identity.Mercure) {
		tokens := m.Subscribers.(*fakeTokens).grants
		for token, selector := range map[string]string{"l.i.s": subscription.Path + "{/topic}{/subscriber}", "o.n.e": subscription.Path + "/news{/subscriber}", "a.l.l": "*"} {
			s, err := mercure.Compile([]string{selector})
			if err != nil {
				t.Fatal(err)
			}
			tokens[token] = &grant.Grant{Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(s, nil)}
		}
		tokens["s.u.b"].Info = `{"user":42}`
	}, func(d *httpapi.Deps) { d.Subscriptions = table }), table
}

// open opens the event stream of a session.
func (g *guarded) open(session uint64, query, line string) *loop.Call {
	g.t.Helper()
	for range 3 {
		c := &loop.Call{In: []byte(with(hubPath+"?"+query, line)), Conn: loop.Ref{Slot: 7, Generation: 1}, Session: session}
		g.front.Request(c)
		if c.Verdict != loop.Wait {
			return c
		}
		<-g.door.again
	}
	g.t.Fatal("it waits again and again")
	return nil
}

type listed struct {
	ID, Type, Topic, Subscriber string
	Active                      bool
	Payload                     json.RawMessage
	LastEventID                 string `json:"lastEventID"`
	Subscriptions               []listed
}

// list reads a document of the web API.
func (g *guarded) list(path, token string) (l listed) {
	g.t.Helper()
	c := g.ask(with(path, "Authorization: Bearer "+token))
	if c.Verdict != loop.Later {
		g.t.Fatalf("%s: %s", path, c.Out)
	}
	resp, body := readAnswer(g.t, "GET /", g.door.wait(g.t))
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/ld+json" || json.Unmarshal([]byte(body), &l) != nil {
		g.t.Fatalf("%s: %d %q %s", path, resp.StatusCode, resp.Header.Get("Content-Type"), body)
	}
	return l
}

func TestMercureListsSubscriptions(t *testing.T) {
	g, table := newListing(t)
	g.log.head = 5
	const books = "https://a/books/{id}"
	if c := g.open(1, "topic=news&topic="+url.QueryEscape(books)+"&topic=news&match=a{x}", "Authorization: Bearer s.u.b"); c.Verdict != loop.Stream || !c.Sub.Named {
		t.Fatalf("%s", c.Out)
	}
	if c := g.open(2, "topic[]=news", ""); c.Verdict != loop.Stream || !c.Sub.Named {
		t.Fatalf("%s", c.Out)
	}
	for _, query := range []string{"topic=closed", "topic=", "topic=news&topic={"} {
		if c := g.open(3, query, ""); c.Verdict == loop.Stream {
			t.Errorf("%s: a stream", query)
		}
	}
	g.answer("HEAD " + hubPath + "?topic=news HTTP/1.1\r\nHost: localhost\r\n\r\n")

	all := g.list(subscription.Path, "l.i.s")
	var topics []string
	for _, s := range all.Subscriptions {
		topics = append(topics, s.Topic+" "+string(s.Payload))
		one := g.list(s.ID, "l.i.s")
		if one.ID != s.ID || one.Topic != s.Topic || !one.Active || string(one.Payload) != string(s.Payload) || one.LastEventID != "z-5" {
			t.Errorf("%s: %+v", s.ID, one)
		}
		if lower := strings.ReplaceAll(strings.ReplaceAll(s.ID, "%3A", ":"), "%2F", "%2f"); g.list(lower, "l.i.s").ID != s.ID {
			t.Errorf("%s is another than %s", lower, s.ID)
		}
	}
	if got := strings.Join(topics, ", "); len(topics) != 4 || strings.Count(got, "news") != 2 || !strings.Contains(got, books+` {"user":42}`) || !strings.Contains(got, `a{x} {"user":42}`) || all.LastEventID != "z-5" {
		t.Errorf("%s, last event %s", got, all.LastEventID)
	}
	if of := g.list(subscription.Path+"/news", "o.n.e"); len(of.Subscriptions) != 2 || of.ID != subscription.Path+"/news" {
		t.Errorf("%+v", of)
	}
	if of := g.list(subscription.Path+"/"+url.PathEscape(books), "a.l.l"); len(of.Subscriptions) != 1 || of.Subscriptions[0].Topic != books {
		t.Errorf("%+v", of)
	}
	if next := g.list(subscription.Path+"?after="+url.QueryEscape(all.Subscriptions[2].ID), "l.i.s"); len(next.Subscriptions) != 1 || next.Subscriptions[0].ID != all.Subscriptions[3].ID {
		t.Errorf("%+v", next)
	}
	g.front.Left(1)
	if got := g.list(subscription.Path, "peal_good"); len(got.Subscriptions) != 1 || table.Stats().Active != 1 {
		t.Errorf("%+v", got)
	}
	gone := all.Subscriptions[0].ID
	if strings.HasPrefix(gone, subscription.Path+"/news") {
		t.Fatal("the order")
	}
	if got := g.outcome(with(gone, "Authorization: Bearer l.i.s")); got != "404 not_found" {
		t.Errorf("one that has ended: %s", got)
	}
}

func TestMercureRefusesListsOfSubscriptions(t *testing.T) {
	g, _ := newListing(t)
	const bearer = "Authorization: Bearer "
	for _, c := range []struct{ path, line, want string }{
		{"", "", "401 token_missing"},
		{"", bearer + "s.u.b", "403 not_allowed"},
		{"", bearer + "o.n.e", "403 not_allowed"},
		{"", bearer + "l.i.s", "ok"},
		{"", bearer + "p.u.b", "401 token_invalid"},
		{"", bearer + "t.o.k", "401 token_invalid"},
		{"/news", "", "401 token_missing"},
		{"/news", bearer + "s.u.b", "403 not_allowed"},
		{"/news", bearer + "o.n.e", "ok"},
		{"/ne%77s", bearer + "o.n.e", "ok"},
		{"/other", bearer + "o.n.e", "403 not_allowed"},
		{"/news/urn:uuid:x", bearer + "o.n.e", "404 not_found"},
		{"/other%2Fnews/x", bearer + "o.n.e", "403 not_allowed"},
		{"/news/x", "", "401 token_missing"},
		{"/news/x", "Cookie: mercureAuthorization=o.n.e\r\nOrigin: http://localhost:3000", "404 not_found"},
		{"/a%ZZ", bearer + "l.i.s", "400 bad_topic"},
		{"/%FF", bearer + "l.i.s", "400 bad_topic"},
		{"/" + strings.Repeat("x", 300), bearer + "a.l.l", "ok"}, // a template may be that long
		{"/" + strings.Repeat("x", 300), bearer + "l.i.s", "403 not_allowed"},
		{"/a/b/c", bearer + "l.i.s", "404 not_found"},
	} {
		got := g.outcome(with(subscription.Path+c.path, c.line))
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.path, c.line, got, c.want)
		}
	}
	off := newHub(t, nil)
	if got := off.outcome(with(subscription.Path, bearer+"peal_good")); got != "404 not_found" {
		t.Errorf("without the setting: %s", got)
	}
	if c := off.open(1, "topic=news", ""); c.Verdict != loop.Stream || c.Sub.Named {
		t.Errorf("without the setting: %s", c.Out)
	}
	if got := newGuarded(t, nil).outcome(with(subscription.Path, bearer+"peal_good")); got != "404 not_found" {
		t.Errorf("without Mercure: %s", got)
	}
}

// Clients may receive the events with a token that selects their topics, and no other.
func TestMercureEventsOfSubscriptionsNeedAGrant(t *testing.T) {
	g, _ := newListing(t)
	template := url.QueryEscape(subscription.Path + "/{topic}/{subscriber}")
	for token, want := range map[string]string{
		"s.u.b": "$like:" + subscription.Path + "/{topic}/{subscriber}",
		"l.i.s": "$like-private:" + subscription.Path + "/{topic}/{subscriber} " + subscription.Path + "{/topic}{/subscriber} $like:" + subscription.Path + "/{topic}/{subscriber}",
		"a.l.l": "$like-private:" + subscription.Path + "/{topic}/{subscriber} $like:" + subscription.Path + "/{topic}/{subscriber}",
	} {
		if got := g.channelsOf(with(hubPath+"?topic="+template, "Authorization: Bearer "+token)); got != want {
			t.Errorf("%s: %s", token, got)
		}
	}
}
