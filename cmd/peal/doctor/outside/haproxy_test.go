package outside_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/cmd/peal/doctor/outside"
	"peal/server"
)

// goodHAProxy is docs/proxies/haproxy.cfg for all paths; replacements plant faults in it.
const goodHAProxy = `
defaults d%[1]d
	mode http
	timeout connect 5s
	option abortonclose
	timeout client 130s
	timeout server 130s
	timeout tunnel 130s
	timeout http-keep-alive 60s

frontend f%[1]d from d%[1]d
	bind %[2]s
	option forwardfor
	http-request del-header Forwarded
	default_backend b%[1]d

backend b%[1]d from d%[1]d
	server peal %[3]s
`

var haproxyPlants = []plant{
	{name: "nothing"},
	{name: "server timeout", replace: []string{"timeout server 130s", "timeout server 2s"},
		want: []string{"long-poll: failure"}, says: "timeout server 130s"}, // streams without an end have the timeout of tunnels
	{name: "server timeout, none of tunnels", replace: []string{"timeout server 130s", "timeout server 2s", "timeout tunnel 130s", ""},
		want: []string{"idle-event-stream: failure", "idle-websocket: failure", "long-poll: failure"}, says: "timeout server 130s"},
	{name: "client timeout", replace: []string{"timeout client 130s", "timeout client 2s", "timeout tunnel 130s", ""},
		want: []string{"idle-websocket: failure"}, says: "timeout client 130s"},
	{name: "tunnel timeout", replace: []string{"timeout tunnel 130s", "timeout tunnel 2s"},
		want: []string{"idle-event-stream: failure", "idle-websocket: failure"}, says: "timeout tunnel 130s"},
	// It holds uploads back until they are complete; there is nothing to see of it.
	{name: "request buffering", replace: []string{"option abortonclose", "option abortonclose\n\toption http-buffer-request"}},
	{name: "response held back", replace: []string{"default_backend", "http-response wait-for-body time 20s\n\tdefault_backend"},
		want: []string{"event-stream: failure"}, says: "remove: http-response wait-for-body"},
	// HAProxy 2.6 does not compress a response without a length, as event streams are.
	{name: "compression", replace: []string{"default_backend", "filter compression\n\tcompression algo gzip\n\tcompression type text/event-stream\n\tdefault_backend"}},
	{name: "no keep-alive", replace: []string{"option abortonclose", "option httpclose"},
		want: []string{"keep-alive: warning"}, says: "option httpclose"},
	{name: "no Authorization", replace: []string{"default_backend", "http-request del-header Authorization\n\tdefault_backend"},
		want: []string{"authorization: failure"}, says: "del-header Authorization"},
	{name: "Forwarded", replace: []string{"http-request del-header Forwarded", ""},
		want: []string{"forwarded: warning"}, says: "del-header Forwarded"},
	{name: "no Upgrade", replace: []string{"default_backend", "http-request del-header Upgrade\n\tdefault_backend"},
		want: []string{"websocket: failure"}, says: "del-header Upgrade"},
	{name: "another Host", replace: []string{"default_backend", "http-request set-header Host peal\n\tdefault_backend"},
		want: []string{"host: failure"}, says: "set-header Host"},
	{name: "doubled CORS", replace: []string{"default_backend", "http-response add-header Access-Control-Allow-Origin *\n\tdefault_backend"},
		want: []string{"cors: failure"}, says: "add-header Access-Control-Allow-Origin"},
	{name: "no preflight", replace: []string{"default_backend", "http-request deny deny_status 405 if METH_OPTIONS\n\tdefault_backend"},
		want: []string{"preflight: failure"}, says: "METH_OPTIONS"},
	{name: "small body", replace: []string{"default_backend", "http-request deny deny_status 413 if { req.body_size gt 1000 }\n\tdefault_backend"},
		want: []string{"request-body: failure"}, says: "req.body_size"},
	{name: "no Last-Event-ID", replace: []string{"default_backend", "http-request del-header Last-Event-ID\n\tdefault_backend"},
		want: []string{"last-event-id: failure"}, says: "del-header Last-Event-ID"},
}

func TestMisconfigurationsOfHAProxyAreNamed(t *testing.T) {
	t.Parallel()
	peal, addrs := serve(t, trusting), ports(t, len(haproxyPlants))
	b := &strings.Builder{}
	for i, p := range haproxyPlants {
		b.WriteString(strings.NewReplacer(p.replace...).Replace(fmt.Sprintf(goodHAProxy, i, addrs[i], peal)))
	}
	startHAProxy(t, b.String(), addrs)
	find(t, "HAProxy", haproxyPlants, addrs)
}

// The size of the buffers is a setting of the whole process. The cache leaves out requests
// with Authorization, so that here everybody may subscribe.
func TestSettingsOfAllHAProxyAreNamed(t *testing.T) {
	t.Parallel()
	peal, addrs := serve(t, func(c *server.Config) { c.Auth, c.Open = server.AuthOpen, true }), ports(t, 2)
	cache := []string{"default_backend", "http-request cache-use polls\n\thttp-response del-header Vary\n\thttp-response set-header Cache-Control max-age=60\n\thttp-response cache-store polls\n\tdefault_backend"}
	anonymous := func(v *outside.Visit) { v.Header, v.Quick = nil, true }
	startHAProxy(t, "global\n\ttune.bufsize 4096\ncache polls\n\ttotal-max-size 4\n\tmax-age 60\n"+
		fmt.Sprintf(goodHAProxy, 0, addrs[0], peal)+strings.NewReplacer(cache...).Replace(fmt.Sprintf(goodHAProxy, 1, addrs[1], peal)), addrs)
	find(t, "HAProxy", []plant{
		{name: "small buffers", want: []string{"large-headers: failure"}, says: "tune.bufsize 16384", visit: anonymous},
		{name: "cache", want: []string{"cache: failure", "large-headers: failure"}, says: "cache-store", visit: anonymous},
	}, addrs)
}
