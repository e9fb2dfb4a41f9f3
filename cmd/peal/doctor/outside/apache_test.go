package outside_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// goodApache is a virtual host; replacements plant faults in it.
const goodApache = `
Listen %[1]s
<VirtualHost %[1]s>
	ProxyPreserveHost On
	KeepAlive On
	LimitRequestFieldSize 8190
	ProxyPass / http://%[2]s/ upgrade=websocket timeout=130
	AddOutputFilterByType DEFLATE text/event-stream
	SetEnvIf Request_URI ^/sse no-gzip=1
</VirtualHost>
`

var apachePlants = []plant{
	{name: "nothing"},
	{name: "no Upgrade", replace: []string{" upgrade=websocket", ""}, want: []string{"websocket: failure"}, says: "upgrade=websocket   # Apache 2.4.47 or later"},
	{name: "timeout", replace: []string{"timeout=130", "timeout=2"}, want: []string{"idle-event-stream: failure", "long-poll: failure"}, says: "ProxyTimeout 130"},
	{name: "another Host", replace: []string{"ProxyPreserveHost On", ""}, want: []string{"host: failure"}, says: "ProxyPreserveHost On"},
	{name: "no keep-alive", replace: []string{"KeepAlive On", "KeepAlive Off"}, want: []string{"keep-alive: warning"}, says: "KeepAlive On"},
	{name: "small headers", replace: []string{"LimitRequestFieldSize 8190", "LimitRequestFieldSize 2000"}, want: []string{"large-headers: failure"}, says: "LimitRequestFieldSize 16380"},
	{name: "compression", replace: []string{"SetEnvIf Request_URI ^/sse no-gzip=1", ""}, want: []string{"event-stream-compression: warning"}, says: "no-gzip=1"},
	{name: "no Last-Event-ID", replace: []string{"KeepAlive On", "KeepAlive On\n\tRequestHeader unset Last-Event-ID"}, want: []string{"last-event-id: failure"}, says: "RequestHeader unset Last-Event-ID"},
	{name: "no Authorization", replace: []string{"KeepAlive On", "KeepAlive On\n\tRequestHeader unset Authorization"}, want: []string{"authorization: failure"}, says: "RequestHeader unset Authorization"},
	{name: "doubled CORS", replace: []string{"KeepAlive On", "KeepAlive On\n\tHeader add Access-Control-Allow-Origin *"}, want: []string{"cors: failure"}, says: "Header add Access-Control-Allow-Origin"},
}

// Apache is not among the programs that the tests need: without it, this one is skipped.
func TestMisconfigurationsOfApacheAreNamed(t *testing.T) {
	const modules = "/usr/lib/apache2/modules"
	if !optional("apache2") {
		t.Skip("apache2 is not on PATH: install Debian's package apache2-bin")
	}
	t.Parallel()
	peal, addrs, dir := serve(t, nil), ports(t, len(apachePlants)), t.TempDir()
	b := &strings.Builder{}
	fmt.Fprintf(b, "ServerRoot %[1]s\nPidFile a.pid\nErrorLog %[1]s/error.log\nServerName push.example\n\n", dir)
	for _, m := range []string{"mpm_event", "authz_core", "proxy", "proxy_http", "filter", "deflate", "setenvif", "headers"} {
		fmt.Fprintf(b, "LoadModule %s_module %s/mod_%s.so\n", m, modules, m)
	}
	for i, p := range apachePlants {
		b.WriteString(strings.NewReplacer(p.replace...).Replace(fmt.Sprintf(goodApache, addrs[i], peal)))
	}
	run(t, dir, "apache.conf", b.String(), addrs, "apache2", "-X", "-f", filepath.Join(dir, "apache.conf"))
	find(t, "Apache", apachePlants, addrs)
}
