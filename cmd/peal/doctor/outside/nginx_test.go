package outside_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/cmd/peal/doctor/outside"
)

// goodNginx is a server of docs/proxies/nginx.conf; replacements plant faults in it.
const goodNginx = `
	server {
		listen %s;
		keepalive_timeout 75s;
		proxy_http_version 1.1;
		proxy_set_header Host $http_host;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection $peal_connection;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		proxy_set_header Forwarded "";
		proxy_buffering off;
		proxy_read_timeout 130s;
		location / {
			proxy_pass http://peal;
		}
	}
`

var nginxPlants = []plant{
	{name: "nothing"},
	{name: "buffering that Peal turns off", replace: []string{"proxy_buffering off;", "proxy_buffering on;"}},
	{name: "buffering", replace: []string{"proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"},
		want: []string{"event-stream: failure"}, says: "proxy_buffering off;"},
	{name: "read timeout", replace: []string{"130s", "2s"},
		want: []string{"idle-event-stream: failure", "idle-websocket: failure", "long-poll: failure"}, says: "proxy_read_timeout 130s;"},
	{name: "no Upgrade", replace: []string{"proxy_set_header Upgrade $http_upgrade;", "", "$peal_connection", `""`},
		want: []string{"websocket: failure"}, says: "proxy_set_header Upgrade $http_upgrade;"},
	{name: "HTTP/1.0", replace: []string{"proxy_http_version 1.1", "proxy_http_version 1.0"},
		want: []string{"websocket: failure"}, says: "proxy_http_version 1.1;"},
	{name: "defaults", replace: []string{"proxy_http_version 1.1;", "", "proxy_set_header Host $http_host;", "", "proxy_set_header Upgrade $http_upgrade;", "", "proxy_set_header Connection $peal_connection;", "", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", "", "proxy_buffering off;", ""},
		want: []string{"host: failure", "websocket: failure"}, says: "proxy_set_header Host $http_host;"},
	{name: "small body", replace: []string{"location /", "client_max_body_size 1k; location /"},
		want: []string{"request-body: failure"}, says: "client_max_body_size 2m;"},
	{name: "body for no batch", replace: []string{"location /", "client_max_body_size 100k; location /"},
		want: []string{"request-body: warning"}, says: "client_max_body_size 2m;"},
	{name: "small headers", replace: []string{"location /", "client_header_buffer_size 1k; large_client_header_buffers 2 2k; location /"},
		want: []string{"large-headers: failure"}, says: "large_client_header_buffers 4 16k;"},
	{name: "gzip", replace: []string{"location /", "gzip on; gzip_types text/event-stream; gzip_proxied any; location /"},
		want: []string{"event-stream-compression: warning"}, says: "without text/event-stream"},
	{name: "gzip and buffering", replace: []string{"proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering; gzip on; gzip_types text/event-stream; gzip_proxied any;"},
		want: []string{"event-stream: failure"}, says: "proxy_buffering off;"},
	{name: "cache", replace: []string{"location /", "location /poll { proxy_buffering on; proxy_cache peal; proxy_cache_valid 200 1m; proxy_ignore_headers Cache-Control Vary; proxy_pass http://peal; } location /"},
		want: []string{"cache: failure"}, says: "proxy_cache off;"},
	{name: "doubled CORS", replace: []string{"location /", "add_header Access-Control-Allow-Origin * always; location /"},
		want: []string{"cors: failure"}, says: "remove: add_header Access-Control-Allow-Origin"},
	{name: "no preflight", replace: []string{"proxy_pass http://peal;", "limit_except GET POST { deny all; } proxy_pass http://peal;"},
		want: []string{"preflight: failure"}, says: "limit_except"},
	{name: "no Authorization", replace: []string{"proxy_http_version 1.1;", `proxy_http_version 1.1; proxy_set_header Authorization "";`},
		want: []string{"authorization: failure"}, says: "remove: proxy_set_header Authorization"},
	{name: "another Host", replace: []string{"Host $http_host", "Host $proxy_host"},
		want: []string{"host: failure"}, says: "proxy_set_header Host $http_host;"},
	{name: "no Last-Event-ID", replace: []string{"proxy_http_version 1.1;", `proxy_http_version 1.1; proxy_set_header Last-Event-ID "";`},
		want: []string{"last-event-id: failure"}, says: "remove: proxy_set_header Last-Event-ID"},
	{name: "no keep-alive", replace: []string{"keepalive_timeout 75s;", "keepalive_timeout 0;"},
		want: []string{"keep-alive: warning"}, says: "keepalive_timeout 75s;"},
	{name: "Forwarded", replace: []string{`proxy_set_header Forwarded "";`, ""},
		want: []string{"forwarded: warning"}, says: `proxy_set_header Forwarded "";`},
	{name: "forged addresses", replace: []string{"$proxy_add_x_forwarded_for", "$http_x_forwarded_for", `proxy_set_header Forwarded "";`, ""},
		want: []string{"forwarded: warning"}, says: "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"},
	{name: "path with a prefix", replace: []string{"location /", "location /push/"},
		want: []string{"route: failure"}, says: "both end in /",
		visit: func(v *outside.Visit) { v.URL.Path = "/push/" }},
	{name: "path without its prefix", replace: []string{"location /", "location /push/", "proxy_pass http://peal;", "proxy_pass http://peal/;"},
		visit: func(v *outside.Visit) { v.URL.Path = "/push" }},
	{name: "no Peal", replace: []string{"proxy_pass http://peal;", "proxy_pass http://127.0.0.1:1;"},
		want: []string{"route: failure"}, says: "502"},
}

func TestMisconfigurationsOfNginxAreNamed(t *testing.T) {
	t.Parallel()
	peal, addrs := serve(t, trusting), ports(t, len(nginxPlants))
	b := &strings.Builder{}
	fmt.Fprintf(b, `
events {}
http {
	%s
	map $http_upgrade $peal_connection {
		default upgrade;
		''      '';
	}
	proxy_cache_path cache keys_zone=peal:1m;
	upstream peal {
		server %s;
		keepalive 64;
	}
`, nginxPlaces, peal)
	for i, p := range nginxPlants {
		b.WriteString(strings.NewReplacer(p.replace...).Replace(fmt.Sprintf(goodNginx, addrs[i])))
	}
	b.WriteString("}\n")
	startNginx(t, b.String(), addrs)
	find(t, "nginx", nginxPlants, addrs)
}
