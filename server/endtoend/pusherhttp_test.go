package endtoend_test

import (
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"peal/server"
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
