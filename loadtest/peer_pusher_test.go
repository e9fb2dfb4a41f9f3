package loadtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// fakePusher is as much of Pusher Channels as its documentation says of what a
// load test needs: the application with the key "key", the id "7" and the secret
// "secret".
type fakePusher struct {
	gws.BuiltinEventHandler
	upgrader *gws.Upgrader
	wait     sync.WaitGroup
	quiet    time.Duration // before the greeting

	mu    sync.Mutex
	conns map[*gws.Conn]*fakeSocket
	pongs int
	early int // messages before the greeting
}

type fakeSocket struct {
	greeted  bool
	channels []string
}

func newFakePusher(t *testing.T) (*fakePusher, string) {
	f := &fakePusher{conns: map[*gws.Conn]*fakeSocket{}, quiet: 20 * time.Millisecond}
	f.upgrader = gws.NewUpgrader(f, nil)
	return f, serveSockets(t, f, &f.mu, f.conns, &f.wait)
}

func (f *fakePusher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/apps/7/events":
		f.events(w, r)
	case r.URL.Path == "/app/key" && r.URL.Query().Get("protocol") == "7":
		conn, err := f.upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[conn] = &fakeSocket{}
		f.mu.Unlock()
		time.AfterFunc(f.quiet, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.conns[conn].greeted = true
			_ = conn.WriteString(`{"event":"pusher:connection_established","data":"{\"socket_id\":\"12.34\",\"activity_timeout\":120}"}`)
		})
		f.wait.Go(conn.ReadLoop)
	default:
		http.Error(w, "no such thing", http.StatusNotFound)
	}
}

// signed checks a request as the server library of Pusher does: all parameters
// but the signature in alphabetical order.
func (f *fakePusher) signed(r *http.Request) bool {
	var pairs []string
	for name, values := range r.URL.Query() {
		if name != "auth_signature" {
			pairs = append(pairs, strings.ToLower(name)+"="+values[0])
		}
	}
	slices.Sort(pairs)
	mac := hmac.New(sha256.New, []byte("secret"))
	fmt.Fprintf(mac, "%s\n%s\n%s", r.Method, r.URL.Path, strings.Join(pairs, "&"))
	return r.FormValue("auth_signature") == hex.EncodeToString(mac.Sum(nil)) && r.FormValue("auth_key") == "key" && r.FormValue("auth_version") == "1.0"
}

func (f *fakePusher) events(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a cut body is not JSON
	var event struct {
		Name, Data, Channel string
		Channels            []string
	}
	if err := json.Unmarshal(body, &event); err != nil || !f.signed(r) || r.FormValue("body_md5") != fmt.Sprintf("%x", md5.Sum(body)) {
		http.Error(w, "Invalid signature", http.StatusUnauthorized)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, channel := range append(event.Channels, event.Channel) {
		frame, _ := json.Marshal(map[string]string{"event": event.Name, "channel": channel, "data": event.Data}) // strings always marshal
		for c, socket := range f.conns {
			if channel != "" && slices.Contains(socket.channels, channel) {
				_ = c.WriteMessage(gws.OpcodeText, frame) // the test counts what comes
			}
		}
	}
	_, _ = io.WriteString(w, "{}")
}

func (f *fakePusher) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	var command struct {
		Event string
		Data  json.RawMessage
	}
	var of struct{ Channel string }
	_ = json.Unmarshal(m.Bytes(), &command) // what is not JSON is no event that is known
	_ = json.Unmarshal(command.Data, &of)
	f.mu.Lock()
	defer f.mu.Unlock()
	socket := f.conns[c]
	if !socket.greeted {
		f.early++
	}
	switch command.Event {
	case "pusher:subscribe":
		if strings.HasPrefix(of.Channel, "private-") {
			_ = c.WriteString(`{"event":"pusher:error","data":{"code":null,"message":"authorization needed"}}`)
			return
		}
		socket.channels = append(socket.channels, of.Channel)
		_ = c.WriteString(`{"event":"pusher_internal:subscription_succeeded","channel":` + fmt.Sprintf("%q", of.Channel) + `,"data":"{}"}`)
		_ = c.WriteString(`{"event":"pusher:ping","data":{}}`)
	case "pusher:ping":
		_ = c.WriteString(`{"event":"pusher:pong","data":{}}`)
	case "pusher:pong":
		f.pongs++
	}
}

func TestPusherDeliversEverythingOnce(t *testing.T) {
	const connections, channels = 12, 3
	f, addr := newFakePusher(t)
	target := spoken(t, "pusher+ws://"+addr+"?channel=pusher-b&key=key&app=7", "")
	pool, opened, err := OpenPool(t.Context(), target.Spec(channels, connections))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := opened.Err(); err != nil || opened.Handshake.Quantile(0) < f.quiet {
		t.Fatalf("%v; the fastest handshake took %v, want %v at least, until the greeting", err, opened.Handshake.Quantile(0), f.quiet)
	}
	run := func(secret string) Result {
		t.Helper()
		publisher := publisherOf(t, spoken(t, target.Text, secret), "", channels)
		r, err := Run(t.Context(), pool, publisher, Load{Streams: channels, Pacer: Rate(300), Length: 200 * time.Millisecond, Settle: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run("secret"); !r.Clean() || r.Refused != 0 || r.Delivered != connections/channels*r.Published || r.Published == 0 {
		t.Errorf("%d published, %d refused (%v), %+v", r.Published, r.Refused, r.Reason, r.Counts)
	}
	if r := run("another"); r.Refused != r.Published || r.Delivered != 0 || !strings.Contains(fmt.Sprint(r.Reason), "Invalid signature") {
		t.Errorf("with a wrong secret: %d of %d refused (%v), %+v", r.Refused, r.Published, r.Reason, r.Counts)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pongs < connections || f.early != 0 {
		t.Errorf("%d of %d pings were answered, %d messages came before the greeting", f.pongs, connections, f.early)
	}
}

func TestPusherRefusesPrivateChannels(t *testing.T) {
	_, addr := newFakePusher(t)
	target := spoken(t, "pusher+ws://"+addr+"?channel=private-x&key=key&app=7", "")
	pool, opened, err := OpenPool(t.Context(), target.Spec(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if opened.Failed != 2 || !strings.Contains(opened.FirstError, "authorization needed") {
		t.Errorf("%+v, want 2 failed, authorization needed", opened)
	}
}
