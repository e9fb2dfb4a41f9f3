package server_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/scripts/testca"
	"peal/server"
	"peal/server/app"
	"peal/server/webhook"
)

// socket is a WebSocket.
type socket struct {
	net.Conn
	in *bufio.Reader
}

// socketOn makes a connection one.
func socketOn(t *testing.T, c net.Conn, path, protocol string) *socket {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	head := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	if protocol != "" {
		head += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	s := &socket{c, bufio.NewReader(c)}
	response, err := http.ReadResponse(s.in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: %v, %v", path, response, err)
	}
	return s
}

func dialSocket(t *testing.T, addr, path, protocol string) *socket {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return socketOn(t, c, path, protocol)
}

// say sends a text of at most 125 bytes, with a mask of zeros.
func (s *socket) say(t *testing.T, text string) {
	t.Helper()
	if _, err := s.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil {
		t.Fatal(err)
	}
}

// frame is the next frame but pings.
func (s *socket) frame(t *testing.T) (op byte, payload []byte) {
	t.Helper()
	for {
		var head [2]byte
		if _, err := io.ReadFull(s.in, head[:]); err != nil {
			t.Fatal(err)
		}
		length := int(head[1])
		if length == 126 {
			var long [2]byte
			if _, err := io.ReadFull(s.in, long[:]); err != nil {
				t.Fatal(err)
			}
			length = int(binary.BigEndian.Uint16(long[:]))
		}
		payload = make([]byte, length)
		if _, err := io.ReadFull(s.in, payload); err != nil {
			t.Fatal(err)
		}
		if op = head[0] & 15; op != 9 {
			return op, payload
		}
	}
}

// hears reads the next text, which must have all of the parts.
func (s *socket) hears(t *testing.T, parts ...string) string {
	t.Helper()
	op, payload := s.frame(t)
	for _, part := range parts {
		if op != 1 || !strings.Contains(string(payload), part) {
			t.Fatalf("frame %d %q, want %q", op, payload, parts)
		}
	}
	return string(payload)
}

// closes reads up to the close frame.
func (s *socket) closes(t *testing.T) (code int, reason string) {
	t.Helper()
	for {
		if op, payload := s.frame(t); op == 8 {
			return int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
	}
}

// call is a request on a connection of its own.
func call(t *testing.T, method, address string, head ...string) (status int, text string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader("one"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b), response.Header
}

// crowd is a client of each kind, of one server.
type crowd struct {
	addr                  string
	watch, ann            *follower
	bob, commands, pusher *socket
	mercure               *follower
	session               string // of ann
	first                 string // response to a publication with a key
	n                     int
}

// crowdConfig is that of a server with everything that a crowd needs.
func crowdConfig(engine string) server.Config {
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Engine: engine, Log: slog.New(slog.DiscardHandler), Version: "test"}
	c.Loop.Loops = 2
	c.Presence.Grace = time.Millisecond // a member that is lost by an upgrade leaves at once
	c.HTTP.DisconnectWindow = time.Hour
	c.Mercure = server.Mercure{Anonymous: true, Subscriptions: 100, Publisher: server.MercureKeys{Secrets: []string{nodeSecret}}}
	c.Apps = []app.Definition{{ID: "7", Key: "shop-key", Secret: "shop-secret", Namespace: "shop:"}}
	return c
}

func gather(t *testing.T, addr string) *crowd {
	t.Helper()
	k := &crowd{addr: addr}
	k.watch = follow(t, addr, "channel=tea&presence=1")
	k.ann = followOpen(t, addr, "/sse?channel=tea&client=ann")
	var open struct{ Session string }
	if err := json.Unmarshal([]byte(k.ann.next(t)), &open); err != nil || open.Session == "" {
		t.Fatalf("%+v, %v", open, err)
	}
	k.session = open.Session
	k.watch.hears(t, `"count":1`) // the first one is without names
	k.bob = dialSocket(t, addr, "/ws?channel=tea&client=bob", "")
	k.watch.hears(t, `"count":2,"join":[{"client":"bob"}]`)
	k.commands = dialSocket(t, addr, "/ws", "peal.v1")
	k.commands.hears(t, "connected")
	for i := range 40 {
		k.commands.say(t, fmt.Sprintf(`{"command":"subscribe","channel":"many.%d","id":%d}`, i, i))
		k.commands.hears(t, fmt.Sprintf(`"id":%d`, i))
	}
	k.pusher = dialSocket(t, addr, "/app/shop-key?protocol=7", "")
	k.pusher.hears(t, "pusher:connection_established")
	k.pusher.say(t, `{"event":"pusher:subscribe","data":{"channel":"offers"}}`)
	k.pusher.hears(t, "pusher_internal:subscription_succeeded")
	k.mercure = followOpen(t, addr, "/.well-known/mercure?topic="+url.QueryEscape("https://example.org/{id}"))
	k.mercure.hears(t, "cursor")
	status, _, _ := call(t, "POST", "http://"+addr+"/disconnect?client=eve")
	if status != http.StatusOK {
		t.Fatalf("disconnect: %d", status)
	}
	if status, k.first, _ = call(t, "POST", "http://"+addr+"/publish?channel=orders", "Idempotency-Key", "order-1"); status != http.StatusOK {
		t.Fatalf("publish: %d %s", status, k.first)
	}
	return k
}

// check has each client receive something, and nothing else.
func (k *crowd) check(t *testing.T) {
	t.Helper()
	k.n++
	text := fmt.Sprint("message ", k.n)
	publish(t, k.addr, "tea", text)
	k.watch.hears(t, text)
	k.ann.hears(t, text)
	k.bob.hears(t, text)
	publish(t, k.addr, "tea&exclude="+k.session, "not for ann")
	k.watch.hears(t, "not for ann")
	k.bob.hears(t, "not for ann")
	for _, i := range []int{0, 17, 39} {
		publish(t, k.addr, fmt.Sprint("many.", i), text)
		k.commands.hears(t, text, fmt.Sprintf("many.%d", i))
	}
	k.commands.say(t, fmt.Sprintf(`{"command":"subscribe","channel":"late.%d","id":99}`, k.n))
	k.commands.hears(t, `"id":99`)
	publish(t, k.addr, "shop:offers", text)
	k.pusher.hears(t, text, `"offers"`)
	k.bob.say(t, text+" of bob")
	k.bob.hears(t, text+" of bob")
	k.watch.hears(t, text+" of bob")
	k.ann.hears(t, text+" of bob")
	update := url.Values{"topic": {"https://example.org/5"}, "data": {text}}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+k.addr+"/.well-known/mercure", strings.NewReader(update.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+mercurePublisher())
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(err, response)
	}
	response.Body.Close()
	k.mercure.hears(t, text)
	status, again, header := call(t, "POST", "http://"+k.addr+"/publish?channel=orders", "Idempotency-Key", "order-1")
	if status != http.StatusOK || again != k.first || header.Get("Idempotency-Replayed") != "true" {
		t.Fatalf("the repeat: %d %s, %v; want %s", status, again, header, k.first)
	}
	if status, text, _ := call(t, "GET", "http://"+k.addr+"/sse?channel=tea&client=eve"); status == http.StatusOK {
		t.Fatalf("a client that is kept away: %d %s", status, text)
	}
	if status, text, _ := call(t, "GET", "http://"+k.addr+"/channels/tea/presence"); status != http.StatusOK || !strings.Contains(text, `"count":2,"anonymous":1,"members":[{"client":"ann"},{"client":"bob"}]`) {
		t.Fatalf("members: %d %s", status, text)
	}
}

// mercurePublisher is a token that may publish everything.
func mercurePublisher() string {
	part := base64.RawURLEncoding.EncodeToString
	text := part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + part([]byte(`{"mercure":{"publish":["*"]}}`))
	sum := hmac.New(sha256.New, []byte(nodeSecret))
	sum.Write([]byte(text))
	return text + "." + part(sum.Sum(nil))
}

// park has a poll wait.
func park(t *testing.T, addr string) *bufio.Reader {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET /poll?channel=polled&timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	eventually(t, "the poll waits", func() bool {
		_, text, _ := call(t, "GET", "http://"+addr+"/channels/polled")
		return strings.Contains(text, `"subscribers":1`)
	})
	return bufio.NewReader(c)
}

// answered reads the response of a poll.
func answered(t *testing.T, poll *bufio.Reader, text string) {
	t.Helper()
	response, err := http.ReadResponse(poll, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if b, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(b), text) {
		t.Fatalf("the poll: %s, %q, %v", response.Status, b, err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// leave has bob leave, and nobody else.
func (k *crowd) leave(t *testing.T) {
	t.Helper()
	k.bob.Close()
	k.watch.hears(t, `"count":1,"join":[],"leave":[{"client":"bob"}]`)
}

// followOpen is an event stream whose first event was not read.
func followOpen(t *testing.T, addr, path string) *follower {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	f := &follower{c, bufio.NewScanner(c)}
	for f.lines.Scan() && f.lines.Text() != "" { // the head
	}
	return f
}

// hears reads the next event, which must have that text.
func (s *follower) hears(t *testing.T, text string) {
	t.Helper()
	if got := s.next(t); !strings.Contains(got, text) {
		t.Fatalf("received %s, want %q", got, text)
	}
}

// TestUpgradeOfAllKinds: each kind of client, and what is known of it, goes over.
func TestUpgradeOfAllKinds(t *testing.T) {
	for _, engine := range []string{"memory", "file:" + t.TempDir()} {
		t.Run(engine[:4], func(t *testing.T) {
			c := crowdConfig(engine)
			s, err := server.New(c)
			if err != nil {
				t.Fatal(err)
			}
			l := live(t, s)
			addr := l.Addrs()[0].String()
			c.Listen = []string{addr}
			k := gather(t, addr)
			k.check(t)
			subscriptions := l.SubscriptionStats()
			for i := range 2 {
				poll := park(t, addr)
				l = l.handOver(t, c)
				k.check(t)
				publish(t, addr, "polled", fmt.Sprint("for the poll ", i))
				answered(t, poll, fmt.Sprint("for the poll ", i))
				if now := l.SubscriptionStats(); now.Active != subscriptions.Active || now.Events != 0 {
					t.Errorf("upgrade %d: subscriptions were %+v, and are %+v", i, subscriptions, now)
				}
			}
			k.leave(t)
		})
	}
}

// TestUpgradeIsCalledOff: wherever the new server fails, the old one goes on, and nobody notices.
func TestUpgradeIsCalledOff(t *testing.T) {
	c := crowdConfig("file:" + t.TempDir())
	backend, heard := hears(t)
	c.Webhooks = backend
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	addr := l.Addrs()[0].String()
	c.Listen = []string{addr}
	k := gather(t, addr)
	k.check(t)
	other := c
	other.Engine = "memory"
	if o, next, oldErr, _ := l.offer(t, other, nil); o.Committed || next != nil || oldErr == nil || !strings.Contains(oldErr.Error(), "configure the same") {
		t.Fatalf("to another log: %+v, %v", o, oldErr)
	}
	broken := errors.New("something broke")
	var steps []string
	for at := 0; ; at++ {
		seen := 0
		o, next, oldErr, newErr := l.offer(t, c, func(step string) error {
			if seen++; seen <= at {
				return nil
			}
			if !slices.Contains(steps, step) {
				steps = append(steps, step)
			}
			if at%2 == 0 {
				return broken
			}
			return errDead
		})
		if o.Committed {
			if oldErr != nil || newErr != nil {
				t.Fatal(oldErr, newErr)
			}
			l.mustEnd(t)
			live(t, next)
			k.check(t)
			break
		}
		if oldErr == nil || at%2 == 0 && !strings.Contains(oldErr.Error(), broken.Error()) || next != nil {
			t.Fatalf("failed at %d: old: %v, new: %v", at, oldErr, newErr)
		}
		publish(t, addr, "tea", "right after")
		k.watch.hears(t, "right after")
		k.ann.hears(t, "right after")
		k.bob.hears(t, "right after")
	}
	for _, step := range []string{"accept", "describing connections0", "hub", "offered", "paused", "caught-up", "idempotency", "bans", "control", "webhooks", "presence", "sessions", "rests", "adopt", "prepare"} {
		if !slices.Contains(steps, step) {
			t.Errorf("no upgrade failed at the step %s: %v", step, steps)
		}
	}
	k.leave(t)
	publish(t, addr, "orders.1", "last")
	heard.wants(t, "publication orders.1 last")
}

// hears is a backend with a webhook for the channels orders.*
func hears(t *testing.T) ([]webhook.Definition, *heard) {
	h := &heard{}
	backend := httptest.NewServer(h)
	t.Cleanup(backend.Close)
	return []webhook.Definition{{Name: "orders", URL: backend.URL, Events: []string{webhook.Publication}, Channels: []string{"orders.*"}, Secret: "123456789012345678901234", AllowPrivate: true}}, h
}

// TestUpgradeOfWebhooks: each event is delivered once, in order, by whichever process.
func TestUpgradeOfWebhooks(t *testing.T) {
	for _, engine := range []string{"memory", "file:" + t.TempDir()} {
		t.Run(engine[:4], func(t *testing.T) {
			c := crowdConfig(engine)
			backend, heard := hears(t)
			c.Webhooks = backend
			s, err := server.New(c)
			if err != nil {
				t.Fatal(err)
			}
			l := live(t, s)
			addr := l.Addrs()[0].String()
			c.Listen = []string{addr}
			eventually(t, "the webhook is delivered", func() bool { return l.WebhookStats().Delivers })
			var want []string
			for i := range 4 {
				for j := range 5 {
					text := fmt.Sprintf("%d.%d", i, j)
					publish(t, addr, "orders.x", text)
					want = append(want, "publication orders.x "+text)
				}
				if i < 3 {
					l = l.handOver(t, c)
				}
			}
			heard.wants(t, want[len(want)-1])
			heard.mu.Lock()
			defer heard.mu.Unlock()
			if !slices.Equal(heard.all, want) {
				t.Errorf("heard %q, want %q", heard.all, want)
			}
		})
	}
}

// TestUpgradeWithTLS: connections over TLS stay with the old server, which tells them to come back, and ends.
func TestUpgradeWithTLS(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	cert, key := ca.Files(dir, "a", testca.Leaf{Names: []string{"push.example.org"}})
	c := crowdConfig("memory")
	c.ListenPlain = []string{"127.0.0.1:0"}
	c.TLS = server.TLS{Certs: []string{cert}, Keys: []string{key}}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	secure, plain := l.Addrs()[0].String(), l.Addrs()[1].String()
	c.Listen, c.ListenPlain = []string{secure}, []string{plain}
	trusting := &tls.Config{RootCAs: ca.Pool, ServerName: "push.example.org"}
	dial := func() net.Conn {
		t.Helper()
		conn, err := tls.Dial("tcp", secure, trusting)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	stays := socketOn(t, dial(), "/ws?channel=news&format=json", "")
	goes := follow(t, plain, "channel=news&format=raw")
	publish(t, plain, "news", "before")
	stays.hears(t, "before")
	goes.hears(t, "before")

	o, next := l.pass(t, c)
	if o.Stayed["tls"] != 1 || o.Connections < 1 {
		t.Errorf("%+v", o)
	}
	if code, reason := stays.closes(t); code != 1012 || !strings.Contains(reason, "retry in ") {
		t.Errorf("closed with %d %q", code, reason)
	}
	stays.Close()
	l.mustEnd(t)
	again := socketOn(t, dial(), "/ws?channel=news&format=json", "")
	publish(t, plain, "news", "after")
	again.hears(t, "after")
	goes.hears(t, "after")
	_ = next
}

// TestUpgradeToLess: what the new server cannot go on with stays with the old one, which tells it to come back.
func TestUpgradeToLess(t *testing.T) {
	c := crowdConfig("memory")
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	addr := l.Addrs()[0].String()
	c.Listen = []string{addr}
	pusher := dialSocket(t, addr, "/app/shop-key?protocol=7", "")
	pusher.hears(t, "pusher:connection_established")
	goes := follow(t, addr, "channel=news&format=raw")
	c.Apps = nil
	o, next := l.pass(t, c)
	if o.Left != 1 || o.Stayed["unknown"] != 1 {
		t.Errorf("%+v", o)
	}
	if code, _ := pusher.closes(t); code != 4100 {
		t.Errorf("closed with %d", code)
	}
	pusher.Close()
	l.mustEnd(t)
	publish(t, addr, "news", "after")
	goes.hears(t, "after")
	_ = next
}

// TestUpgradeExcludesReloadAndEnd: a server that gets the signal to end while another one takes over ends itself, and a reload is refused.
func TestUpgradeExcludesReloadAndEnd(t *testing.T) {
	c := crowdConfig("memory")
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l := live(t, s)
	c.Listen = []string{l.Addrs()[0].String()}
	o, next, oldErr, newErr := l.offer(t, c, func(step string) error {
		if step != "prepare" {
			return nil
		}
		if err := l.Reload(t.Context(), c); err == nil || !strings.Contains(err.Error(), "reload again") {
			t.Errorf("a reload: %v", err)
		}
		l.end()
		eventually(t, "the server drains", func() bool { return !l.Ready() })
		return nil
	})
	if o.Committed || next != nil || newErr == nil || oldErr == nil || !strings.Contains(oldErr.Error(), "draining") {
		t.Errorf("%+v, old: %v, new: %v", o, oldErr, newErr)
	}
	l.mustEnd(t)
}
