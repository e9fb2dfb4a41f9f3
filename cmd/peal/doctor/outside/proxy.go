package outside

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// recognise finds out what is in front of Peal: by the names in the responses to a
// request and to a malformed one, which a proxy answers itself.
func (e *examination) recognise(ctx context.Context) {
	const check = "proxy"
	if e.kind != "" {
		e.fine(check, "%s, as you say", e.kind)
		return
	}
	normal, malformed := e.peek(ctx, nil), e.malformed(ctx)
	e.kind, e.named = kindOf(normal, malformed)
	switch e.kind {
	case none:
		e.fine(check, "none was seen: Peal itself responds")
	case "":
		e.fine(check, "unknown: findings have the settings of all (--proxy names it)")
	default:
		e.fine(check, "%s", e.named)
	}
}

// malformed sends a header line without a colon.
func (e *examination) malformed(ctx context.Context) response {
	conn, err := e.connect(ctx)
	if err != nil {
		return response{err: err}
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(e.Patience)); err != nil {
		return response{err: err}
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+e.URL.Host+"\r\nmalformed\r\n\r\n"); err != nil {
		return response{err: err}
	}
	began := time.Now()
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	return read(r, err, began)
}

// marks are texts in Server and Via, and the kinds that write them. Proxies of others
// have no advice, but a name.
var marks = []struct{ text, kind, name string }{
	{"nginx", "nginx", "nginx"}, {"openresty", "nginx", "nginx (OpenResty)"}, {"caddy", "caddy", "Caddy"}, {"apache", "apache", "Apache"}, {"traefik", "traefik", "Traefik"}, {"haproxy", "haproxy", "HAProxy"},
	{"cloudflare", "cloudflare", "Cloudflare"}, {"cloudfront", "cloudfront", "CloudFront"}, {"envoy", "envoy", "Envoy"}, {"awselb", "awselb", "AWS load balancer"}, {"varnish", "varnish", "Varnish"}, {"google frontend", "google", "Google Front End"},
}

func kindOf(normal, malformed response) (kind, name string) {
	for _, r := range []response{normal, malformed} {
		for _, key := range []string{"Server", "Via"} {
			value := r.header.Get(key)
			for _, m := range marks {
				if strings.Contains(strings.ToLower(value), m.text) {
					return m.kind, fmt.Sprintf("%s (%s: %s)", m.name, key, value)
				}
			}
		}
	}
	switch {
	case malformed.ofPeal():
		return none, ""
	case strings.HasPrefix(malformed.body, "<html><body><h1>400 Bad request</h1>"):
		return "haproxy", "HAProxy, by its error page"
	case strings.HasPrefix(malformed.body, "400 Bad Request"):
		return "traefik", "a proxy in Go, such as Traefik, by its error page"
	}
	return "", ""
}
