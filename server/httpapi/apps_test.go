package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server/app"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/presence"
	"peal/server/pusher"
	"peal/server/rate"
	"peal/server/rules"
	"peal/server/session"
)

// The app, the time and the request of the public documents of the protocol.
const (
	documentKey    = "278d425bdf160c739803"
	documentSecret = "7ad3773142a6692b25b8"
	documentBody   = `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`
	documentQuery  = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
)

var documentTime = time.Unix(1353088179, 0)

// appsRig is a harness with two apps: 3, that of the documents, and 4, whose channels
// begin with shop:.
type appsRig struct {
	*harness
	apps *app.Table
	deps httpapi.Deps
}

func newAppsRig(t testing.TB) *appsRig {
	h := newHarness(t)
	apps, err := app.New([]app.Definition{
		{ID: "3", Key: documentKey, Secret: documentSecret},
		{ID: "4", Key: "shop-key", Secret: "shop-secret", Namespace: "shop:"},
	}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &appsRig{harness: h, apps: apps}
	r.deps = httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Sessions: ids, Apps: apps,
		Now: func() time.Time { return documentTime }}
	h.front = httpapi.New(r.deps)
	return r
}

// sign makes a signed request of an app. target may have a query.
func (r *appsRig) sign(id, method, target, body string) string {
	path, query, _ := strings.Cut(target, "?")
	a := r.apps.ByID(id)
	signed, err := a.Sign(app.Request{Method: method, Path: path, RawQuery: query, Body: []byte(body)}, documentTime)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%s %s?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", method, path, signed, len(body), body)
}

func (r *appsRig) check(what, request string, status int, want string) {
	r.t.Helper()
	resp, body := r.answer(request)
	if resp.StatusCode != status || body != want && (status == 200 || !strings.Contains(body, `"code":"`+want+`"`)) {
		r.t.Errorf("%s: %d %s, want %d %s", what, resp.StatusCode, body, status, want)
	}
}

func (r *appsRig) published(what, want string) {
	r.t.Helper()
	if got := r.log.take(); got != want {
		r.t.Errorf("%s published %s, want %s", what, got, want)
	}
}

// The request of the public documents is published, and with one byte changed it is not.
func TestTheRequestOfTheDocuments(t *testing.T) {
	r := newAppsRig(t)
	request := post("/apps/3/events?"+documentQuery, documentBody)
	r.check("the documents", request, 200, "{}")
	r.published("the documents", `project-3: "{\"some\":\"data\"}" event=foo`)
	for _, change := range [][2]string{
		{"da454824", "da454825"}, {"POST", "PUT"}, {"/apps/3/events", "/apps/3/batch_events"}, {"auth_timestamp=1353088179", "auth_timestamp=1353088178"},
		{"auth_version=1.0", "auth_version=1.1"}, {"body_md5=ec", "body_md5=ed"}, {"foo", "fop"}, {documentKey, "shop-key"}, {"auth_key", "auth_kez"},
		{"&auth_signature=", "&x=y&auth_signature="}, {"auth_version=1.0&", ""}, {"&body_md5=ec365a775a4cd0599faeb73354201b6f", ""},
		{"auth_signature=da454824", "auth_signature="}, {"/apps/3", "/apps/4"},
	} {
		resp, body := r.answer(strings.Replace(request, change[0], change[1], 1))
		want := 401
		if change[0] == "POST" {
			want = 405
		}
		if resp.StatusCode != want || want == 401 && !strings.Contains(body, `"signature_invalid"`) {
			t.Errorf("%s for %s: %d %s", change[1], change[0], resp.StatusCode, body)
		}
		r.published(change[1], "")
	}
	for offset, status := range map[time.Duration]int{600 * time.Second: 200, -600 * time.Second: 200, 601 * time.Second: 401, -601 * time.Second: 401} {
		deps := r.deps
		deps.Now = func() time.Time { return documentTime.Add(offset) }
		r.front = httpapi.New(deps)
		if resp, body := r.answer(request); resp.StatusCode != status {
			t.Errorf("%s after it was signed: %d %s", offset, resp.StatusCode, body)
		}
	}
}

// event is the body of one event, with more members behind the data.
func event(channels, more string) string {
	return `{"name":"n","channels":` + channels + `,"data":"d"` + more + `}`
}

func TestEventsArePublished(t *testing.T) {
	r := newAppsRig(t)
	id := session.Random().Of(7)
	events := func(id, what, body, response, published string) {
		t.Helper()
		r.check(what, r.sign(id, "POST", "/apps/"+id+"/events", body), 200, response)
		r.published(what, published)
	}
	batch := func(what, body, response, published string) {
		t.Helper()
		r.check(what, r.sign("3", "POST", "/apps/3/batch_events", body), 200, response)
		r.published(what, published)
	}
	r.hub.infos = []hub.Info{{Name: "a", Subscribers: 2}, {Name: "shop:a", Subscribers: 5}}
	events("3", "one channel", `{"name":"n","channel":"a","data":"d"}`, "{}", `a: "d" event=n`)
	events("3", "several channels", event(`["a","b","a","private-encrypted"]`, ""), "{}", "a: \"d\" event=n\nb: \"d\" event=n\nprivate-encrypted: \"d\" event=n")
	events("3", "of a user", event(`["#server-to-user-42"]`, ""), "{}", `#server-to-user-42: "d" event=n`)
	events("3", "encrypted", event(`["private-encrypted-a"]`, ""), "{}", `private-encrypted-a: "d" event=n`)
	events("3", "unknown members and null", event(`["a"]`, `,"socket_id":null,"info":null,"x":[{}]`), "{}", `a: "d" event=n`)
	events("3", "escapes", `{"name":"App\\Events\\Order","channels":["a"],"data":"{\"x\":\"\u00e9\"}"}`, "{}", `a: "{\"x\":\"é\"}" event=App\Events\Order`)
	events("3", "empty data", `{"name":"n","channel":"a","data":""}`, "{}", `a: "" event=n`)
	events("4", "of a namespace", event(`["a","presence-b"]`, ""), "{}", "shop:a: \"d\" event=n\nshop:presence-b: \"d\" event=n")
	events("3", "info", event(`["a","b"]`, `,"info":"subscription_count"`), `{"channels":{"a":{"subscription_count":2},"b":{"subscription_count":0}}}`, "a: \"d\" event=n\nb: \"d\" event=n")
	events("4", "info", event(`["a","presence-b"]`, `,"info":"subscription_count,user_count"`),
		`{"channels":{"a":{"subscription_count":5},"presence-b":{"user_count":0,"subscription_count":0}}}`, "shop:a: \"d\" event=n\nshop:presence-b: \"d\" event=n")

	one := `{"name":"n","channel":"a","data":"1"}`
	batch("a batch", `{"batch":[`+one+`,{"name":"m","channel":"b","data":"2"}]}`, "{}", "a: \"1\" event=n\nb: \"2\" event=m")
	batch("ten", `{"batch":[`+strings.Repeat(one+",", 9)+one+`]}`, "{}", strings.TrimSuffix(strings.Repeat("a: \"1\" event=n\n", 10), "\n"))
	batch("info of one", `{"batch":[{"name":"n","channel":"a","data":"1","info":"subscription_count"},`+one+`]}`, `{"batch":[{"subscription_count":2},{}]}`, "a: \"1\" event=n\na: \"1\" event=n")

	// The session is left out, of each event of a batch its own.
	socket := socketID(id)
	r.check("socket_id", r.sign("3", "POST", "/apps/3/events", event(`["a"]`, `,"socket_id":"`+socket+`"`)), 200, "{}")
	r.check("socket_id of a batch", r.sign("3", "POST", "/apps/3/batch_events", `{"batch":[`+one+`,{"name":"n","channel":"b","data":"1","socket_id":"`+socket+`"}]}`), 200, "{}")
	for i, e := range r.log.entries {
		if excluded := e.Exclude != nil && session.ID(*e.Exclude) == id; excluded != (i != 1) {
			t.Errorf("entry %d leaves out %v", i, e.Exclude)
		}
	}
	r.log.take()

	// The longest body is read by a worker, and is published all the same.
	long := strings.Repeat("é", 32<<10)
	r.check("long", r.sign("3", "POST", "/apps/3/events", `{"name":"n","channels":["a"],"data":"`+strings.Repeat(`\u00e9`, 32<<10)+`"}`), 200, "{}")
	r.published("long", fmt.Sprintf("a: %q event=n", long))
}

func TestEventsAreRefused(t *testing.T) {
	r := newAppsRig(t)
	hundred := strings.TrimSuffix(strings.Repeat(`"a",`, 101), ",")
	for _, c := range []struct {
		what, body string
		status     int
		code       string
	}{
		{"no JSON", `x`, 400, "bad_json"},
		{"no object", `["a"]`, 400, "bad_json"},
		{"nothing", ``, 400, "bad_json"},
		{"no name", `{"channels":["a"],"data":"d"}`, 400, "bad_event"},
		{"an empty name", `{"name":"","channels":["a"],"data":"d"}`, 400, "bad_event"},
		{"a name that is a number", `{"name":1,"channels":["a"],"data":"d"}`, 400, "bad_event"},
		{"a name of the protocol", `{"name":"pusher:error","channels":["a"],"data":"d"}`, 400, "bad_event"},
		{"an internal name", `{"name":"pusher_internal:x","channels":["a"],"data":"d"}`, 400, "bad_event"},
		{"a name of the server", `{"name":"error","channels":["a"],"data":"d"}`, 400, "bad_event"},
		{"a long name", `{"name":"` + strings.Repeat("n", 201) + `","channels":["a"],"data":"d"}`, 400, "bad_event"},
		{"no data", `{"name":"n","channels":["a"]}`, 400, "no_data"},
		{"data that is an object", `{"name":"n","channels":["a"],"data":{}}`, 400, "no_data"},
		{"no channel", `{"name":"n","data":"d"}`, 400, "bad_channel"},
		{"an empty list", event(`[]`, ""), 400, "bad_channel"},
		{"a channel that is a number", event(`1`, ""), 400, "bad_channel"},
		{"channels that are numbers", event(`["a",1]`, ""), 400, "bad_channel"},
		{"an empty channel", event(`["a",""]`, ""), 400, "bad_channel"},
		{"a channel of another namespace", event(`["shop:a"]`, ""), 400, "bad_channel"},
		{"a channel of the server", event(`["$user:1"]`, ""), 400, "bad_channel"},
		{"a channel with a slash", event(`["a/b"]`, ""), 400, "bad_channel"},
		{"a long channel", event(`["`+strings.Repeat("c", 165)+`"]`, ""), 400, "bad_channel"},
		{"too many channels", event(`[`+hundred+`]`, ""), 400, "too_many_channels"},
		{"encrypted and others", event(`["private-encrypted-a","b"]`, ""), 400, "bad_channel"},
		{"channel and channels", event(`["a"]`, `,"channel":"a"`), 400, "contradiction"},
		{"a socket id", event(`["a"]`, `,"socket_id":"1.2.3"`), 400, "bad_exclude"},
		{"a socket id that is a number", event(`["a"]`, `,"socket_id":1.2`), 400, "bad_exclude"},
		{"info", event(`["a"]`, `,"info":"user_count,x"`), 400, "bad_info"},
		{"info that is a list", event(`["a"]`, `,"info":["user_count"]`), 400, "bad_info"},
		{"long data", `{"name":"n","channels":["a"],"data":"` + strings.Repeat("d", 64<<10+1) + `"}`, 413, "message_too_large"},
		{"a long body", `{"name":"n","channels":["a"],"data":"` + strings.Repeat("d", 1<<20) + `"}`, 413, "body_too_large"},
	} {
		r.check(c.what, r.sign("3", "POST", "/apps/3/events", c.body), c.status, c.code)
		r.published(c.what, "")
	}
	one := `{"name":"n","channel":"a","data":"1"}`
	for _, c := range []struct {
		what, body string
		code       string
	}{
		{"no batch", `{}`, "bad_batch"}, {"an empty batch", `{"batch":[]}`, "bad_batch"}, {"a batch of texts", `{"batch":["a"]}`, "bad_batch"},
		{"a batch that is an object", `{"batch":{}}`, "bad_batch"}, {"eleven", `{"batch":[` + strings.Repeat(one+",", 10) + one + `]}`, "bad_batch"},
		{"channels in a batch", `{"batch":[{"name":"n","channels":["a"],"data":"1"}]}`, "bad_batch"},
		{"one without a name", `{"batch":[` + one + `,{"channel":"a","data":"1"}]}`, "bad_event"}, {"cut off", `{"batch":[` + one, "bad_json"},
	} {
		r.check(c.what, r.sign("3", "POST", "/apps/3/batch_events", c.body), 400, c.code)
		r.published(c.what, "") // not even those that were right
	}
	r.check("an unknown app", post("/apps/5/events?"+documentQuery, documentBody), 404, "unknown_app")
	r.log.full = true
	r.check("a full log", r.sign("3", "POST", "/apps/3/events", event(`["a"]`, "")), 429, "overloaded")
	r.log.full, r.log.slow = false, true
	c := r.call(r.sign("3", "POST", "/apps/3/events", event(`["a"]`, `,"info":"subscription_count"`)))
	r.log.release()
	if resp, body := readAnswer(t, "POST /", r.door.wait(t)); c.Out != nil || resp.StatusCode != 200 || body != `{"channels":{"a":{"subscription_count":0}}}` {
		t.Errorf("with a slow log: at once %q, then %d %s", c.Out, resp.StatusCode, body)
	}
}

// An app is counted as one backend, beside its keys, and the rules of channels hold for it.
func TestTheRateOfAnApp(t *testing.T) {
	r := newAppsRig(t)
	r.deps.Buckets, r.deps.Limits.Rates.Key = rate.New(100), rate.PerSecond(2)
	r.deps.Monotonic = func() time.Duration { return time.Hour }
	r.deps.Rules = rules.New([]rules.Rule{{Match: "small", MessageBytes: 1}}, rules.Rule{})
	r.front = httpapi.New(r.deps)
	small := `{"name":"n","channel":"small","data":"dd"}`
	r.check("the first", r.sign("4", "POST", "/apps/4/events", event(`["a"]`, "")), 200, "{}")
	r.check("the rule is about names of the server", r.sign("4", "POST", "/apps/4/events", small), 200, "{}")
	r.check("too many", r.sign("4", "POST", "/apps/4/events", event(`["a"]`, "")), 429, "rate_limited")
	r.check("the other app", r.sign("3", "POST", "/apps/3/events", small), 413, "message_too_large")
}

func TestWhatTheAPITellsOfChannels(t *testing.T) {
	r := newAppsRig(t)
	table := presence.New(presence.Config{}, func(string) bool { return false }, time.Now)
	for _, client := range []string{"1", "2"} {
		table.Enter(1, client, "").Sit([]string{"presence-room"}, client, "", func(int) bool { return true })
	}
	table.Enter(1, "shop:9", "").Sit([]string{"shop:presence-room"}, "shop:9", "", func(int) bool { return true })
	r.deps.Presence = table
	r.front = httpapi.New(r.deps)
	r.hub.infos = []hub.Info{
		{Name: "a", Subscribers: 2}, {Name: "old", Messages: 3}, {Name: "presence-room", Subscribers: 3}, {Name: "private-x", Subscribers: 1},
		{Name: "shop:a", Subscribers: 5}, {Name: "not of the protocol", Subscribers: 1},
	}
	r.apps.ByID("3").Connections.Store(7)
	for _, c := range []struct {
		target string
		status int
		want   string
	}{
		{"/apps/3/channels", 200, `{"channels":{"a":{},"presence-room":{},"private-x":{}}}`},
		{"/apps/3/channels?info=subscription_count", 200, `{"channels":{"a":{"subscription_count":2},"presence-room":{"subscription_count":3},"private-x":{"subscription_count":1}}}`},
		{"/apps/3/channels?filter_by_prefix=presence-&info=user_count", 200, `{"channels":{"presence-room":{"user_count":2}}}`},
		{"/apps/3/channels?filter_by_prefix=nothing-", 200, `{"channels":{}}`},
		{"/apps/4/channels", 200, `{"channels":{"a":{}}}`},
		{"/apps/3/channels?info=user_count", 400, "bad_info"},
		{"/apps/3/channels?filter_by_prefix=p&info=user_count", 400, "bad_info"},
		{"/apps/3/channels?info=x", 400, "bad_info"},
		{"/apps/3/channels?filter_by_prefix=shop:", 400, "bad_channel"},
		{"/apps/3/channels/a", 200, `{"occupied":true}`},
		{"/apps/3/channels/a?info=subscription_count", 200, `{"occupied":true,"subscription_count":2}`},
		{"/apps/3/channels/old?info=subscription_count", 200, `{"occupied":false,"subscription_count":0}`},
		{"/apps/3/channels/presence%2Droom?info=user_count,subscription_count", 200, `{"occupied":true,"user_count":2,"subscription_count":3}`},
		{"/apps/4/channels/presence-room?info=user_count", 200, `{"occupied":false,"user_count":1}`},
		{"/apps/4/channels/presence-hall?info=user_count", 200, `{"occupied":false,"user_count":0}`},
		{"/apps/3/channels/%23server-to-user-1", 200, `{"occupied":false}`},
		{"/apps/3/channels/a?info=user_count", 400, "bad_info"},
		{"/apps/3/channels/shop%3Aa", 400, "bad_channel"},
		{"/apps/3/channels/presence-room/users", 200, `{"users":[{"id":"1"},{"id":"2"}]}`},
		{"/apps/4/channels/presence-room/users", 200, `{"users":[{"id":"9"}]}`},
		{"/apps/4/channels/presence-hall/users", 200, `{"users":[]}`},
		{"/apps/3/channels/a/users", 400, "bad_channel"},
		{"/apps/3/connections", 200, `{"connections":7}`},
		{"/apps/4/connections", 200, `{"connections":0}`},
		{"/apps/3/nothing", 404, "not_found"},
	} {
		id := c.target[len("/apps/"):][:1]
		r.check(c.target, r.sign(id, "GET", c.target, ""), c.status, c.want)
		if c.status == 200 {
			r.check(c.target+" of the other app", r.sign(string('7'-id[0]+'0'), "GET", c.target, ""), 401, "signature_invalid")
		}
	}
	r.check("health", "GET /up HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, `{"health":"OK"}`)
}

// The user of one app is ended, and no user of another.
func TestUsersOfAnAppAreTerminated(t *testing.T) {
	r := newAppsRig(t)
	d := &fakeDismisser{sessions: map[uint64]string{}}
	r.deps.Dismisser = d
	r.front = httpapi.New(r.deps)
	d.front = r.front
	for i, name := range []string{"42", "shop:42", "shop:ann b", "43"} {
		session := uint64(1000 + i)
		request := &loop.Call{In: []byte(get("/sse?channel=lobby&client=" + url.QueryEscape(name))), Session: session}
		if r.front.Request(request); request.Sub == nil {
			t.Fatalf("%s: %s", name, request.Out)
		}
		d.sessions[session] = name
	}
	for _, c := range []struct {
		id, user string
		status   int
		want     string
		ended    string
	}{
		{"3", "42", 200, "{}", "42"},
		{"4", "42", 200, "{}", "shop:42"},
		{"4", "ann%20b", 200, "{}", "shop:ann b"},
		{"3", "nobody", 200, "{}", ""},
		{"3", strings.Repeat("u", 129), 400, "bad_user", ""},
		{"3", "%00", 400, "bad_user", ""},
		{"3", "shop:42", 400, "bad_user", ""},
		{"3", "shop%3A42", 400, "bad_user", ""},
	} {
		d.ended = nil
		target := "/apps/" + c.id + "/users/" + c.user + "/terminate_connections"
		r.check(target, r.sign(c.id, "POST", target, "{}"), c.status, c.want)
		if got := strings.Join(d.ended, " "); got != c.ended {
			t.Errorf("%s ends %s, want %s", target, got, c.ended)
		}
	}
	d.ended = nil
	unsigned := r.sign("4", "POST", "/apps/4/users/42/terminate_connections", "{}")
	r.check("of another app", strings.Replace(unsigned, "/apps/4", "/apps/3", 1), 401, "signature_invalid")
	if len(d.ended) != 0 {
		t.Errorf("an app ends %s of another", d.ended)
	}
}

// Without an app none of the paths is there, and the response says what to set.
func TestWithoutAnAppThereIsNoAPI(t *testing.T) {
	h := newHarness(t)
	for _, request := range []string{post("/apps/3/events?"+documentQuery, documentBody), post("/apps/3/batch_events", "{}"), get("/apps/3/channels"),
		get("/apps/3/channels/a"), get("/apps/3/channels/a/users"), post("/apps/3/users/42/terminate_connections", "{}"), get("/apps/3/connections"), get("/up")} {
		resp, body := h.answer(request)
		if resp.StatusCode != http.StatusNotFound || !strings.Contains(body, `"no_apps"`) || !strings.Contains(body, "REVERB_APP_ID") {
			t.Errorf("%.40q: %d %s", request, resp.StatusCode, body)
		}
	}
	if got := h.log.take(); got != "" {
		t.Errorf("published %s", got)
	}
}

func socketID(id session.ID) string { return pusher.SocketID(id) }
