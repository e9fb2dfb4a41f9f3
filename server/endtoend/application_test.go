package endtoend_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"peal/server"
)

// startApplication starts a server that knows the secret and the key of an application,
// which are in its environment.
func startApplication(t *testing.T, allow ...string) *guarded {
	t.Helper()
	g := startGuarded(t, map[string][]string{"shop": allow}, func(c *server.Config) { c.Token.Secrets = []string{secret} })
	t.Setenv("PEAL_KEY", g.keys["shop"])
	t.Setenv("PEAL_TOKEN_SECRET", secret)
	return g
}

// wantReads checks with which status a token may read channels.
func (g *guarded) wantReads(token string, want map[string]int) {
	g.t.Helper()
	for channel, status := range want {
		if a := g.do("GET", "/channels/"+channel+"/history", "", bearer(token)); a.status != status {
			g.t.Errorf("reading %s: %d %s, want %d", channel, a.status, a.body, status)
		}
	}
}

// wantMember checks who is on a channel, by the token, which grants that.
func (g *guarded) wantMember(token, channel, client, info string) {
	g.t.Helper()
	s := g.dialSocket("/ws?channel="+channel, http.Header{"Authorization": {"Bearer " + token}, "Sec-Websocket-Protocol": {"peal.v1"}})
	defer s.close()
	s.next() // connected
	b := decode[present](g.t, g.do("GET", "/channels/"+channel+"/presence", "", bearer(token)).body)
	if len(b.Members) != 1 || b.Members[0] != (member{client, info}) {
		g.t.Errorf("on %s are %+v, want %s with %s", channel, b.Members, client, info)
	}
}

func TestPHPDocumentPrivateChannels(t *testing.T) {
	d := newPHPPage(t)
	g := startApplication(t, "publish", "revoke")
	// The login of the page.
	const login = `<?php session_save_path(__DIR__); session_start(); $_SESSION['user'] = ['id' => $_GET['id'], 'name' => 'Anna'];`
	if err := os.WriteFile(d.dir+"/login.php", []byte(login), 0o644); err != nil {
		t.Fatal(err)
	}
	patch(t, d.dir+"/token.php", "session_start();", "session_save_path(__DIR__); session_start();")
	patch(t, d.dir+"/paid.php", d.peal.url, g.url)
	pages := d.serve(".")
	if a := pages.do("GET", "/token.php", ""); a.status != 401 {
		t.Errorf("without a login: %d %s", a.status, a.body)
	}
	token := func(user string) string {
		cookie, _, _ := strings.Cut(pages.do("GET", "/login.php?id="+user, "").header.Get("Set-Cookie"), ";")
		return string(pages.do("GET", "/token.php", "", "Cookie: "+cookie).body)
	}
	anna, star := token("17"), token("*")
	g.wantReads(anna, map[string]int{"news": 200, "orders.17.1001": 200, "orders.18.1": 403, "orders.*.1": 403})
	g.wantReads(star, map[string]int{"news": 200, "orders.17.1001": 403, "orders.*.1": 200})
	g.wantMember(anna, "chat", "17", `{"name":"Anna"}`)

	own, order := g.events("channel=$me", bearer(anna)), g.events("channel=orders.17.1001", bearer(anna))
	_, wait := phpFile(t, d.dir+"/paid.php")
	wait()
	if e := order.next(); e.data != `{"paid":true}` {
		t.Errorf("the order has %+v", e)
	}
	if e := own.next(); e.data != "your order is paid" {
		t.Errorf("$me has %+v", e)
	}
	got := results(t, 1, g.url, patient, `show($peal->revoke(17));`)
	if n := decode[struct{ Revoked, Disconnected int }](t, got[0].Body); !got[0].OK || n.Revoked != 1 || n.Disconnected != 2 {
		t.Errorf("revoked: %+v", got[0])
	}
	g.wantReads(anna, map[string]int{"news": 401})
}

func TestLaravelDocumentPrivateChannels(t *testing.T) {
	debianPHP(t, "Illuminate/Foundation/Application.php", "php-laravel-framework")
	_, dir := unpack(t, "docs/laravel.md")
	patch(t, dir+"/app/Providers/AppServiceProvider.php", "$worker ? 5 : 1", "25")
	patch(t, dir+"/app/Events/OrderPaid.php", " Channel(", ` \Illuminate\Broadcasting\PrivateChannel(`)
	patch(t, dir+"/app/Events/OrderPaid.php", "    public $order;", "    use \\Illuminate\\Broadcasting\\InteractsWithSockets;\n    public $order;")
	patch(t, dir+"/routes/web.php", "event(new OrderPaid($order, 19.5))", "broadcast(new OrderPaid($order, 19.5))->toOthers()")
	g := startApplication(t, "publish", "history")
	if got := shop(t, g.url, "laravel.php", dir, "GET", "/peal-token"); !strings.HasPrefix(got[0], "401 ") {
		t.Errorf("without a login: %q", got)
	}
	token := func(user string) string {
		return strings.TrimPrefix(shop(t, g.url, "laravel.php", dir, "--user", user, "GET", "/peal-token")[0], "200 ")
	}
	anna, star := token("17"), token("*")
	g.wantReads(anna, map[string]int{"orders": 200, "private-orders.17": 200, "private-orders.18": 403, "private-orders": 403})
	g.wantReads(star, map[string]int{"private-orders.17": 403, "private-orders.*": 200})
	g.wantMember(anna, "presence-shop", "17", `{"name":"Anna"}`)

	stream := g.events("channel=private-orders.17", bearer(anna)).opened()
	for _, socket := range []string{"nonsense", stream.header.Get("Peal-Session")} {
		if got := shop(t, g.url, "laravel.php", dir, "--socket", socket, "POST", "/orders/17/pay"); got[0] != `200 {"paid":true}` {
			t.Errorf("the application answers %q", got)
		}
	}
	shop(t, g.url, "laravel.php", dir, "POST", "/orders/17/pay")
	g.publishTo("/publish?channel=private-orders.17", "end", bearer(g.keys["shop"]))
	// The second one is not for this session.
	for _, want := range []string{`{"order":17,"amount":19.5}`, `{"order":17,"amount":19.5}`, "end"} {
		if e := stream.next(); e.data != want {
			t.Errorf("the stream has %+v, want %s", e, want)
		}
	}
}

func TestSymfonyDocumentPrivateChannels(t *testing.T) {
	debianPHP(t, "Symfony/Bundle/FrameworkBundle/FrameworkBundle.php", "php-symfony-framework-bundle")
	debianPHP(t, "Symfony/Component/Yaml/Yaml.php", "php-symfony-yaml")
	debianPHP(t, "Symfony/Component/Security/Core/Security.php", "php-symfony-security-core")
	_, dir := unpack(t, "docs/symfony.md")
	patch(t, dir+"/config/services.yaml", "timeout: 1.0", "timeout: 25")
	g := startApplication(t, "publish", "history")
	got := shop(t, g.url, "symfony.php", dir, "GET", "/peal-token", "LOGIN", "ann", "GET", "/peal-token", "LOGIN", "*", "GET", "/peal-token", "POST", "/orders/17/pay", "ANNOUNCE", "private.ann.news")
	if len(got) != 4 || !strings.HasPrefix(got[0], "401 ") || got[3] != `200 {"paid":true}` {
		t.Fatalf("the application answers %q", got)
	}
	ann, star := strings.TrimPrefix(got[1], "200 "), strings.TrimPrefix(got[2], "200 ")
	g.wantReads(ann, map[string]int{"orders": 200, "private.ann.orders": 200, "private.bob.orders": 403})
	g.wantReads(star, map[string]int{"private.ann.orders": 403, "private.*.orders": 200})
	g.wantMember(ann, "shop", "ann", `{"name":"ann"}`)
	for channel, want := range map[string]string{"orders.17": `{"order":17,"amount":19.5}`, "private.ann.news": "hello"} {
		a := g.do("GET", "/channels/"+channel+"/history", "", bearer(ann))
		if texts := decode[polled](t, a.body).texts(); !slices.Equal(texts, []string{want}) {
			t.Errorf("%s has %s", channel, a.body)
		}
	}
}
