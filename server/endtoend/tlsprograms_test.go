package endtoend_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/loadtest/child"
	"peal/scripts/testacme"
	"peal/scripts/testca"
	"peal/server"
)

// secured is a server with TLS, and what a test needs to change its certificate.
type secured struct {
	*peal
	ca        *testca.CA
	root      string // PEM file of ca
	cert, key string
}

func startSecured(t *testing.T, leaf testca.Leaf, set func(*server.Config)) *secured {
	t.Helper()
	s := &secured{ca: testca.New(t, "Test")}
	dir := t.TempDir()
	s.cert, s.key = s.ca.Files(dir, "server", leaf)
	s.root = s.ca.File(dir, "root")
	s.peal = startWith(t, func(c *server.Config) {
		c.TLS.Certs, c.TLS.Keys = []string{s.cert}, []string{s.key}
		if set != nil {
			set(c)
		}
	})
	s.trusts(trusting(s.ca))
	return s
}

// says runs a program to its end and returns what it says on both outputs.
func says(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What OpenSSL finds: versions, cipher suites, renegotiation, tickets.
func TestTLSByOpenSSL(t *testing.T) {
	openssl := tool(t, "openssl")
	s := startSecured(t, testca.Leaf{RSA: true}, nil)
	client := func(stdin string, args ...string) (string, error) {
		t.Helper()
		if !slices.Contains(args, "-servername") && !slices.Contains(args, "-noservername") {
			args = append(args, "-servername", "localhost")
		}
		return says(t, stdin, append([]string{openssl, "s_client", "-connect", s.addr, "-CAfile", s.root, "-verify_return_error"}, args...)...)
	}
	for _, c := range []struct {
		args    []string
		refused bool
		says    string
	}{
		{[]string{"-tls1", "-cipher", "ALL:@SECLEVEL=0"}, true, ""},
		{[]string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, true, ""},
		{[]string{"-tls1_2"}, false, "TLSv1.2"},
		{[]string{"-tls1_3"}, false, "TLSv1.3"},
		{[]string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}, false, "ECDHE-RSA-AES128-GCM-SHA256"},
		{[]string{"-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"}, false, "CHACHA20"},
		// No forward secrecy, no or a weak cipher, no authentication.
		{[]string{"-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:AES128-GCM-SHA256:AES256-GCM-SHA384:@SECLEVEL=0"}, true, ""},
		{[]string{"-tls1_2", "-cipher", "NULL:eNULL:aNULL:ADH:AECDH:@SECLEVEL=0"}, true, ""},
		{[]string{"-tls1_2", "-cipher", "DHE-RSA-AES128-SHA:DHE-RSA-AES256-GCM-SHA384:CAMELLIA:ARIA:PSK:@SECLEVEL=0"}, true, ""},
		{[]string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"}, true, ""}, // CBC
		{[]string{"-alpn", "http/1.1"}, false, "ALPN protocol: http/1.1"},
		{[]string{"-alpn", "h2,http/1.1"}, false, "ALPN protocol: http/1.1"},
		{[]string{"-alpn", "h2"}, true, "no application protocol"},
		{[]string{"-servername", "unknown.example"}, false, "CN = localhost"}, // the first certificate
		{[]string{"-noservername"}, false, "CN = localhost"},
		{[]string{"-verify_hostname", "localhost"}, false, "Verification: OK"},
	} {
		out, err := client("", c.args...)
		done := err == nil && strings.Contains(out, "Verification: OK") && !strings.Contains(out, "Cipher is (NONE)")
		if done == c.refused || !strings.Contains(out, c.says) {
			t.Errorf("%q: refused %v, want %v with %q: %s", c.args, !done, c.refused, c.says, out)
		}
	}

	// The client asks for another handshake on the same connection. (RFC 5746 §4.5 leaves
	// the server free to refuse it.)
	out, err := client("R\n", "-tls1_2")
	if !strings.Contains(out, "RENEGOTIATING") || err == nil {
		t.Errorf("a renegotiation: %v, %s", err, out)
	}

	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		file := filepath.Join(t.TempDir(), "session")
		get := "GET /channels HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
		for i, want := range []string{"New, ", "Reused, "} {
			args := []string{version, "-ign_eof", "-sess_out", file}
			if i > 0 {
				args = append(args, "-sess_in", file)
			}
			if out, err := client(get, args...); err != nil || !strings.Contains(out, want) || !strings.Contains(out, "HTTP/1.1 200") {
				t.Errorf("%s, connection %d: %v, want %q: %s", version, i+1, err, want, out)
			}
			if i == 0 { // tickets outlive the replacement of the certificate
				s.ca.Files(filepath.Dir(s.cert), "server", testca.Leaf{RSA: true})
				if err := s.server.Reload(t.Context(), s.config); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestTLSByCurl(t *testing.T) {
	curl := tool(t, "curl")
	s := startSecured(t, testca.Leaf{Names: []string{"push.example.org", "127.0.0.1"}}, func(c *server.Config) {
		c.Auth, c.Token.Secrets = server.AuthToken, []string{strings.Repeat("s", 32)} // any Host
	})
	port := s.addr[strings.LastIndexByte(s.addr, ':')+1:]
	base := []string{curl, "-sS", "--cacert", s.root, "--resolve", "push.example.org:" + port + ":127.0.0.1", "-w", "%{http_code} %{http_version} %{ssl_verify_result}"}
	for _, args := range [][]string{{"--http1.1"}, {"--http2"}, {"--tlsv1.3"}, {"--tls-max", "1.2"}, {"--tlsv1.2", "--no-alpn"}} {
		out, err := says(t, "", slices.Concat(base, args, []string{"https://push.example.org:" + port + "/peal.js", "-o", os.DevNull})...)
		if err != nil || out != "200 1.1 0" {
			t.Errorf("curl %q: %q, %v", args, out, err)
		}
	}
	if out, err := says(t, "", slices.Concat(base, []string{"https://127.0.0.1:" + port + "/peal.js", "-o", os.DevNull})...); err != nil || out != "200 1.1 0" {
		t.Errorf("by the address: %q, %v", out, err)
	}
	if out, err := says(t, "", curl, "-sS", "https://127.0.0.1:"+port+"/peal.js", "-o", os.DevNull); err == nil {
		t.Errorf("a client that does not know the authority has no error: %q", out)
	}
}

// Peal's own commands, over every transport.
func TestTLSOfOurCommands(t *testing.T) {
	s := startSecured(t, testca.Leaf{}, nil)
	if out, err := says(t, "", pealBinary, "pub", "--url", s.url, "a", "x"); err == nil || !strings.Contains(out, "--ca") {
		t.Errorf("without --ca: %v, %s", err, out)
	}
	for _, trust := range [][]string{{"--ca", s.root}, {"--insecure"}} {
		for _, transport := range []string{"ws", "sse", "poll"} {
			channel := transport + trust[0][2:]
			if out, err := says(t, "", slices.Concat([]string{pealBinary, "pub", "--url", s.url}, trust, []string{channel, "hello"})...); err != nil {
				t.Errorf("pub %s: %v, %s", trust, err, out)
			}
			out, err := says(t, "", slices.Concat([]string{pealBinary, "sub", "--url", s.url, "--transport", transport, "--cursor", "earliest", "--count", "1"}, trust, []string{channel})...)
			if err != nil || out != "hello\n" {
				t.Errorf("sub %s by %s: %v, %q", trust, transport, err, out)
			}
		}
	}
}

// The operator's listener with certificates of clients, as peal reload and peal health use it.
func TestOurCommandsWithClientCertificates(t *testing.T) {
	ca, dir := testca.New(t, "Test"), t.TempDir()
	cert, key := ca.Files(dir, "admin", testca.Leaf{})
	own, ownKey := ca.Files(dir, "operator", testca.Leaf{Client: true, Names: []string{"operator"}})
	root := ca.File(dir, "root")
	admin, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	launch(t, "--listen", "127.0.0.1:0", "--admin", child.Loopback(admin), "--admin-tls-cert", cert, "--admin-tls-key", key, "--admin-client-ca", root)
	url := "https://" + child.Loopback(admin)
	all := []string{"--ca", root, "--cert", own, "--key", ownKey}
	if out, err := says(t, "", slices.Concat([]string{pealBinary, "health", "--url", url + "/healthz"}, all)...); err != nil || out != "ok\n" {
		t.Errorf("health: %v, %s", err, out)
	}
	if out, err := says(t, "", slices.Concat([]string{pealBinary, "reload", "--url", url + "/reload"}, all)...); err != nil || !strings.HasPrefix(out, "reloaded") {
		t.Errorf("reload: %v, %s", err, out)
	}
	if out, err := says(t, "", pealBinary, "health", "--url", url+"/healthz", "--ca", root); err == nil {
		t.Errorf("health without a certificate: %s", out)
	}
	if err := os.WriteFile(key, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := says(t, "", slices.Concat([]string{pealBinary, "reload", "--url", url + "/reload"}, all)...); err == nil || !strings.Contains(out, "admin-tls-key") {
		t.Errorf("reload with a broken key: %v, %s", err, out)
	}
	if out, err := says(t, "", slices.Concat([]string{pealBinary, "health", "--url", url + "/healthz"}, all)...); err != nil {
		t.Errorf("health after that: %v, %s", err, out)
	}
}

// nginx in front, with TLS on both sides.
func TestThroughNginxWithTLS(t *testing.T) {
	program := tool(t, "nginx")
	s, dir := startSecured(t, testca.Leaf{}, nil), t.TempDir()
	config := fmt.Sprintf("proxy_ssl_verify on; proxy_ssl_trusted_certificate %s; proxy_ssl_name localhost; proxy_ssl_server_name on;", s.root)
	through := s.proxy(t, dir, "nginx.conf", func(port string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8080", s.addr, "http://peal;", "https://peal;",
			"listen 80;", fmt.Sprintf("listen 127.0.0.1:%s ssl; ssl_certificate %s; ssl_certificate_key %s; %s", port, s.cert, s.key, config),
			"\nhttp {", "\nhttp {\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;")
	}, program, "-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
	through.trusts(trusting(s.ca))
	s.tryThrough(t, through)
}

// While certificates are replaced again and again, new connections get the new ones,
// old ones live on, sessions are resumed, and nobody misses a message.
func TestCertificatesAreReplacedUnderLoad(t *testing.T) {
	s := startSecured(t, testca.Leaf{}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	old := s.dialSocket("/ws?channel=a&format=json", nil)
	sessions := s.trust.Clone()
	sessions.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	var opened, resumed atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { // ends with stop
			for ctx.Err() == nil {
				select {
				case <-stop:
					return
				default:
				}
				c, err := tls.Dial("tcp", s.addr, sessions)
				if err == nil {
					_ = c.SetDeadline(time.Now().Add(patience))
					_, err = io.WriteString(c, "GET /channels HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				}
				if err == nil {
					_, err = io.ReadAll(c) // its tickets come, too
					if c.ConnectionState().DidResume {
						resumed.Add(1)
					}
					c.Close()
				}
				if err != nil {
					t.Errorf("a new connection: %v", err)
					return
				}
				opened.Add(1)
			}
		})
	}
	serial := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", s.addr, s.trust)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	last := serial()
	for n := range 10 {
		before := opened.Load()
		s.ca.Files(filepath.Dir(s.cert), "server", testca.Leaf{})
		if err := s.server.Reload(ctx, s.config); err != nil {
			t.Fatal(err)
		}
		now := serial()
		if now == last {
			t.Errorf("replacement %d: a new connection has the old certificate", n)
		}
		last = now
		s.publish("a", fmt.Sprint(n))
		s.await("further connections", func() bool { return opened.Load() > before || t.Failed() })
	}
	close(stop)
	clients.Wait()
	for n := range 10 {
		if got := old.nextObject().text(); got != fmt.Sprint(n) {
			t.Errorf("the old connection has %q, want %d", got, n)
		}
	}
	if resumed.Load() == 0 {
		t.Errorf("of %d connections none has resumed a session", opened.Load())
	}
	t.Logf("%d connections, %d of them resumed a session", opened.Load(), resumed.Load())
}

// Messages of 1 MiB reach clients that read slowly.
func TestLargeMessagesToSlowReadersOverTLS(t *testing.T) {
	s := startSecured(t, testca.Leaf{}, func(c *server.Config) {
		c.Loop.MessageBytes = 1 << 20
		c.Hub.Limits.Bytes = 16 << 20
	})
	id := func(n int) string { return fmt.Sprintf("%08d", n) } // what a listener keeps of a message
	text := func(n int) string { return id(n) + strings.Repeat(string(rune('a'+n)), 1<<20-len(id(n))) }
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	c := newCrowd(ctx, s.peal)
	gate := make(chan struct{})
	read := sync.OnceFunc(func() { close(gate) })
	defer read()
	var list []*listener
	for n := range 6 {
		l := &listener{kind: []kind{socketRaw, socketJSON, stream}[n%3], channels: []string{"a"}, gate: gate}
		if err := c.open(l); err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	fast := s.dialSocket("/ws?channel=a", nil)
	for n := range 4 {
		s.publish("a", text(n))
		if got := fast.next().data; got != text(n) {
			t.Errorf("message %d has %d bytes", n, len(got))
		}
	}
	s.publish("a", last)
	read()
	for _, l := range list {
		<-l.ended
		if want := []string{id(0), id(1), id(2), id(3), last}; !slices.Equal(l.got, want) || !l.done {
			t.Errorf("%s has received %q (%v), want %q", l, l.got, l.err, want)
		}
	}
}

// A good-bye over TLS: 1001, the end of the event stream, and close_notify.
func TestDrainOverTLS(t *testing.T) {
	s := startSecured(t, testca.Leaf{}, nil)
	w := s.dialSocket("/ws?channel=a", nil)
	raw := s.dial().send("GET /ws?channel=a HTTP/1.1\r\n" + hostLine + handshake + "\r\n")
	idle := s.dial().send(get("/channels"))
	idle.want("GET", 200)
	e := s.events("channel=a").opened()
	s.awaitSubscribers("a", 3)
	go s.stop() // ends with the server; the test waits for it below
	if code := w.closed(); code != 1001 {
		t.Errorf("the WebSocket is closed with %d, want 1001", code)
	}
	if _, err := e.tryNext(); !errors.Is(err, io.EOF) {
		t.Errorf("the event stream ends with %v", err)
	}
	idle.ended("an idle connection") // without close_notify it is an unexpected end
	response, err := http.ReadResponse(raw.r, nil)
	if err != nil || response.StatusCode != 101 {
		t.Fatalf("%v, %v", response, err)
	}
	rest, err := io.ReadAll(raw.r)
	if err != nil || len(rest) < 4 || rest[0] != 0x88 {
		t.Errorf("behind the handshake: %q, %v, want a close frame and close_notify", rest, err)
	}
	raw.conn.Close()
	idle.conn.Close()
}

// The whole way to a certificate, with the real program: TLS-ALPN-01 on the listener for
// clients, then HTTP-01 by the one that redirects.
func TestACMEWithTheProgram(t *testing.T) {
	free := func() int {
		port, err := child.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	ports := testacme.Ports{HTTP: free(), TLS: free()}
	authority, err := testacme.Start(t, ports, 90*24*time.Hour)
	if errors.Is(err, testacme.ErrLacking) {
		lacking(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, domain, listen string
		more                 []string
	}{
		{"TLS-ALPN-01", "alpn.example.org", child.Loopback(ports.TLS), nil},
		{"HTTP-01", "http.example.org", "127.0.0.1:0", []string{"--http-redirect", child.Loopback(ports.HTTP)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "acme")
			flags := append([]string{"--listen", c.listen, "--acme", c.domain, "--acme-directory", authority.Directory, "--acme-ca", authority.CA, "--acme-dir", dir, "--auth", "token", "--token-secret", strings.Repeat("s", 32)}, c.more...)
			p := launch(t, flags...)
			p.trusts(&tls.Config{RootCAs: authority.Roots, ServerName: c.domain})
			p.await("a certificate", func() bool {
				a, err := p.try("GET", "/peal.js", "")
				if err != nil {
					time.Sleep(20 * time.Millisecond)
				}
				return err == nil && a.status == 200
			})
			p.client.CloseIdleConnections()
			p.stop()

			// The next start has it at once, without the authority.
			flags[5] = "https://127.0.0.1:1/dir"
			p = launch(t, flags...)
			p.trusts(&tls.Config{RootCAs: authority.Roots, ServerName: c.domain})
			p.await("the certificate of before", func() bool {
				a, err := p.try("GET", "/peal.js", "")
				return err == nil && a.status == 200
			})
			if c.more != nil {
				response, err := p.client.Transport.RoundTrip(redirected(t, c.more[1], c.domain))
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if to := response.Header.Get("Location"); response.StatusCode != 308 || !strings.HasPrefix(to, "https://"+c.domain+":") {
					t.Errorf("%s to %q", response.Status, to)
				}
			}
			p.client.CloseIdleConnections()
		})
	}
}

func redirected(t *testing.T, addr, host string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	return r
}

// A client that speaks HTTP to an address with TLS has a response that says so, and does
// not hang.
func TestHTTPToAnAddressWithTLS(t *testing.T) {
	s := startSecured(t, testca.Leaf{}, nil)
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || !strings.Contains(string(b), "https_required") {
		t.Errorf("the server responds %q, %v", b, err)
	}
}
