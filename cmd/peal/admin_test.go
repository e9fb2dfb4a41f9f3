package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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

// The key comes from a file or a variable, goes in a header, and is never printed.
func TestCommandsSendTheKeyOfAnOperator(t *testing.T) {
	_, key, lines := called(t, "key", "create", "--operator", "--name", "ann", "--allow", "disconnect")
	if key = strings.TrimSpace(key); !strings.Contains(lines, "operator-keys:\n  - name: \"ann\"\n") || strings.Contains(lines, key) {
		t.Errorf("%s", lines)
	}
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.WriteHeader(401)
		_, _ = w.Write([]byte(`{"error":{"code":"operator_key","message":"this listener needs the key of an operator"}}`))
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, message := called(t, "reload", "--admin", server.URL, "--operator-key-file", path)
	if code != 1 || got[0] != "Bearer "+key || !strings.Contains(message, "401 Unauthorized: this listener needs the key") || strings.Contains(out+message, key) {
		t.Errorf("%d %q %q", code, got, message)
	}
	t.Setenv(operatorVariable, key)
	if called(t, "health", "--admin", server.URL); got[1] != "Bearer "+key {
		t.Errorf("%q", got)
	}
	t.Setenv(operatorVariable, key[:len(key)-1]+"!")
	if code, _, message := called(t, "health", "--admin", server.URL); code != 2 || len(got) != 2 || strings.Contains(message, key[5:20]) {
		t.Errorf("%d %q", code, message)
	}
	if code, _, message := called(t, "key", "create", "--operator", "--name", "ann", "--allow", "history"); code != 2 || !strings.Contains(message, "must be one of read, publish, disconnect, operate") {
		t.Errorf("%d %q", code, message)
	}
}
