package outside

import (
	"slices"

	"peal/cmd/peal/doctor"
)

// symptom is what a proxy does wrong.
type symptom int

const (
	noUpgrade symptom = iota
	buffered
	compressed
	shortRead   // event streams
	shortSocket // WebSockets
	shortPoll
	smallBody
	smallHead
	cached
	doubledCORS
	noPreflight
	noAuthorization
	otherHost
	noEventID
	noKeepAlive
	noRoute
	notSticky
	forwards
)

// Kinds are the proxies that there is advice for.
func Kinds() []string { return slices.Clone(kinds) }

var kinds = []string{"nginx", "haproxy", "caddy", "apache", "traefik"}

// cures are lines for the configuration of each proxy, in the order of kinds. Those of
// nginx and HAProxy are tried by the tests, the others are not.
var cures = map[symptom][5][]string{
	noUpgrade: {
		{"map $http_upgrade $peal_connection { default upgrade; '' ''; }   # in http", "proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection $peal_connection;"},
		{"mode http   # in frontend and backend", "# remove http-request del-header Upgrade and option httpclose"},
		{"reverse_proxy 127.0.0.1:8080   # upgrades by itself; remove header_up Upgrade and header_up Connection"},
		{"ProxyPass / http://127.0.0.1:8080/ upgrade=websocket   # Apache 2.4.47 or later", "# earlier: a2enmod proxy_wstunnel rewrite", `RewriteCond %{HTTP:Upgrade} =websocket [NC]`, "RewriteRule /(.*) ws://127.0.0.1:8080/$1 [P]"},
		{"# upgrades by itself: remove a headers middleware that sets customRequestHeaders Connection or Upgrade"},
	},
	buffered: {
		{"proxy_buffering off;", "# and remove: proxy_ignore_headers X-Accel-Buffering;"},
		{"# remove: http-response wait-for-body and filter compression; and option http-no-delay helps"},
		{"flush_interval -1   # in reverse_proxy; and remove buffer_responses"},
		{"ProxyPass / http://127.0.0.1:8080/ flushpackets=on", "SetEnvIf Request_URI ^/sse no-gzip=1"},
		{"responseForwarding.flushInterval: 1ms   # of the loadBalancer; and no buffering middleware on this router"},
	},
	compressed: {
		{"gzip_types application/json;   # without text/event-stream"},
		{"compression type application/json   # without text/event-stream"},
		{"@compressed not path /sse", "encode @compressed gzip"},
		{"SetEnvIf Request_URI ^/sse no-gzip=1"},
		{"compress.excludedContentTypes: [text/event-stream]"},
	},
	shortRead: {
		{"proxy_read_timeout 130s;"},
		{"timeout tunnel 130s   # also of responses without an end", "timeout server 130s", "timeout client 130s"},
		{"transport http { read_timeout 0 }   # in reverse_proxy; and no timeouts write in servers"},
		{"ProxyTimeout 130", "# or ProxyPass / http://127.0.0.1:8080/ timeout=130"},
		{"respondingTimeouts.writeTimeout: 0   # of the entryPoint", "serversTransport.forwardingTimeouts.responseHeaderTimeout: 0"},
	},
	shortSocket: {
		{"proxy_read_timeout 130s;", "proxy_send_timeout 130s;"},
		{"timeout tunnel 130s", "timeout client 130s", "timeout server 130s"},
		{"stream_timeout 0   # in reverse_proxy"},
		{"ProxyTimeout 130", "ProxyWebsocketIdleTimeout 130"},
		{"respondingTimeouts.readTimeout: 0   # of the entryPoint", "respondingTimeouts.idleTimeout: 180s"},
	},
	shortPoll: {
		{"proxy_read_timeout 130s;"},
		{"timeout server 130s", "timeout client 130s"},
		{"transport http { response_header_timeout 130s }   # in reverse_proxy"},
		{"ProxyTimeout 130"},
		{"serversTransport.forwardingTimeouts.responseHeaderTimeout: 0", "respondingTimeouts.writeTimeout: 0   # of the entryPoint"},
	},
	smallBody: {
		{"client_max_body_size 2m;   # batches have up to 1 MiB"},
		{"# remove: http-request deny if { req.body_size gt … }"},
		{"request_body { max_size 2MB }"},
		{"LimitRequestBody 2097152"},
		{"buffering.maxRequestBodyBytes: 2097152"},
	},
	smallHead: {
		{"large_client_header_buffers 4 16k;"},
		{"tune.bufsize 16384   # in global"},
		{"servers { max_header_size 16KB }"},
		{"LimitRequestFieldSize 16380"},
		{"# Traefik allows 1 MiB: look for a plugin or another proxy in front of it"},
	},
	cached: {
		{"proxy_cache off;", "# and remove: proxy_ignore_headers Cache-Control;"},
		{"# remove: http-response cache-store and http-request cache-use"},
		{"# remove the cache directive: responses of Peal have Cache-Control: no-store"},
		{"CacheDisable /"},
		{"# remove the cache plugin from the router"},
	},
	doubledCORS: {
		{"# remove: add_header Access-Control-Allow-Origin …; Peal sends it (allow-origin)"},
		{"# remove: http-response add-header Access-Control-Allow-Origin …"},
		{"# remove: header Access-Control-Allow-Origin …"},
		{"# remove: Header add Access-Control-Allow-Origin …"},
		{"# remove: accessControlAllowOriginList of the headers middleware"},
	},
	noPreflight: {
		{"# remove: if ($request_method = OPTIONS) …, limit_except, and add_header Access-Control-…: Peal answers preflights"},
		{"# remove: http-request deny or return for METH_OPTIONS"},
		{"# remove: respond and method matchers for OPTIONS"},
		{"# remove: <Limit>, <LimitExcept> and RewriteCond for OPTIONS"},
		{"# remove the CORS options of the headers middleware, which answers preflights itself"},
	},
	noAuthorization: {
		{"# remove: proxy_set_header Authorization …;"},
		{"# remove: http-request del-header Authorization"},
		{"# remove: header_up -Authorization"},
		{"# remove: RequestHeader unset Authorization; and CGIPassAuth On if a script is in between"},
		{"basicAuth.removeHeader: false, and no customRequestHeaders Authorization"},
	},
	otherHost: {
		{"proxy_set_header Host $http_host;"},
		{"# remove: http-request set-header Host …"},
		{"# remove: header_up Host …"},
		{"ProxyPreserveHost On"},
		{"passHostHeader: true   # of the loadBalancer"},
	},
	noEventID: {
		{"# remove: proxy_set_header Last-Event-ID …; and proxy_pass_request_headers off;"},
		{"# remove: http-request del-header Last-Event-ID"},
		{"# remove: header_up -Last-Event-ID"},
		{"# remove: RequestHeader unset Last-Event-ID"},
		{"# remove customRequestHeaders Last-Event-ID"},
	},
	noKeepAlive: {
		{"keepalive_timeout 75s;"},
		{"# remove: option httpclose, option forceclose", "timeout http-keep-alive 60s"},
		{"# remove: header Connection close"},
		{"KeepAlive On", "KeepAliveTimeout 60"},
		{"respondingTimeouts.idleTimeout: 180s   # of the entryPoint"},
	},
	forwards: {
		{"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", `proxy_set_header Forwarded "";`},
		{"option forwardfor", "http-request del-header Forwarded"},
		{"header_up -Forwarded   # in reverse_proxy, which writes X-Forwarded-For itself"},
		{"RequestHeader unset Forwarded   # Apache writes X-Forwarded-For itself"},
		{`customRequestHeaders.Forwarded: ""   # of a headers middleware; and no forwardedHeaders.insecure on the entryPoint`},
	},
	notSticky: {
		{`map $uri $peal_session { "~^/pusher/app/[^/]+/(?<name>[^/]+/[^/]+)/" $name; default $remote_addr; }   # in http`, "hash $peal_session consistent;   # in upstream"},
		{"use_backend pusher if { path_beg /pusher/app/ }", "balance hash path,field(6,/)   # in this backend: the name of the session"},
		{"handle /pusher/app/* { reverse_proxy 10.0.0.1:8080 10.0.0.2:8080 { lb_policy client_ip_hash } }"},
		{"ProxyPass /pusher/app/ http://10.0.0.1:8080/pusher/app/   # one server for these sessions"},
		{"rule: PathPrefix(`/pusher/app/`)   # a router of its own, to a service with one server"},
	},
	noRoute: {
		{"location / { proxy_pass http://127.0.0.1:8080; }", "location /push/ { proxy_pass http://127.0.0.1:8080/; }   # below a path: both end in /"},
		{"http-request replace-path /push(/.*) \\1   # below a path"},
		{"handle_path /push/* { reverse_proxy 127.0.0.1:8080 }   # below a path"},
		{"ProxyPass /push/ http://127.0.0.1:8080/   # below a path: both end in /"},
		{"stripPrefix.prefixes: [/push]   # below a path"},
	},
}

// advice is the lines for a kind of proxy, or for all if it is unknown.
func (s symptom) advice(kind string) (all []doctor.Advice) {
	for i, k := range kinds {
		if lines := cures[s][i]; len(lines) > 0 && (kind == k || kind != none && !slices.Contains(kinds, kind)) {
			all = append(all, doctor.Advice{Proxy: k, Lines: lines})
		}
	}
	return all
}
