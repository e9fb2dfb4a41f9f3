package endtoend_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/scripts/testca"
	"peal/server"
)

// Real proxies name their clients: docs/proxies.md. The proxies connect from 127.0.0.1,
// which is trusted, and the clients from other addresses of loopback.

// behindProxies is a server that trusts the proxies of the test, on TCP and a Unix socket.
type behindProxies struct {
	*peal
	socket string
	access string // path of the access log
}

func newBehindProxies(t *testing.T, changes ...func(*server.Config)) *behindProxies {
	t.Helper()
	dir := t.TempDir()
	p := &behindProxies{socket: filepath.Join(dir, "s"), access: filepath.Join(dir, "access")}
	p.peal = startWith(t, func(c *server.Config) {
		c.Listen, c.TrustedProxies, c.AccessLog = append(c.Listen, "unix:"+p.socket), []string{"127.0.0.1", "unix"}, p.access
		for _, change := range changes {
			change(c)
		}
	})
	return p
}

// client is the newest client of the access log whose request has that path.
func (p *behindProxies) client(path string) string {
	p.t.Helper()
	var client string
	p.await("a line of the access log about "+path, func() bool {
		time.Sleep(2 * time.Millisecond) // a goroutine writes it
		f, err := os.Open(p.access)
		if err != nil {
			return false
		}
		defer f.Close()
		found := false
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var line struct{ Client, Path string }
			if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Path == path {
				client, found = line.Client, true
			}
		}
		return found
	})
	return client
}

const nginxPlaces = "access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;"

// tryHeaders sends requests of several clients through a proxy that writes
// X-Forwarded-For, on connections to Peal that it shares.
func (p *behindProxies) tryHeaders(t *testing.T, through *peal) {
	t.Helper()
	p.publish("b", "x")
	for i := range 12 {
		address := fmt.Sprintf("127.0.0.%d", 7+i%3)
		path := fmt.Sprintf("/poll?channel=b&last=1&client=c%d", i)
		got := through.from(address).do("GET", path, "",
			"X-Forwarded-For: 198.51.100.1", "Forwarded: for=198.51.100.2", "X-Forwarded-Proto: https", "X_Forwarded_For: 198.51.100.3", "X-Real-IP: 198.51.100.4")
		if got.status != 200 {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		if client := p.client(path); client != address {
			t.Errorf("request %d: client %q, want %s", i, client, address)
		}
	}
	events := through.from("127.0.0.8").events("channel=a").opened()
	_ = events.body.Close()
	if client := p.client("/sse?channel=a"); client != "127.0.0.8" {
		t.Errorf("event stream: client %q", client)
	}
	p.awaitSubscribers("a", 0)
	if n := p.server.ForwardingIgnored(); n != 0 {
		t.Errorf("%d headers were ignored", n)
	}
	p.tryThrough(t, through)
}

// tryBytes sends requests through a proxy that writes headers of the PROXY protocol.
func (p *behindProxies) tryBytes(t *testing.T, through *peal) {
	t.Helper()
	before := p.server.ProxyHeaders()
	for i, address := range []string{"127.0.0.7", "127.0.0.8"} {
		path := fmt.Sprintf("/channels?limit=%d", 100+i)
		c, err := (&net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).Dial("tcp", through.addr)
		if err != nil {
			t.Fatal(err)
		}
		local := c.LocalAddr()
		if through.trust != nil {
			c = tls.Client(c, through.trust)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.2\r\n\r\n", path)
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		if client := p.client(path); client != local.String() {
			t.Errorf("client %q, want %v", client, local)
		}
		c.Close()
	}
	if got := p.server.ProxyHeaders(); got.Headers < before.Headers+2 || got.Malformed+got.Late > 0 {
		t.Errorf("%+v, before %+v", got, before)
	}
	p.tryThrough(t, through)
}

func TestThroughTrustedNginx(t *testing.T) {
	program := tool(t, "nginx")
	p := newBehindProxies(t)
	for _, at := range []string{p.addr, "unix:" + p.socket} {
		dir := t.TempDir()
		p.tryHeaders(t, p.proxy(t, dir, "nginx.conf", func(port string) *strings.Replacer {
			return strings.NewReplacer("127.0.0.1:8080;", at+";", "listen 80;", "listen 127.0.0.1:"+port+";", "\nhttp {", "\nhttp {\n"+nginxPlaces)
		}, program, "-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;"))
	}
}

func TestThroughTrustedHAProxy(t *testing.T) {
	program := tool(t, "haproxy")
	p := newBehindProxies(t)
	for _, at := range []string{p.addr, "unix@" + p.socket} {
		dir := t.TempDir()
		p.tryHeaders(t, p.proxy(t, dir, "haproxy.cfg", func(port string) *strings.Replacer {
			return strings.NewReplacer("127.0.0.1:8080", at, "bind :80", "bind 127.0.0.1:"+port)
		}, program, "-db", "-f", filepath.Join(dir, "haproxy.cfg")))
	}
}

func TestThroughNginxStream(t *testing.T) {
	program := tool(t, "nginx")
	if _, err := os.Stat(streamModule); err != nil {
		lacking(t, "nginx's stream module: install libnginx-mod-stream")
	}
	p := newBehindProxies(t)
	for _, at := range []string{p.addr, "unix:" + p.socket} {
		dir := t.TempDir()
		p.tryBytes(t, p.proxy(t, dir, "nginx-stream.conf", func(port string) *strings.Replacer {
			return strings.NewReplacer("127.0.0.1:8443;", at+";", "listen 443;", "listen 127.0.0.1:"+port+";")
		}, program, "-p", dir, "-c", "nginx-stream.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;"))
	}
}

func TestThroughHAProxyByBytes(t *testing.T) {
	program := tool(t, "haproxy")
	p := newBehindProxies(t)
	for _, send := range []string{"send-proxy-v2", "send-proxy", "send-proxy-v2-ssl-cn", "send-proxy-v2 proxy-v2-options crc32c,unique-id"} {
		for _, at := range []string{p.addr, "unix@" + p.socket} {
			dir := t.TempDir()
			p.tryBytes(t, p.proxy(t, dir, "haproxy-tcp.cfg", func(port string) *strings.Replacer {
				return strings.NewReplacer("127.0.0.1:8443 send-proxy-v2", at+" "+send, "bind :443", "bind 127.0.0.1:"+port)
			}, program, "-db", "-f", filepath.Join(dir, "haproxy-tcp.cfg")))
		}
	}
}

// A health check of HAProxy that sends no header finds the server well, also one over a
// Unix socket of HAProxy, whose clients have no address.
func TestHAProxyWithoutAClient(t *testing.T) {
	program := tool(t, "haproxy")
	p, dir := newBehindProxies(t), t.TempDir()
	front := filepath.Join(dir, "front")
	through := p.proxy(t, dir, "haproxy-tcp.cfg", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8443 send-proxy-v2 check-send-proxy check", p.addr+" send-proxy-v2 check inter 100", "bind :443", "bind 127.0.0.1:"+port+"\n\tbind unix@"+front)
	}, program, "-db", "-f", filepath.Join(dir, "haproxy-tcp.cfg"))
	p.await("health checks without a header", func() bool {
		time.Sleep(10 * time.Millisecond)
		loops, err := p.server.LoopStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range loops {
			n += int(s.Accepted)
		}
		return n > 5
	})
	if got := p.server.ProxyHeaders(); got.Malformed+got.Late > 0 {
		t.Errorf("%+v", got)
	}
	c, err := net.Dial("unix", front)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /channels?limit=7 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	if client := p.client("/channels?limit=7"); !strings.HasPrefix(client, "127.0.0.1:") { // UNSPEC: that of HAProxy
		t.Errorf("client %q", client)
	}
	p.tryThrough(t, through)
}

// TLS ends in Peal: the header comes before the handshake, and no proxy reads the rest.
func TestTLSThroughProxiesByBytes(t *testing.T) {
	haproxy, nginx := tool(t, "haproxy"), tool(t, "nginx")
	ca := testca.New(t, "Test")
	cert, key := ca.Files(t.TempDir(), "server", testca.Leaf{})
	p := newBehindProxies(t, func(c *server.Config) { c.TLS.Certs, c.TLS.Keys = []string{cert}, []string{key} })
	p.trusts(trusting(ca))
	for _, send := range []string{"send-proxy-v2", "send-proxy"} {
		dir := t.TempDir()
		through := p.proxy(t, dir, "haproxy-tcp.cfg", func(port string) *strings.Replacer {
			return strings.NewReplacer("127.0.0.1:8443 send-proxy-v2", p.addr+" "+send, "bind :443", "bind 127.0.0.1:"+port)
		}, haproxy, "-db", "-f", filepath.Join(dir, "haproxy-tcp.cfg"))
		through.trusts(trusting(ca))
		p.tryBytes(t, through)
	}
	if _, err := os.Stat(streamModule); err != nil {
		lacking(t, "nginx's stream module: install libnginx-mod-stream")
	}
	dir := t.TempDir()
	through := p.proxy(t, dir, "nginx-stream.conf", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8443;", p.addr+";", "listen 443;", "listen 127.0.0.1:"+port+";")
	}, nginx, "-p", dir, "-c", "nginx-stream.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
	through.trusts(trusting(ca))
	p.tryBytes(t, through)
}

const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"
