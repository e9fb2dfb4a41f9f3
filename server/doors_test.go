package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/scripts/testca"
	"peal/server"
	"peal/server/upgrade"
)

func texts(all []net.Addr) (list []string) {
	for _, a := range all {
		list = append(list, a.Network()+" "+a.String())
	}
	return list
}

// knock sends a request to an address, on a connection of its own.
func knock(at net.Addr, url string) (status int, err error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, at.Network(), at.String())
	}}
	client := http.Client{Transport: transport, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, err
}

// TestUpgradeKeepsListeners: the next process listens where this one does, also on ports
// that the kernel has chosen, and at no moment is a client refused.
func TestUpgradeKeepsListeners(t *testing.T) {
	dir := t.TempDir()
	cert, key := testca.New(t, "CA").Files(dir, "a", testca.Leaf{Names: []string{"localhost"}})
	c := server.Config{
		Listen: []string{"127.0.0.1:0", "127.0.0.1:0", "unix:" + filepath.Join(dir, "peal.sock")}, ListenPlain: []string{"127.0.0.1:0"},
		Admin: "127.0.0.1:0", HTTPRedirect: "127.0.0.1:0", TrustedProxies: []string{"loopback"},
		TLS: server.TLS{Certs: []string{cert}, Keys: []string{key}},
		Log: slog.New(slog.DiscardHandler), Version: "test",
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	addrs, admin, redirect := l.Addrs(), l.AdminAddrs(), l.RedirectAddrs()
	if len(addrs) != 4 || len(admin) != 1 || len(redirect) != 1 {
		t.Fatalf("%v, %v, %v", addrs, admin, redirect)
	}

	over := make(chan struct{})
	var clients sync.WaitGroup
	for _, x := range []struct {
		at    net.Addr
		path  string
		wants int
	}{{addrs[2], "/channels", 200}, {addrs[3], "/channels", 200}, {admin[0], "/healthz", 200}, {redirect[0], "/x", 308}} {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					if n == 0 {
						t.Errorf("%s was never asked", x.at)
					}
					return
				default:
				}
				if got, err := knock(x.at, "http://localhost"+x.path); err != nil || got != x.wants {
					t.Errorf("request %d to %s: %d, %v, want %d", n, x.at, got, err, x.wants)
					return
				}
			}
		})
	}
	for range 3 {
		l = l.handOver(t, c)
		for what, x := range map[string][2][]net.Addr{"listen": {l.Addrs(), addrs}, "admin": {l.AdminAddrs(), admin}, "http-redirect": {l.RedirectAddrs(), redirect}} {
			if got, want := texts(x[0]), texts(x[1]); !slices.Equal(got, want) {
				t.Errorf("%s: listens on %v, before on %v", what, got, want)
			}
		}
		if e := l.Endpoints(); len(e) != 4 || !e[0].Secure || !e[1].Secure || e[2].Secure || e[3].Secure {
			t.Errorf("speak %v", e)
		}
	}
	close(over)
	clients.Wait()
}

// TestUpgradeWithOtherListeners: those of the new configuration are there afterwards, and no others.
func TestUpgradeWithOtherListeners(t *testing.T) {
	dir := t.TempDir()
	c := server.Config{
		Listen: []string{"127.0.0.1:0", "unix:" + filepath.Join(dir, "one.sock")},
		Admin:  "unix:" + filepath.Join(dir, "admin.sock"), Log: slog.New(slog.DiscardHandler), Version: "test",
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	before := l.Addrs()
	// The port that the kernel chose is in the file now, one path is another one, and the admin
	// listener has moved.
	c.Listen = []string{before[0].String(), "unix:" + filepath.Join(dir, "two.sock"), "127.0.0.1:0"}
	c.Admin = "127.0.0.1:0"
	l = l.handOver(t, c)
	if got := l.Addrs(); len(got) != 3 || got[0].String() != before[0].String() {
		t.Errorf("listens on %v, before on %v", got, before)
	}
	for _, at := range slices.Concat(l.Addrs(), l.AdminAddrs()) {
		path := "/channels"
		if at == l.AdminAddrs()[0] {
			path = "/healthz"
		}
		if got, err := knock(at, "http://localhost"+path); err != nil || got != 200 {
			t.Errorf("%s: %d, %v", at, got, err)
		}
	}
	for _, gone := range []string{"one.sock", "admin.sock"} {
		if _, err := net.Dial("unix", filepath.Join(dir, gone)); err == nil {
			t.Errorf("somebody listens on %s still", gone)
		}
		if _, err := os.Stat(filepath.Join(dir, gone)); err != nil {
			t.Errorf("%s: %v: nobody removes the files of sockets", gone, err)
		}
	}
}

// TestUpgradeKeepsInheritedListeners: the next process has none of the variables of systemd, and
// serves what it has passed.
func TestUpgradeKeepsInheritedListeners(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := server.Config{Inherit: []int{int(f.Fd())}, Log: slog.New(slog.DiscardHandler), Version: "test"}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	// Twice, without and with the number in the configuration: the second one is not the first's child.
	for _, configured := range [][]int{nil, {int(f.Fd())}, nil} {
		c.Inherit = configured
		l = l.handOver(t, c)
		if got := texts(l.Addrs()); !slices.Equal(got, []string{"tcp " + ln.Addr().String()}) {
			t.Errorf("listens on %v", got)
		}
		if got, err := knock(ln.Addr(), "http://localhost/channels"); err != nil || got != 200 {
			t.Errorf("%d, %v", got, err)
		}
	}
	c.Inherit = []int{999}
	l.refuses(t, c, "inherit 999: the running server does not have this listener")
}

// refuses has another server, with configuration c, try to go on for l, and refuse.
func (l *life) refuses(t *testing.T, c server.Config, why string) {
	t.Helper()
	old, end, err := upgrade.Pair()
	if err != nil {
		t.Fatal(err)
	}
	link, err := upgrade.NewLink(end)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		defer link.Close()
		_, err := server.TakeOver(context.Background(), c, link)
		failed <- err
	}()
	o, err := l.Upgrade(t.Context(), old, upgrade.Limits{Ready: time.Minute, Frozen: time.Minute, Begun: time.Minute})
	old.Close()
	other := <-failed
	if o.Committed || err == nil || other == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%+v, old: %v, new: %v", o, err, other)
	}
	for _, at := range l.Addrs() {
		if got, err := knock(at, "http://localhost/channels"); err != nil || got != 200 {
			t.Errorf("the old server does not go on: %d, %v", got, err)
		}
	}
}

// TestUpgradeRefusesAPortThatIsTaken: the new process says so before anybody waits.
func TestUpgradeRefusesAPortThatIsTaken(t *testing.T) {
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler), Version: "test"}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	port := l.Addrs()[0].(*net.TCPAddr).Port
	other := c
	other.Open, other.Listen = true, []string{fmt.Sprint(":", port)}
	l.refuses(t, other, "an upgrade cannot replace this listener by another one of the same port")
	strange, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer strange.Close()
	for _, set := range []func(*server.Config){
		func(c *server.Config) { c.Listen = []string{strange.Addr().String()} },
		func(c *server.Config) { c.Admin = strange.Addr().String() },
	} {
		other := c
		set(&other)
		l.refuses(t, other, "address already in use")
	}
}
