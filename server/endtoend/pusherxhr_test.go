package endtoend_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/app"
	"peal/server/rules"
)

// xhrSession is a session of a Pusher client over plain HTTP.
type xhrSession struct {
	p      *peal
	path   string
	lines  *bufio.Reader
	body   io.Closer
	header http.Header
	socket string // its socket id
}

const xhrQuery = "?protocol=7&client=js&version=8.6.0&t=1&n=1"

// openXHR opens a session of that name, SERVER/SESSION, for a key.
func (p *peal) openXHR(key, name string) *xhrSession {
	p.t.Helper()
	s := &xhrSession{p: p, path: "/pusher/app/" + key + "/" + name}
	request, err := http.NewRequest("POST", p.url+s.path+"/xhr_streaming"+xhrQuery, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Origin", "http://localhost:3000")
	client := http.Client{Transport: p.client.Transport}
	resp, err := client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		p.t.Fatalf("status %d", resp.StatusCode)
	}
	s.lines, s.body, s.header = bufio.NewReader(resp.Body), resp.Body, resp.Header
	return s
}

// next is the next line, without those that are a sign of life.
func (s *xhrSession) next() string {
	s.p.t.Helper()
	impatient := time.AfterFunc(patience, func() { _ = s.body.Close() }) // ends the read
	defer impatient.Stop()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.p.t.Fatalf("%s: %v after %q", s.path, err, line)
		}
		if line != "a[]\n" {
			return strings.TrimSuffix(line, "\n")
		}
	}
}

// heard is the next event of the protocol, as EVENT CHANNEL DATA.
func (s *xhrSession) heard() string {
	s.p.t.Helper()
	line := s.next()
	var texts []string
	var e struct {
		Event, Channel string
		Data           json.RawMessage
	}
	if rest, ok := strings.CutPrefix(line, "a"); !ok || json.Unmarshal([]byte(rest), &texts) != nil || len(texts) != 1 || json.Unmarshal([]byte(texts[0]), &e) != nil {
		s.p.t.Fatalf("%s is no line with one event", line)
	}
	data := string(e.Data)
	if text := ""; json.Unmarshal(e.Data, &text) == nil {
		data = text
	}
	return e.Event + " " + e.Channel + " " + data
}

func (s *xhrSession) want(lines ...string) {
	s.p.t.Helper()
	for _, want := range lines {
		if got := s.heard(); got != want {
			s.p.t.Fatalf("%s hears %s, want %s", s.path, got, want)
		}
	}
}

// established reads the beginning of a session.
func (s *xhrSession) established() *xhrSession {
	s.p.t.Helper()
	if line := s.next(); line != "o" {
		s.p.t.Fatalf("a session begins with %q", line)
	}
	name, data, _ := strings.Cut(s.heard(), "  ")
	var d struct {
		SocketID        string `json:"socket_id"`
		ActivityTimeout int    `json:"activity_timeout"`
	}
	if name != "pusher:connection_established" || json.Unmarshal([]byte(data), &d) != nil || d.ActivityTimeout < 1 {
		s.p.t.Fatalf("it goes on with %s %s", name, data)
	}
	s.socket = d.SocketID
	return s
}

// send sends messages by a request of its own, and returns its status.
func (s *xhrSession) send(messages ...string) int {
	s.p.t.Helper()
	body, err := json.Marshal(messages)
	if err != nil {
		s.p.t.Fatal(err)
	}
	if len(messages) == 0 {
		body = []byte("[]")
	}
	return s.p.do("POST", s.path+"/xhr_send?t=1&n=2", string(body), "Content-Type: application/json", "Origin: http://localhost:3000").status
}

func subscribeTo(channel, more string) string {
	return `{"event":"pusher:subscribe","data":{"channel":"` + channel + `"` + more + `}}`
}

// signedFor is the auth of a channel.
func signedFor(t *testing.T, socket, channel, data string) string {
	t.Helper()
	text := socket + ":" + channel
	if data != "" {
		text += ":" + data
	}
	return appKey + ":" + string(theApp(t).AppendSignature(nil, []byte(text)))
}

func theApp(t *testing.T) *app.App {
	t.Helper()
	table, err := app.New([]app.Definition{{ID: appID, Key: appKey, Secret: appSecret}}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table.ByID(appID)
}

// trigger publishes an event by the HTTP API.
func (p *peal) trigger(t *testing.T, body string) {
	t.Helper()
	path := "/apps/" + appID + "/events"
	query, err := theApp(t).Sign(app.Request{Method: "POST", Path: path, Body: []byte(body)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if a := p.do("POST", path+"?"+query, body, "Content-Type: application/json"); a.status != 200 {
		t.Fatalf("%s: %d %s", body, a.status, a.body)
	}
}

func TestTheProtocolOverPlainHTTP(t *testing.T) {
	p := startApp(t)
	a, b := p.openXHR(appKey, "1/aaaaaaaa").established(), p.openXHR(appKey, "999/bbbbbbbb").established()
	for header, want := range map[string]string{"Content-Type": "application/javascript; charset=utf-8", "Access-Control-Allow-Origin": "http://localhost:3000", "X-Accel-Buffering": "no", "Cache-Control": "no-store"} {
		if got := a.header.Get(header); got != want {
			t.Errorf("%s is %q", header, got)
		}
	}
	if a.socket == b.socket {
		t.Errorf("two sessions have the socket id %s", a.socket)
	}
	if status := a.send(`{"event":"pusher:ping","data":{}}`, subscribeTo("orders", "")); status != 204 {
		t.Errorf("status %d", status)
	}
	a.want("pusher:pong  {}", "pusher_internal:subscription_succeeded orders {}")

	// Private channels and client events.
	for _, s := range []*xhrSession{a, b} {
		s.send(subscribeTo("private-a", `,"auth":"`+signedFor(t, s.socket, "private-a", "")+`"`))
		s.want("pusher_internal:subscription_succeeded private-a {}")
	}
	a.send(`{"event":"client-typing","channel":"private-a","data":{"x":"\"ü\u2028"}}`)
	if got := b.heard(); got != `client-typing private-a {"x":"\"ü\u2028"}` {
		t.Errorf("the other client hears %s", got)
	}
	b.send(subscribeTo("private-b", `,"auth":"`+signedFor(t, a.socket, "private-b", "")+`"`))
	if got := b.heard(); !strings.HasPrefix(got, "pusher:subscription_error private-b ") {
		t.Errorf("with the signature of another socket id: %s", got)
	}

	// The backend publishes, and leaves one out.
	p.trigger(t, `{"name":"paid","channels":["orders","private-a"],"data":"{\"n\":1}","socket_id":"`+b.socket+`"}`)
	a.want(`paid orders {"n":1}`, `paid private-a {"n":1}`)
	p.trigger(t, `{"name":"last","channels":["private-a"],"data":"x"}`)
	b.want("last private-a x")
	a.want("last private-a x")

	// Presence.
	join := func(s *xhrSession, user string) {
		data := `{"user_id":"` + user + `","user_info":{"name":"U"}}`
		quoted, _ := json.Marshal(data)
		s.send(subscribeTo("presence-room", `,"channel_data":`+string(quoted)+`,"auth":"`+signedFor(t, s.socket, "presence-room", data)+`"`))
	}
	join(a, "1")
	a.want(`pusher_internal:subscription_succeeded presence-room {"presence":{"ids":["1"],"hash":{"1":{"name":"U"}},"count":1}}`)
	join(b, "2")
	const hasJoined = `pusher_internal:member_added presence-room {"user_id":"%s","user_info":{"name":"U"}}`
	if got := b.heard(); got != `pusher_internal:subscription_succeeded presence-room {"presence":{"ids":["1","2"],"hash":{"1":{"name":"U"},"2":{"name":"U"}},"count":2}}` {
		// The event of the other's join is still to come, and then the list is that of before.
		if got != `pusher_internal:subscription_succeeded presence-room {"presence":{"ids":["2"],"hash":{"2":{"name":"U"}},"count":1}}` {
			t.Errorf("the second member hears %s", got)
		}
		b.want(fmt.Sprintf(hasJoined, "1"))
	}
	a.want(fmt.Sprintf(hasJoined, "2"))
	b.send(`{"event":"pusher:unsubscribe","data":{"channel":"presence-room"}}`)
	a.want(`pusher_internal:member_removed presence-room {"user_id":"2"}`)

	// An empty array asks for a sign of life.
	if status := a.send(); status != 204 {
		t.Errorf("status %d", status)
	}
	if line, err := a.lines.ReadString('\n'); err != nil || line != "a[]\n" {
		t.Errorf("an empty array gives %q, %v", line, err)
	}

	// The server ends it.
	p.stop()
	if line := a.next(); !strings.HasPrefix(line, "c[4100,") && !strings.HasPrefix(line, "c[1001,") {
		t.Errorf("at the end of the server: %s", line)
	}
}

// A client that polls receives what is published between its polls, however much that is: it
// comes from the log.
func TestPollsOfThePusherProtocol(t *testing.T) {
	p := startApp(t)
	path := "/pusher/app/" + appKey + "/7/pppppppp"
	poll := func() *xhrSession {
		a := p.do("POST", path+"/xhr"+xhrQuery, "", "Origin: http://localhost:3000")
		if a.status != 200 || a.header.Get("Content-Type") != "application/javascript; charset=utf-8" || a.header.Get("Access-Control-Allow-Origin") != "http://localhost:3000" {
			t.Fatalf("%d %v %s", a.status, a.header, a.body)
		}
		return &xhrSession{p: p, path: path, lines: bufio.NewReader(bytes.NewReader(a.body)), body: io.NopCloser(nil)}
	}
	s := poll().established()
	if s.send(subscribeTo("orders", "")) != 204 {
		t.Fatal("nothing can be sent")
	}
	poll().want("pusher_internal:subscription_succeeded orders {}")
	const events, size = 20, 30_000
	for i := range events {
		p.trigger(t, fmt.Sprintf(`{"name":"e%d","channels":["orders"],"data":"%s"}`, i, strings.Repeat("x", size)))
	}
	polls := 0
	for i := 0; i < events; polls++ {
		for s = poll(); i < events; i++ {
			if _, err := s.lines.Peek(1); err != nil {
				break
			}
			s.want(fmt.Sprintf("e%d orders %s", i, strings.Repeat("x", size)))
		}
	}
	if polls < 2 {
		t.Errorf("%d polls", polls)
	}
	if status := s.send(`{"event":"pusher:ping","data":{}}`); status != 204 {
		t.Errorf("status %d", status)
	}
	poll().want("pusher:pong  {}")
}

// A session is that of its name and key, while it is open.
func TestSessionsOverPlainHTTPBelongToTheirClient(t *testing.T) {
	const other = "9:other-key:other-secret"
	p := startWith(t, func(c *server.Config) {
		c.App = appID + ":" + appKey + ":" + appSecret
		d, err := app.Parse(other)
		if err != nil {
			t.Fatal(err)
		}
		d.Namespace = "other:"
		c.Apps = append(c.Apps, d)
	})
	a := p.openXHR(appKey, "1/aaaaaaaa").established()
	for _, path := range []string{
		"/pusher/app/" + appKey + "/1/aaaaaaab", "/pusher/app/" + appKey + "/2/aaaaaaaa", "/pusher/app/other-key/1/aaaaaaaa", "/pusher/app/no-key/1/aaaaaaaa",
		"/pusher/app/" + appKey + "/1/aaaaaaa", "/pusher/app/" + appKey + "/1000/aaaaaaaa", "/pusher/app/" + appKey + "/x/aaaaaaaa", "/pusher/app/" + appKey + "/1/aaaaaaa%2f",
	} {
		if got := p.do("POST", path+"/xhr_send", `["{\"event\":\"pusher:ping\",\"data\":{}}"]`); got.status != 404 || !strings.Contains(string(got.body), "unknown_session") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	for _, origin := range []string{"http://localhost:3001", ""} { // it is that of a page of one origin
		if got := p.do("POST", a.path+"/xhr_send", "[]", map[bool][]string{true: {"Origin: " + origin}}[origin != ""]...); got.status != 404 {
			t.Errorf("by a page of %q: %d %s", origin, got.status, got.body)
		}
		if got := p.do("POST", a.path+"/xhr"+xhrQuery, "", map[bool][]string{true: {"Origin: " + origin}}[origin != ""]...); !strings.Contains(string(got.body), "\nc[4200,") {
			t.Errorf("received by a page of %q: %d %s", origin, got.status, got.body)
		}
	}
	for _, body := range []string{"", "x", "{}", "[1]", `["a"`, "[" + strings.Repeat(`"a",`, 64) + `"a"]`} {
		if got := p.do("POST", a.path+"/xhr_send", body, "Origin: http://localhost:3000"); got.status != 400 {
			t.Errorf("%.20q: %d %s", body, got.status, got.body)
		}
	}
	a.send("no JSON")
	if got := a.heard(); !strings.HasPrefix(got, "pusher:error  ") || !strings.Contains(got, "4200") {
		t.Errorf("no JSON gives %s", got)
	}

	// Opened twice, neither has what the other has.
	again := p.openXHR(appKey, "1/aaaaaaaa")
	if line := again.next(); line != "o" {
		t.Errorf("opened anew it begins with %s", line)
	}
	_ = again.next() // pusher:error
	if line := again.next(); !strings.HasPrefix(line, "c[4200,") {
		t.Errorf("opened anew it ends with %s", line)
	}
	if line := a.next(); !strings.HasPrefix(line, "c[4100,") {
		t.Errorf("the session that was open ends with %s", line)
	}

	for path, want := range map[string]string{"/pusher/app/no-key/1/cccccccc": "c[4001,", "/pusher/app/" + appKey + "/1/cccccccc": "c[4008,"} {
		got := p.do("POST", path+"/xhr_streaming"+map[bool]string{true: xhrQuery}[strings.Contains(path, "no-key")], "")
		lines := strings.Split(string(got.body), "\n")
		if got.status != 200 || lines[0] != "o" || len(lines) != 4 || !strings.HasPrefix(lines[2], want) {
			t.Errorf("%s: %d %q, want %s", path, got.status, lines, want)
		}
	}
	for _, path := range []string{"/xhr_streaming", "/xhr_send"} {
		got := p.do("OPTIONS", a.path+path, "", "Origin: http://localhost:3000", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
		if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "http://localhost:3000" || got.header.Get("Access-Control-Allow-Headers") != "content-type" {
			t.Errorf("preflight of %s: %d %v", path, got.status, got.header)
		}
		if got := p.do("POST", a.path+path, "", "Origin: http://evil.example"); got.status != 403 {
			t.Errorf("%s for a page of another site: %d", path, got.status)
		}
	}
}

// pusher-js in a browser, unchanged and with the options of docs/pusher.md, through nginx that
// passes no upgrade on: it falls back by itself.
func TestTheFallbackOfABrowser(t *testing.T) {
	program := tool(t, "nginx")
	script, err := os.ReadFile(pusherModule(t, "pusher-js") + "/node_modules/pusher-js/dist/web/pusher.min.js")
	if err != nil {
		t.Fatal(err)
	}
	p, dir := startApp(t), t.TempDir()
	through := p.proxy(t, dir, "nginx.conf", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8080", p.addr, "listen 80;", "listen 127.0.0.1:"+port+";",
			"proxy_set_header Upgrade $http_upgrade;", "", "proxy_set_header Connection $peal_connection;", `proxy_set_header Connection "";`,
			"\nhttp {", "\nhttp {\n"+nginxPlaces)
	}, program, "-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, socket, channel := r.FormValue("user"), r.FormValue("socket_id"), r.FormValue("channel_name")
		switch r.URL.Path {
		case "/":
			http.ServeFile(w, r, "testdata/pusherhttp/page.html")
		case "/pusher.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(script)
		case "/auth":
			reply := map[string]string{}
			data := ""
			if strings.HasPrefix(channel, "presence-") {
				data = `{"user_id":"` + user + `"}`
				reply["channel_data"] = data
			}
			reply["auth"] = signedFor(t, socket, channel, data)
			_ = json.NewEncoder(w).Encode(reply)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	host, port, _ := strings.Cut(through.addr, ":")
	browser := browse(t, fmt.Sprintf("%s/?host=%s&port=%s", site.URL, host, port))
	browser.until(`typeof connect === 'function'`)
	browser.evaluate(`window.ann = connect('ann'); window.bob = connect('bob'); 0`)
	browser.until(`ann.connection.state === 'connected' && bob.connection.state === 'connected'`)
	if got := browser.evaluate(`[transport(ann), transport(bob)].join()`); got != "xhr_streaming,xhr_streaming" {
		t.Errorf("the transports are %s", got)
	}
	for _, user := range []string{"ann", "bob"} {
		browser.evaluate(`for (const c of ['orders', 'private-chat', 'presence-room']) ` + user + `.subscribe(c); 0`)
		browser.until(user + `.allChannels().length === 3 && ` + user + `.allChannels().every(c => c.subscribed)`)
	}
	browser.until(`[ann, bob].every(p => p.channel('presence-room').members.count === 2)`)
	p.trigger(t, `{"name":"paid","channels":["orders"],"data":"{\"n\":\"ü\"}"}`)
	browser.until(`heard.filter(x => x.endsWith(' paid {"n":"ü"}')).length === 2`)
	browser.evaluate(`ann.channel('private-chat').trigger('client-typing', {on: true}); 0`)
	browser.until(`heard.includes('bob client-typing {"on":true}')`)
	if got := browser.evaluate(`heard.filter(x => x.includes(' error ')).join()`); got != "" {
		t.Errorf("errors: %s", got)
	}

	// After 256 KiB the client asks for the next response, and goes on without loss.
	before := browser.evaluate(`[ann.connection.socket_id, bob.connection.socket_id].join()`)
	var want []string
	for i := range 18 {
		p.trigger(t, fmt.Sprintf(`{"name":"long","channels":["orders"],"data":"%d %s"}`, i, strings.Repeat("ü", 20<<10)))
		want = append(want, strconv.Itoa(i))
	}
	p.trigger(t, `{"name":"after","channels":["orders"],"data":"1"}`)
	browser.until(`['ann', 'bob'].every(u => heard.includes(u + ' after 1'))`)
	for _, user := range []string{"ann", "bob"} {
		if got := browser.evaluate(`heard.filter(x => x.startsWith('` + user + ` long ')).map(x => parseInt(x.slice(10))).join()`); got != strings.Join(want, ",") {
			t.Errorf("%s hears %s", user, got)
		}
	}
	if got := browser.evaluate(`[ann.connection.socket_id, bob.connection.socket_id].join()`); got != before {
		t.Errorf("the connections are others: %s, before %s", got, before)
	}

	// The second fallback, for proxies that hold back responses until they end.
	browser.evaluate(`window.eve = connect('eve', {enabledTransports: ['xhr_polling']}); 0`)
	browser.until(`eve.connection.state === 'connected'`)
	browser.evaluate(`for (const c of ['orders', 'private-chat', 'presence-room']) eve.subscribe(c); 0`)
	browser.until(`transport(eve) === 'xhr_polling' && eve.allChannels().length === 3 && eve.allChannels().every(c => c.subscribed) && eve.channel('presence-room').members.count === 3`)
	socket := browser.evaluate(`eve.connection.socket_id`)
	for i := range 30 {
		p.trigger(t, fmt.Sprintf(`{"name":"polled","channels":["orders"],"data":"%d"}`, i))
	}
	browser.evaluate(`eve.channel('private-chat').trigger('client-typing', {last: true}); 0`)
	browser.until(`heard.includes('ann client-typing {"last":true}') && heard.includes('eve polled 29')`)
	if got := browser.evaluate(`heard.filter(x => x.startsWith('eve polled ')).every((x, i) => x === 'eve polled ' + i) && eve.connection.socket_id`); got != socket {
		t.Errorf("eve hears %s; its socket is %s, before %s", browser.evaluate(`heard.filter(x => x.startsWith('eve ')).join()`), got, socket)
	}

	// Without the proxy it is a WebSocket.
	host, port, _ = strings.Cut(p.addr, ":")
	browser.evaluate(fmt.Sprintf(`window.fay = connect('fay', {wsHost: '%s', wsPort: %s}); 0`, host, port))
	browser.until(`fay.connection.state === 'connected'`)
	browser.evaluate(`for (const c of ['orders', 'private-chat', 'presence-room']) fay.subscribe(c); 0`)
	browser.until(`fay.allChannels().length === 3 && fay.allChannels().every(c => c.subscribed) && fay.channel('presence-room').members.count === 4`)
	if got := browser.evaluate(`transport(fay)`); got != "ws" {
		t.Errorf("the transport without the proxy is %s", got)
	}
	p.trigger(t, `{"name":"everywhere","channels":["orders"],"data":"1"}`)
	browser.evaluate(`fay.channel('private-chat').trigger('client-typing', {fay: true}); 0`)
	browser.until(`['ann', 'bob', 'eve', 'fay'].every(u => heard.includes(u + ' everywhere 1')) && ['ann', 'bob', 'eve'].every(u => heard.includes(u + ' client-typing {"fay":true}'))`)
	if got := browser.evaluate(`heard.includes('fay client-typing {"fay":true}')`); got != "false" {
		t.Errorf("the sender of a client event hears it: %s", got)
	}
}

// Subscribers receive their number, also when it changes.
func TestSubscriptionCountsOfThePusherProtocol(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Apps = []app.Definition{{ID: appID, Key: appKey, Secret: appSecret, SubscriptionCount: rules.Yes}}
	})
	until := func(s *xhrSession, n int) {
		want := fmt.Sprintf(`pusher_internal:subscription_count orders {"subscription_count":%d}`, n)
		for got := ""; got != want; {
			if got = s.heard(); !strings.HasPrefix(got, "pusher_internal:") {
				t.Fatalf("heard %s", got)
			}
		}
	}
	a, b := p.openXHR(appKey, "1/aaaaaaaa").established(), p.openXHR(appKey, "2/bbbbbbbb").established()
	a.send(subscribeTo("orders", ""))
	until(a, 1)
	b.send(subscribeTo("orders", ""))
	until(b, 2)
	until(a, 2)
	b.send(`{"event":"pusher:unsubscribe","data":{"channel":"orders"}}`)
	until(a, 1)
}
