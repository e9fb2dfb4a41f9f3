package endtoend_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"peal/loadtest/child"
)

// The configurations in docs/proxies, tried with the real programs: each is
// taken as it stands, but for addresses and places to write to.

func TestThroughNginx(t *testing.T) { throughNginx(t, start(t)) }

// Event streams and polls reach the client of net/http, which asks for gzip, at once.
func TestCompressedThroughNginx(t *testing.T) { throughNginx(t, compressing(t, 1)) }

func throughNginx(t *testing.T, p *peal) {
	program := tool(t, "nginx")
	dir := t.TempDir()
	through := p.proxy(t, dir, "nginx.conf", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8080", p.addr, "listen 80;", "listen 127.0.0.1:"+port+";",
			"\nhttp {", "\nhttp {\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;")
	}, program, "-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
	p.tryThrough(t, through)
}

func TestThroughHAProxy(t *testing.T) {
	program := optionalTool(t, "haproxy")
	p, dir := start(t), t.TempDir()
	through := p.proxy(t, dir, "haproxy.cfg", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8080", p.addr, "bind :80", "bind 127.0.0.1:"+port)
	}, program, "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
	p.tryThrough(t, through)
}

func TestThroughCaddy(t *testing.T) {
	program := optionalTool(t, "caddy")
	p, dir := start(t), t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	through := p.proxy(t, dir, "Caddyfile", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8080", p.addr, ":80 {", "{\nadmin off\n}\nhttp://127.0.0.1:"+port+" {")
	}, program, "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	p.tryThrough(t, through)
}

// optionalTool is a tool that no machine has to have.
func optionalTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not on PATH: install Debian's package", name)
	}
	return path
}

// proxy starts a proxy in front of p with docs/proxies/name, adapted, and
// returns p as seen through it.
func (p *peal) proxy(t *testing.T, dir, name string, adapt func(port string) *strings.Replacer, program string, args ...string) *peal {
	t.Helper()
	sample, err := os.ReadFile(filepath.Join("..", "..", "docs", "proxies", name))
	if err != nil {
		t.Fatal(err)
	}
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(adapt(strconv.Itoa(port)).Replace(string(sample))), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := child.Loopback(port)
	said := &child.Tail{}
	server := &child.Program{Output: said, Name: name, Args: append([]string{program}, args...), Addrs: []string{addr}, Accept: patience}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := server.Stop(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s said: %s", program, said)
		}
	})
	return newPeal(t, addr)
}

// tryThrough uses every transport through the proxy.
func (p *peal) tryThrough(t *testing.T, through *peal) {
	t.Helper()
	events := through.events("channel=a").opened() // the head and the id come at once
	raw := through.dialSocket("/ws?channel=a", nil)
	v1 := through.dialSocket("/ws?channel=a", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	if v1.protocol != "peal.v1" {
		t.Errorf("the subprotocol is %q", v1.protocol)
	}
	v1.next() // connected
	first := through.publish("a", "one")
	if e := events.next(); e.data != "one" || e.id != first {
		t.Errorf("the event stream has %+v, want one with id %s", e, first)
	}
	raw.send(false, "two")
	for _, want := range []string{"one", "two"} {
		if got := raw.next().data; got != want {
			t.Errorf("the WebSocket has %q, want %q", got, want)
		}
		if got := v1.nextObject().text(); got != want {
			t.Errorf("peal.v1 has %q, want %q", got, want)
		}
	}
	if e := events.next(); e.data != "two" {
		t.Errorf("the event stream has %+v, want two", e)
	}

	// A poll that waits, and many on few connections of the proxy.
	cursor := through.poll("channel=a&cursor=" + first).Cursor
	held := make(chan polled, 1)
	go func() { held <- through.poll("channel=a&cursor=" + cursor) }() // ends when it is answered
	p.awaitSubscribers("a", 4)
	p.publish("a", "three")
	select {
	case a := <-held:
		if texts := a.texts(); len(texts) != 1 || texts[0] != "three" {
			t.Errorf("the waiting poll has %q, want three", texts)
		}
	case <-time.After(patience):
		t.Fatal("the waiting poll is not answered")
	}
	for range 20 {
		at := through.publish("b", "x")
		if a := through.poll("channel=b&last=1"); a.Cursor != at {
			t.Errorf("a poll has the cursor %s, want %s", a.Cursor, at)
		}
	}

	// Clients that leave are no longer counted.
	raw.close()
	v1.close()
	_ = events.body.Close()
	through.client.CloseIdleConnections()
	p.awaitSubscribers("a", 0)
}

// nginx of another user reaches Peal by a Unix socket with the permissions that it
// has by default.
func TestNginxByAUnixSocket(t *testing.T) {
	program := tool(t, "nginx")
	dir, err := os.MkdirTemp("", "peal-socket-") // t.TempDir is closed to other users
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "peal.sock")
	p := operate(t, nil, nil, "umask 022; exec", "--listen", "unix:"+socket)
	p.addr, _, _ = strings.Cut(p.addr, ",")
	p.url = "http://" + p.addr
	args := []string{"-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;"}
	if os.Getuid() == 0 {
		program, args = tool(t, "setpriv"), append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", program}, args...)
	}
	through := p.proxy(t, dir, "nginx.conf", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8080;", "unix:"+socket+";", "listen 80;", "listen 127.0.0.1:"+port+";",
			"\nhttp {", "\nhttp {\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;")
	}, program, args...)
	p.tryThrough(t, through)
}

// nginx that asks a backend: what the backend does not know stays closed, however
// the client writes it.
func TestThroughNginxThatAsks(t *testing.T) {
	program := tool(t, "nginx")
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := url.Parse(r.Header.Get("X-Original-URI"))
		if err == nil && r.URL.Path == "/may-subscribe" && r.Header.Get("Cookie") == "user=ann" {
			q, err := url.ParseQuery(u.RawQuery)
			if err == nil && len(q) == 1 && len(q["channel"]) == 1 && q.Get("channel") == "ann" {
				return
			}
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer backend.Close()
	p, dir := start(t), t.TempDir()
	through := p.proxy(t, dir, "nginx-access.conf", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8080", p.addr, "127.0.0.1:9000", backend.Listener.Addr().String(), "listen 80;", "listen 127.0.0.1:"+port+";",
			"\nhttp {", "\nhttp {\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;")
	}, program, "-p", dir, "-c", "nginx-access.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")

	p.publish("ann", "hello")
	cookie := http.Header{"Cookie": {"user=ann"}}
	events := through.events("channel=ann", "Cookie: user=ann").opened()
	defer events.body.Close()
	raw := through.dialSocket("/ws?channel=ann", cookie)
	p.publish("ann", "again")
	if got := raw.next().data; got != "again" {
		t.Errorf("the WebSocket has %q", got)
	}
	for _, c := range []struct {
		method, path, cookie string
		want                 int
	}{
		{"GET", "/poll?channel=ann", "user=bob", 403}, {"GET", "/poll?channel=bob", "user=ann", 403}, {"GET", "/sse?channel=ann&channel=bob", "user=ann", 403},
		{"GET", "/poll?channel=ann&channel%5B%5D=bob", "user=ann", 403}, {"GET", "/sse", "user=ann", 403}, {"GET", "/%73se?channel=bob", "user=ann", 403},
		{"GET", "/channels", "user=ann", 404}, {"GET", "/channels/ann/history?cursor=earliest", "user=ann", 404}, {"GET", "/%63hannels", "user=ann", 404}, {"GET", "//channels", "user=ann", 404},
		{"POST", "/publish?channel=ann", "user=ann", 404}, {"POST", "/publish/batch", "user=ann", 404}, {"POST", "/disconnect?client=x", "user=ann", 404},
		{"GET", "/may-subscribe", "user=ann", 404}, {"GET", "/", "user=ann", 404}, {"GET", "/peal.js", "", 200}, {"GET", "/poll?channel=ann&timeout=1", "user=ann", 403},
	} {
		if got := through.do(c.method, c.path, "", "Cookie: "+c.cookie); got.status != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got.status, c.want)
		}
	}
	for _, protocols := range []string{"peal.v1", "peal.raw, peal.v1", "PEAL.V1"} {
		_, response, err := through.tryDialSocket("/ws?channel=ann", http.Header{"Cookie": {"user=ann"}, "Sec-Websocket-Protocol": {protocols}})
		if err == nil || response == nil || response.StatusCode != 403 {
			t.Errorf("subprotocols %s are let through: %v", protocols, err)
		}
	}
}

// The samples leave what is the backend's to this machine; here this machine is
// made a stranger.

func TestNginxKeepsStrangersFromWhatIsTheBackends(t *testing.T) {
	program := tool(t, "nginx")
	p, dir := start(t), t.TempDir()
	through := p.proxy(t, dir, "nginx.conf", func(port string) *strings.Replacer {
		return strings.NewReplacer("allow 127.0.0.1;", "", "127.0.0.1:8080", p.addr, "listen 80;", "listen 127.0.0.1:"+port+";",
			"\nhttp {", "\nhttp {\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;")
	}, program, "-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
	through.stranger(403)
}

func TestHAProxyKeepsStrangersFromWhatIsTheBackends(t *testing.T) {
	program := optionalTool(t, "haproxy")
	p, dir := start(t), t.TempDir()
	through := p.proxy(t, dir, "haproxy.cfg", func(port string) *strings.Replacer {
		return strings.NewReplacer("src 127.0.0.1", "src 192.0.2.1", "127.0.0.1:8080", p.addr, "bind :80", "bind 127.0.0.1:"+port)
	}, program, "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
	through.stranger(404)
}

func TestCaddyKeepsStrangersFromWhatIsTheBackends(t *testing.T) {
	program := optionalTool(t, "caddy")
	p, dir := start(t), t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	through := p.proxy(t, dir, "Caddyfile", func(port string) *strings.Replacer {
		return strings.NewReplacer("remote_ip 127.0.0.1", "remote_ip 192.0.2.1", "127.0.0.1:8080", p.addr, ":80 {", "{\nadmin off\n}\nhttp://127.0.0.1:"+port+" {")
	}, program, "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	through.stranger(404)
}

// stranger checks that a proxy lets subscribers through, and refuses with that
// status what is the backend's, however it is written.
func (p *peal) stranger(status int) {
	p.t.Helper()
	for _, request := range []string{"GET /channels", "GET /channels/a/history", "GET /channels/a", "GET /%63hannels", "POST /publish", "POST /publish?channel=a", "POST /publish/batch", "POST /disconnect?client=a"} {
		method, path, _ := strings.Cut(request, " ")
		if got := p.do(method, path, "x"); got.status != status && !(strings.Contains(path, "%") && got.status == 404) { // Peal has no such path
			p.t.Errorf("%s: %d, want %d", request, got.status, status)
		}
	}
	for _, path := range []string{"/", "/peal.js", "/poll?channel=a&timeout=1"} {
		if got := p.do("GET", path, ""); got.status != 200 {
			p.t.Errorf("GET %s: %d, want 200", path, got.status)
		}
	}
}
