package outside_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/cmd/peal/doctor/outside"
	"peal/server"
)

// save writes the certificate and its key as files.
func (a *authority) save(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	b, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: a.cert.Raw}, key: {Type: "PRIVATE KEY", Bytes: b}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// Event streams of browsers come over HTTP/2 here, WebSockets over HTTP/1.1.
func TestNginxWithTLSAndHTTP2(t *testing.T) {
	t.Parallel()
	year := time.Now().Add(300 * 24 * time.Hour)
	root := sign(t, nil, true, "root", year)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	cert, key := sign(t, root, false, "push.example", year).save(t)
	peal, addrs := serve(t, nil), ports(t, 3)
	visit := func(v *outside.Visit) { v.URL.Scheme, v.Roots = "https", roots }
	plants := []plant{
		{name: "nothing", says: "HTTP/2, and HTTP/1.1 for WebSockets", visit: visit},
		{name: "buffering", replace: []string{"proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"},
			want: []string{"event-stream: failure"}, says: "proxy_buffering off;", visit: visit},
		{name: "read timeout", replace: []string{"130s", "2s"},
			want: []string{"idle-event-stream: failure", "idle-websocket: failure", "long-poll: failure"}, says: "proxy_read_timeout 130s;", visit: visit},
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "\nevents {}\nhttp {\n%s\nmap $http_upgrade $peal_connection { default upgrade; '' ''; }\nssl_certificate %s;\nssl_certificate_key %s;\nupstream peal { server %s; keepalive 64; }\n", nginxPlaces, cert, key, peal)
	for i, p := range plants {
		b.WriteString(strings.NewReplacer(p.replace...).Replace(fmt.Sprintf(goodNginx, addrs[i]+" ssl http2")))
	}
	b.WriteString("}\n")
	startNginx(t, b.String(), addrs)
	find(t, "nginx", plants, addrs)
}

// Peal speaks TLS itself, directly and behind docs/proxies/haproxy-tcp.cfg, which
// forwards bytes: it is not to be seen.
func TestTLSOfPeal(t *testing.T) {
	t.Parallel()
	year := time.Now().Add(300 * 24 * time.Hour)
	root := sign(t, nil, true, "root", year)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	cert, key := sign(t, root, false, "push.example", year).save(t)
	peal, addrs := serve(t, func(c *server.Config) {
		trusting(c)
		c.TLS.Certs, c.TLS.Keys = []string{cert}, []string{key}
	}), ports(t, 2)
	visit := func(v *outside.Visit) { v.URL.Scheme, v.Roots = "https", roots }
	plants := []plant{{name: "no proxy", visit: visit}}
	if tool(t, "haproxy") != "" {
		for i, replace := range [][]string{{}, {"130s", "2s"}} {
			startHAProxy(t, documented(t, "haproxy-tcp.cfg", append([]string{"127.0.0.1:8443", peal, "bind :443", "bind " + addrs[i]}, replace...)...), addrs[i:i+1])
		}
		plants = append(plants, plant{name: "HAProxy, TCP", visit: visit}, plant{
			name: "HAProxy, TCP, short timeouts", want: []string{"idle-event-stream: failure", "idle-websocket: failure", "long-poll: failure"}, says: "name it with --proxy", visit: visit,
		})
	}
	find(t, "none was seen", plants, append([]string{peal}, addrs...))
}
