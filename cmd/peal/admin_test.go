package main

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestAdminAddresses(t *testing.T) {
	for _, c := range []struct {
		admin, url, variable string
		fixed, ca            bool
		base, socket, path   string // want; base "" for an error that has path
	}{
		{base: "http://127.0.0.1:8081", path: "/cluster"},
		{admin: "127.0.0.1:9", base: "http://127.0.0.1:9", path: "/cluster"},
		{admin: "8082", base: "http://127.0.0.1:8082", path: "/cluster"},
		{admin: ":8082", base: "http://127.0.0.1:8082", path: "/cluster"},
		{admin: "0.0.0.0:1,unix:/x", base: "http://127.0.0.1:1", path: "/cluster"},
		{admin: "[::]:1", base: "http://127.0.0.1:1", path: "/cluster"},
		{admin: "[::1]:1", ca: true, base: "https://[::1]:1", path: "/cluster"},
		{admin: "https://peal.internal:1/", base: "https://peal.internal:1", path: "/cluster"},
		{admin: "unix:/run/peal/admin.sock", ca: true, base: unixHost, socket: "/run/peal/admin.sock", path: "/cluster"},
		{variable: "unix:/run/peal/admin.sock", base: unixHost, socket: "/run/peal/admin.sock", path: "/cluster"},
		{variable: "unix:/x", admin: "1", base: "http://127.0.0.1:1", path: "/cluster"},
		{variable: "unix:/x", url: "http://a:1", base: "http://a:1", path: "/cluster"},
		{url: "http://a:1/other/", base: "http://a:1", path: "/other"},
		{url: "unix:/x", base: unixHost, socket: "/x", path: "/cluster"},
		{url: "http://a:1/other", fixed: true, path: "leave the path out"},
		{url: "http://a:1?b=c", path: "leave the path out"},
		{url: "http://a:1", admin: "1", path: "use only one of them"},
		{url: "127.0.0.1:1", path: "give the URL"},
		{admin: "unix:", path: "the path of the socket is missing"},
		{admin: "localhost", path: "must be like 127.0.0.1:8081"},
		{admin: "ftp://a:1", path: "give the URL"},
	} {
		t.Setenv(adminVariable, c.variable)
		a := adminFlags(pflag.NewFlagSet("", pflag.ContinueOnError), "status", "/cluster", c.fixed, patience, "")
		a.admin, a.url, a.trusted.insecure = c.admin, c.url, c.ca
		base, socket, err := a.place()
		switch {
		case c.base == "" && (err == nil || exitCode(err) != 2 || !strings.Contains(err.Error(), c.path)):
			t.Errorf("%+v: %v", c, err)
		case c.base != "" && (err != nil || base != c.base || socket != c.socket || a.path != c.path):
			t.Errorf("%+v: %q %q %q %v", c, base, socket, a.path, err)
		}
	}
}

// Every command that asks the admin listener reaches it over a Unix socket, which neither a
// proxy of the environment nor a URL can name.
func TestCommandsAskAUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host+r.URL.Path)
		http.Error(w, "an answer \x1b[2J\nof two lines", http.StatusTeapot)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }() // ends below
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	for command, want := range map[string]string{
		"health": "GET localhost/healthz", "health --ready": "GET localhost/readyz", "status": "GET localhost/cluster", "top --once": "GET localhost/live",
		"connections": "GET localhost/connections", "connections 7": "GET localhost/connections/7", "trace --channel a --cursor b": "GET localhost/trace",
		"reload": "POST localhost/reload", "upgrade": "POST localhost/upgrade", "webhooks": "GET localhost/webhooks", "webhooks retry shop --all": "POST localhost/webhooks/retry",
	} {
		asked = nil
		code, _, message := called(t, append(strings.Fields(command), "--admin", "unix:"+socket)...)
		if code != 1 || len(asked) == 0 || asked[0] != want || !strings.Contains(message, "unix:"+socket+"/") || !strings.Contains(message, "418 I'm a teapot: an answer <U+001B>[2J\nof two lines") {
			t.Errorf("peal %s: %d %q, asked %q, want %q", command, code, message, asked, want)
		}
		t.Setenv(adminVariable, "unix:"+socket)
		if called(t, strings.Fields(command)...); len(asked) < 2 || asked[1] != want {
			t.Errorf("peal %s by %s: asked %q", command, adminVariable, asked)
		}
		t.Setenv(adminVariable, "")
	}
	server.Close()
	<-done
	if code, _, message := called(t, "health", "--admin", "unix:"+socket); code != 1 || !strings.Contains(message, "is the server running, with --admin?") || strings.Contains(message, "localhost") {
		t.Errorf("%d %q", code, message)
	}
}
