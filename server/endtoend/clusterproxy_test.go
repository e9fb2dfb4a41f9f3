package endtoend_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"peal/loadtest/redisd"
)

// The configurations in docs/proxies for several nodes, tried with the real programs: a node
// is killed under its clients, which come back through the same address and miss nothing.

func TestClusterThroughHAProxy(t *testing.T) {
	program := optionalTool(t, "haproxy")
	throughCluster(t, "haproxy-cluster.cfg", func(dir string) []string {
		return []string{program, "-db", "-f", filepath.Join(dir, "haproxy-cluster.cfg")}
	}, func(port string, addrs, admins []string) *strings.Replacer {
		adminPort := func(i int) string { _, port, _ := strings.Cut(admins[i], ":"); return port }
		return strings.NewReplacer("bind :80", "bind 127.0.0.1:"+port, "127.0.0.1:8081 port 9081", addrs[0]+" port "+adminPort(0), "127.0.0.1:8082 port 9082", addrs[1]+" port "+adminPort(1))
	})
}

func TestClusterThroughNginx(t *testing.T) {
	program := tool(t, "nginx")
	throughCluster(t, "nginx-cluster.conf", func(dir string) []string {
		return []string{program, "-p", dir, "-c", "nginx-cluster.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;"}
	}, func(port string, addrs, _ []string) *strings.Replacer {
		return strings.NewReplacer("127.0.0.1:8081", addrs[0], "127.0.0.1:8082", addrs[1], "listen 80;", "listen 127.0.0.1:"+port+";",
			"\nhttp {", "\nhttp {\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;")
	})
}

func throughCluster(t *testing.T, config string, command func(dir string) []string, adapt func(port string, addrs, admins []string) *strings.Replacer) {
	const messages, clients = 300, 6
	r := redisd.For(t, redisd.Options{AppendOnly: true})
	nodes, addrs, admins := make([]*peal, 2), make([]string, 2), make([]string, 2)
	for i := range nodes {
		nodes[i], admins[i] = node(t, r)
		addrs[i] = nodes[i].addr
	}
	dir := t.TempDir()
	args := command(dir)
	through := nodes[0].proxy(t, dir, config, func(port string) *strings.Replacer { return adapt(port, addrs, admins) }, args[0], args[1:]...)

	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var reading sync.WaitGroup
	var began, again atomic.Int64
	for range clients {
		reading.Go(func() {
			c := &returning{ctx: ctx, url: through.url + "/sse?channel=a&cursor=earliest"}
			c.began = func() { began.Add(1) }
			if err := c.read(messages); err != nil {
				t.Error(err)
			}
			again.Add(int64(c.connects - 1))
		})
	}
	through.await("all clients are connected", func() bool { return began.Load() == clients })
	for i := range messages {
		if i == messages/3 {
			nodes[0].signal(syscall.SIGKILL)
			nodes[0].exitCode()
		}
		publishUntilAccepted(ctx, t, through, strconv.Itoa(i))
	}
	reading.Wait()
	if again.Load() == 0 {
		t.Error("no client was on the node that was killed")
	}
	t.Logf("%d clients, %d connections beyond the first", clients, again.Load())
}

// publishUntilAccepted publishes as a backend does: with a key, again and again.
func publishUntilAccepted(ctx context.Context, t *testing.T, p *peal, text string) {
	t.Helper()
	for {
		a, err := p.try("POST", "/publish?channel=a", text, "Content-Type: text/plain", "Idempotency-Key: "+text)
		if err == nil && a.status == 200 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("publish %s: %v, %v", text, a, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// returning is a client of event streams that comes back with its last id, as EventSource does.
type returning struct {
	ctx      context.Context
	url      string
	lastID   string
	connects int
	began    func() // of the first connection
	got      int
}

// read returns when the messages 0, 1, … have come, each once and in order.
func (c *returning) read(messages int) error {
	for c.got < messages {
		if err := c.connection(messages); err != nil {
			return err
		}
		select {
		case <-c.ctx.Done():
			return fmt.Errorf("%d of %d messages: %w", c.got, messages, c.ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func (c *returning) connection(messages int) error {
	request, err := http.NewRequestWithContext(c.ctx, "GET", c.url, nil)
	if err != nil {
		return err
	}
	if c.lastID != "" {
		request.Header.Set("Last-Event-ID", c.lastID)
	}
	transport := &http.Transport{} // one connection for each, which the balancer places
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil || answer.StatusCode != 200 {
		if err == nil {
			answer.Body.Close()
		}
		return nil // no node at the moment
	}
	defer answer.Body.Close()
	if c.connects++; c.connects == 1 {
		c.began()
	}
	name := ""
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "id":
			c.lastID = value
		case field == "event":
			name = value
		case field == "" && value == "":
			name = ""
		case field == "data" && name == "gap":
			return fmt.Errorf("a gap behind message %d: %s", c.got-1, value)
		case field == "data" && (name == "" || name == "message"):
			if value != strconv.Itoa(c.got) {
				return fmt.Errorf("message %d is %q", c.got, value)
			}
			if c.got++; c.got == messages {
				return nil
			}
		}
	}
	return nil
}
