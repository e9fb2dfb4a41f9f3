package outside_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/outside"
	"peal/loadtest/child"
	"peal/scripts/leak"
	"peal/server"
	"peal/server/token"
)

func TestMain(m *testing.M) {
	child.Play() // the programs that tests start die with them
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // they wait, most of the time
		panic(err)
	}
	os.Exit(leak.Main(m))
}

// patience is how long what comes at once may take: nothing waits for it but the
// checks that find something held back.
const patience = 10 * time.Second

// secret signs the tokens of the tests.
var secret = strings.Repeat("s", 32)

// serve starts a server of which clients need tokens, and returns its address. Its
// heartbeats come after 4 to 6 s: proxies that cut earlier do so after 2 s.
func serve(t *testing.T, change func(c *server.Config)) string {
	t.Helper()
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Auth: server.AuthToken, Drain: time.Second, Log: slog.New(slog.DiscardHandler)}
	c.Token.Secrets = []string{secret}
	c.Loop.Loops, c.Loop.Heartbeat = 1, 5*time.Second
	if change != nil {
		change(&c)
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends with the test
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addrs()[0].String()
}

// trusting has a server take the addresses of clients from proxies of this machine.
func trusting(c *server.Config) { c.TrustedProxies = []string{"loopback"} }

// bearer is a token for all channels that begin with peal-doctor, and reader one that
// grants no publishing.
func bearer(t *testing.T) http.Header {
	return signed(t, token.Claims{Publish: []string{"peal-doctor*"}})
}
func reader(t *testing.T) http.Header { return signed(t, token.Claims{}) }

// signed is a token. A server that keeps its log in memory refuses those from before its
// start, which has a resolution of a second.
func signed(t *testing.T, c token.Claims) http.Header {
	t.Helper()
	c.Subject, c.Subscribe, c.Issued, c.Lifetime = "42", []string{"peal-doctor*"}, time.Now().Add(2*time.Second), time.Hour
	text, err := token.Sign(secret, c)
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + text}}
}

// examine visits a server at that address under a public name.
func examine(t *testing.T, addr string, change func(v *outside.Visit)) *doctor.Report {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	v := outside.Visit{
		URL: &url.URL{Scheme: "http", Host: "push.example:" + port}, Connect: addr, Header: bearer(t),
		Patience: patience, Idle: 20 * time.Second, Poll: 5 * time.Second,
	}
	if change != nil {
		change(&v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	return v.Examine(ctx)
}

// faults are the findings that are not ok, each as check: status. Cleartext is one in
// every test.
func faults(r *doctor.Report) (list []string) {
	for _, f := range r.Findings {
		if f.Check != "tls" && (f.Status == doctor.Failure || f.Status == doctor.Warning) {
			list = append(list, f.Check+": "+string(f.Status))
		}
	}
	slices.Sort(list)
	return list
}

// text is a report as the user sees it.
func text(r *doctor.Report) string {
	b := &bytes.Buffer{}
	_ = r.WriteText(b) // to a buffer
	return b.String()
}

// optional reports whether a program is there that no machine has to have.
func optional(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// tool returns the path of an outside program, or ends the test as skipped, or as failed
// where the machine was said to have it.
func tool(t *testing.T, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err == nil {
		return p
	}
	reason := name + " is not on PATH: install Debian's package (nginx-light, haproxy)"
	if os.Getenv("PEAL_E2E") == "require" {
		t.Fatal(reason + "; PEAL_E2E=require says that it must be here")
	}
	t.Skip(reason)
	return ""
}

// ports are addresses of this machine that no other program uses: of a network of
// 127.0.0.0/8 that is chosen at random, with one free port.
func ports(t *testing.T, n int) (addrs []string) {
	t.Helper()
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	network := fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), rand.IntN(256))
	for i := range n {
		addrs = append(addrs, fmt.Sprintf("%s.%d:%d", network, i+1, port))
	}
	return addrs
}

// run starts a proxy with that configuration until the end of the test.
func run(t *testing.T, dir, name, configuration string, addrs []string, args ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(configuration), 0o644); err != nil {
		t.Fatal(err)
	}
	said := &child.Tail{}
	p := &child.Program{Output: said, Name: name, Args: args, Addrs: addrs, Accept: 30 * time.Second}
	if err := p.Start(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, numbered(configuration))
	}
	t.Cleanup(func() {
		if _, err := p.Stop(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s: %s", name, said)
		}
	})
}

func numbered(text string) string {
	b := &strings.Builder{}
	for i, line := range strings.Split(text, "\n") {
		fmt.Fprintln(b, strconv.Itoa(i+1), line)
	}
	return b.String()
}

// nginxPlaces has nginx write below its own directory only.
const nginxPlaces = "\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n"

func startNginx(t *testing.T, configuration string, addrs []string) {
	t.Helper()
	program, dir := tool(t, "nginx"), t.TempDir()
	run(t, dir, "nginx.conf", configuration, addrs, program, "-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
}

func startHAProxy(t *testing.T, configuration string, addrs []string) {
	t.Helper()
	program, dir := tool(t, "haproxy"), t.TempDir()
	run(t, dir, "haproxy.cfg", configuration, addrs, program, "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
}

// plant is a configuration with a fault, and what must be found: these and no others.
type plant struct {
	name    string
	replace []string // of the lines of the good configuration
	want    []string
	says    string // a part of the settings that are named
	visit   func(v *outside.Visit)
}

// find visits all plants at the same time: they wait, most of the time.
func find(t *testing.T, kind string, plants []plant, addrs []string) {
	reports := make([]*doctor.Report, len(plants))
	var all sync.WaitGroup
	for i, p := range plants {
		all.Go(func() { reports[i] = examine(t, addrs[i], p.visit) })
	}
	all.Wait()
	for i, p := range plants {
		r, got := reports[i], faults(reports[i])
		slices.Sort(p.want)
		if !slices.Equal(got, p.want) {
			t.Errorf("%s: found %q, want %q\n%s", p.name, got, p.want, text(r))
		}
		if !strings.Contains(text(r), p.says) {
			t.Errorf("%s: does not name %q\n%s", p.name, p.says, text(r))
		}
		for _, f := range r.Findings {
			if f.Check == "proxy" && !strings.Contains(f.Value, kind) {
				t.Errorf("%s: %+v, want %s", p.name, f, kind)
			}
		}
		t.Logf("%-28s %v", p.name, got)
	}
}
