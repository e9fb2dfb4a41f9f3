package endtoend_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/app"
)

// The app of these tests.
const (
	appID     = "7"
	appKey    = "shop-key"
	appSecret = "shop-secret"
)

// startApp starts a server with that app.
func startApp(t testing.TB) *peal {
	t.Helper()
	return startWith(t, func(c *server.Config) { c.App = appID + ":" + appKey + ":" + appSecret })
}

// pusherModule ends a test whose packages of npm are not installed, as tool does, and
// returns their folder.
func pusherModule(t *testing.T, name string) string {
	t.Helper()
	const folder = "testdata/pusherhttp"
	if _, err := os.Stat(folder + "/node_modules/" + name); err != nil {
		lacking(t, name+" is not in server/endtoend/"+folder+"/node_modules: run npm ci there")
	}
	return folder
}

// The npm package pusher, the server library for Node, uses the HTTP API unchanged.
func TestTheServerLibraryOfNode(t *testing.T) {
	node := tool(t, "node")
	folder := pusherModule(t, "pusher")
	p := startApp(t)
	subscriber := p.events("channel=orders")
	host, port, _ := net.SplitHostPort(p.addr)
	out, err := exec.Command(node, folder+"/rest.mjs", host, port, appID, appKey, appSecret).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{
		`["trigger",200,{}]`,
		`["trigger text",200,{}]`,
		`["trigger info",200,{"channels":{"orders":{"subscription_count":1}}}]`,
		`["trigger socket_id",200,{}]`,
		`["batch",200,{}]`,
		`["to user",200,{}]`,
		`["channels",200,{"channels":{"orders":{"subscription_count":1}}}]`,
		`["presence channels",200,{"channels":{}}]`,
		`["channel",200,{"occupied":true,"subscription_count":1}]`,
		`["users",200,{"users":[]}]`,
		`["no users",400,"bad_channel"]`,
		`["terminate",200,{}]`,
		`["wrong secret",401,"signature_invalid"]`,
		`["wrong secret of a query",401,"signature_invalid"]`,
	}
	if got := strings.Split(strings.TrimSpace(string(out)), "\n"); !slices.Equal(got, want) {
		t.Errorf("the library says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, want := range []string{`paid {"order":17,"note":"ü \"x\""}`, "paid text", "paid {}", "paid not for one", `first {"n":1}`} {
		if e := subscriber.next(); e.name+" "+e.data != want {
			t.Errorf("the subscriber has %s %s, want %s", e.name, e.data, want)
		}
	}
}

// Debian's Laravel broadcasts through Peal, with the settings of an application that used
// Pusher. Only the package below its broadcaster is not the real one: see pusher.php.
func TestTheBroadcasterOfLaravel(t *testing.T) {
	debianPHP(t, "Illuminate/Broadcasting/Broadcasters/PusherBroadcaster.php", "php-laravel-framework")
	p := startApp(t)
	mine := p.events("channel=orders&session=AAAAAAAAAAAAAAAAAAAAAQ") // the socket id 0.1
	other := p.events("channel=orders")
	mine.opened()
	other.opened()
	host, port, _ := net.SplitHostPort(p.addr)
	for name, value := range map[string]string{"APP_ID": appID, "APP_KEY": appKey, "APP_SECRET": appSecret, "HOST": host, "PORT": port} {
		t.Setenv("PUSHER_"+name, value)
	}
	got := lines(t, "pusherhttp/laravel.php", "0.1")
	if len(got) != 4 || got[0] != "to all: ok" || got[1] != "to others: ok" || !strings.Contains(got[2], "bad_exclude") ||
		got[3] != `{"channels":{"orders":{"subscription_count":2}}}` {
		t.Errorf("Laravel says %q", got)
	}
	const data = `{"order":17,"amount":19.5}`
	for _, s := range []*eventStream{mine, other, other} {
		if e := s.next(); e.name != "OrderPaid" || !strings.HasPrefix(e.data, data[:len(data)-1]) {
			t.Errorf("%s %s", e.name, e.data)
		}
	}
	p.publish("orders", "last")
	if e := mine.next(); e.data != "last" {
		t.Errorf("toOthers() does not leave out %+v", e)
	}
}

// api asks the HTTP API, and returns the status and the body.
func (p *peal) api(t *testing.T, method, target string) string {
	t.Helper()
	path, query, _ := strings.Cut("/apps/"+appID+target, "?")
	body := ""
	if method == "POST" {
		body = "{}"
	}
	query, err := theApp(t).Sign(app.Request{Method: method, Path: path, RawQuery: query, Body: []byte(body)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a := p.do(method, path+"?"+query, body, "Content-Type: application/json")
	return strconv.Itoa(a.status) + " " + string(a.body)
}

// The backend finds the clients of the protocol: their number, the members of a presence
// channel, and those of a user, which it can end.
func TestTheAPIFindsClients(t *testing.T) {
	p := startApp(t)
	ann, bob := p.openXHR(appKey, "1/aaaaaaaa").established(), p.openXHR(appKey, "2/bbbbbbbb").established()
	for user, s := range map[string]*xhrSession{"ann": ann, "bob": bob} {
		data := `{"user_id":"` + user + `"}`
		quoted, _ := json.Marshal(data)
		s.send(subscribeTo("presence-room", `,"channel_data":`+string(quoted)+`,"auth":"`+signedFor(t, s.socket, "presence-room", data)+`"`))
		if got := s.heard(); !strings.HasPrefix(got, "pusher_internal:subscription_succeeded presence-room ") {
			t.Fatalf("%s hears %s", user, got)
		}
		userData := `{"id":"` + user + `"}`
		quoted, _ = json.Marshal(userData)
		s.send(`{"event":"pusher:signin","data":{"user_data":` + string(quoted) + `,"auth":"` + signedFor(t, s.socket, ":user", ":"+userData) + `"}}`)
		for got := ""; !strings.HasPrefix(got, "pusher:signin_success  "); got = s.heard() {
			if strings.HasPrefix(got, "pusher:error") {
				t.Fatalf("%s hears %s", user, got)
			}
		}
	}
	for target, want := range map[string]string{
		"/channels/presence-room/users":                               `200 {"users":[{"id":"ann"},{"id":"bob"}]}`,
		"/channels/presence-room?info=user_count,subscription_count":  `200 {"occupied":true,"user_count":2,"subscription_count":2}`,
		"/channels?filter_by_prefix=presence-&info=user_count":        `200 {"channels":{"presence-room":{"user_count":2}}}`,
		"/channels/presence-other/users":                              `200 {"users":[]}`,
		"/connections":                                                `200 {"connections":2}`,
		"/channels?filter_by_prefix=private-&info=subscription_count": `200 {"channels":{}}`,
	} {
		if got := p.api(t, "GET", target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	if got := p.api(t, "POST", "/users/bob/terminate_connections"); got != "200 {}" {
		t.Errorf("terminate: %s", got)
	}
	for line := ""; !strings.HasPrefix(line, "c[4009,"); line = bob.next() {
		if strings.HasPrefix(line, "c") {
			t.Fatalf("bob is ended by %s", line)
		}
	}
	p.trigger(t, `{"name":"still","channels":["presence-room"],"data":"here"}`)
	for got := ""; got != "still presence-room here"; got = ann.heard() {
		if strings.HasPrefix(got, "pusher:error") {
			t.Fatalf("ann hears %s", got)
		}
	}
	if got := p.api(t, "GET", "/connections"); got != `200 {"connections":1}` {
		t.Errorf("after one has ended: %s", got)
	}
}
