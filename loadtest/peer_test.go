package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"peal/loadtest/dialect"
)

// fakePeer is as much of another server as its documentation says of what a load
// test needs: /connection/websocket and /api/publish are Centrifugo's,
// /.well-known/mercure is Mercure's, /sub and /pub are Nchan's.
type fakePeer struct {
	gws.BuiltinEventHandler
	upgrader *gws.Upgrader
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns map[*gws.Conn]string // channel; Centrifugo's "" until it has subscribed
	sse   map[chan string]string
	pongs int
	kept  map[string][]string // Centrifugo's history: JSON
	epoch string
}

func (f *fakePeer) publish(channel string, frame, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.publishLocked(channel, frame, data)
}

func (f *fakePeer) publishLocked(channel string, frame, data string) {
	for c, of := range f.conns {
		if of == channel {
			_ = c.WriteString(frame) // the test counts what comes
		}
	}
	for queue, of := range f.sse {
		if of == channel {
			queue <- data
		}
	}
}

func (f *fakePeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.URL.Path == "/connection/websocket" || r.URL.Path == "/sub" && r.Header.Get("Upgrade") != "":
		conn, err := f.upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[conn] = r.URL.Query().Get("id")
		f.mu.Unlock()
		f.wait.Go(conn.ReadLoop)
	case r.URL.Path == "/api/publish":
		var p struct {
			Channel string
			Data    json.RawMessage
		}
		if err := json.Unmarshal(body, &p); err != nil || r.Header.Get("X-API-Key") != "secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		// A ping and a publication in one frame, a line each, as it may send them.
		f.mu.Lock() // history and push are one: who subscribes between them would have it twice
		defer f.mu.Unlock()
		f.kept[p.Channel] = append(f.kept[p.Channel], string(p.Data))
		offset := len(f.kept[p.Channel])
		f.publishLocked(p.Channel, fmt.Sprintf("{}\n"+`{"push":{"channel":%q,"pub":{"data":%s,"offset":%d}}}`, p.Channel, p.Data, offset), "")
		_, _ = io.WriteString(w, "{}")
	case r.Method == http.MethodPost:
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if r.URL.Path == "/pub" {
			f.publish(r.URL.Query().Get("id"), string(body), string(body))
			w.WriteHeader(http.StatusCreated)
			return
		}
		f.publish(r.FormValue("topic"), "", r.FormValue("data"))
	default:
		f.stream(w, r)
	}
}

func (f *fakePeer) stream(w http.ResponseWriter, r *http.Request) {
	queue := make(chan string, 1000)
	f.mu.Lock()
	f.sse[queue] = r.FormValue("topic") + r.FormValue("id")
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case data := <-queue:
			fmt.Fprintf(w, "id: urn:x\ndata: %s\n\n", data)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// OnMessage is Centrifugo's: connect, subscribe, and the answer to its ping.
func (f *fakePeer) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	var command struct {
		ID        int
		Connect   *struct{}
		Subscribe *struct {
			Channel, Epoch string
			Recover        bool
			Offset         int
		}
	}
	if err := json.Unmarshal(m.Bytes(), &command); err != nil {
		return
	}
	switch {
	case command.Connect != nil:
		_ = c.WriteString(`{"id":1,"connect":{"client":"x","version":"5","ping":25,"pong":true}}`)
	case command.Subscribe != nil:
		f.mu.Lock()
		defer f.mu.Unlock()
		s := command.Subscribe
		f.conns[c] = s.Channel
		kept, missed := f.kept[s.Channel], []string(nil)
		recovered := s.Recover && s.Epoch == f.epoch
		if recovered {
			for i, data := range kept[s.Offset:] {
				missed = append(missed, fmt.Sprintf(`{"data":%s,"offset":%d}`, data, s.Offset+i+1))
			}
		}
		answer := fmt.Sprintf(`{"id":2,"subscribe":{"recoverable":true,"epoch":%q,"publications":[%s],"recovered":%t,"offset":%d,"was_recovering":%t}}`,
			f.epoch, strings.Join(missed, ","), recovered, len(kept), s.Recover)
		if command.Subscribe.Channel == "forbidden" {
			answer = `{"id":2,"error":{"code":103,"message":"permission denied"}}`
		}
		_ = c.WriteString(answer)
	default:
		f.mu.Lock()
		f.pongs++
		f.mu.Unlock()
	}
}

// serveSockets serves h until the test ends. It then closes the sockets in conns, which
// mu guards, and waits for their read loops.
func serveSockets[V any](t *testing.T, h http.Handler, mu *sync.Mutex, conns map[*gws.Conn]V, wait *sync.WaitGroup) (addr string) {
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		mu.Lock()
		for c := range conns {
			_ = c.NetConn().Close()
		}
		mu.Unlock()
		wait.Wait()
	})
	return server.Listener.Addr().String()
}

func newFakePeer(t *testing.T) (*fakePeer, string) {
	f := &fakePeer{conns: map[*gws.Conn]string{}, sse: map[chan string]string{}, kept: map[string][]string{}, epoch: "a"}
	f.upgrader = gws.NewUpgrader(f, nil)
	return f, serveSockets(t, f, &f.mu, f.conns, &f.wait)
}

func TestPeersDeliverEverythingOnce(t *testing.T) {
	for _, way := range []string{"centrifugo+ws://%s?channel=a%%20b", "mercure+http://%s?channel=a%%20b", "nchan+ws://%s?channel=a%%20b", "nchan+http://%s?channel=a%%20b"} {
		t.Run(way, func(t *testing.T) {
			const connections, channels = 12, 3
			f, addr := newFakePeer(t)
			target := spoken(t, fmt.Sprintf(way, addr), "")
			pool := openPool(t, target.Spec(channels, connections))
			defer pool.Close()
			publisher := publisherOf(t, target, "X-API-Key: secret\r\n", channels)
			r, err := Run(t.Context(), pool, publisher, Load{Streams: channels, Pacer: Rate(300), Length: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Clean() || r.Refused != 0 || r.Delivered != connections/channels*r.Published || r.Published == 0 {
				t.Errorf("%d published, %d refused (%v), %+v", r.Published, r.Refused, r.Reason, r.Counts)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if target.Dialect.Name == "centrifugo" && f.pongs == 0 {
				t.Error("its pings were not answered")
			}
		})
	}
}

// spoken is a target in the dialect that it names.
func spoken(t *testing.T, text, secret string) Target {
	t.Helper()
	target, err := ParseTarget(t.Context(), text, nil, dialect.Data{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// publisherOf publishes to a target until the end of the test.
func publisherOf(t *testing.T, target Target, header string, channels int) *Publisher {
	t.Helper()
	to, err := target.Publish(t.Context(), "", header, channels)
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := DialPublisher(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publisher.Close() })
	return publisher
}

func TestAPeersRefusalIsAFailureToOpen(t *testing.T) {
	_, addr := newFakePeer(t)
	target := spoken(t, "centrifugo+ws://"+addr+"?channel=forbidden", "")
	pool, opened, err := OpenPool(t.Context(), target.Spec(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if opened.Failed != 2 || !strings.Contains(opened.FirstError, "permission denied") {
		t.Errorf("%+v, want 2 failed, permission denied", opened)
	}
}

func TestMercureAsksByTheParameterOfItsVersion(t *testing.T) {
	check := func(path, want string) {
		t.Helper()
		target := spoken(t, "mercure+http://127.0.0.1"+path, "")
		peer, err := target.Dialect.Subscriber(target.Data, target.Path, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := peer.Path.Text(&dialect.Values{Channel: "a b"}); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	check("", "/.well-known/mercure?topic=a+b")
	check("?match", "/.well-known/mercure?match=a+b")
	check("/.well-known/mercure", "/.well-known/mercure?topic=a+b")
	check("/hub?match=", "/hub?match=a+b")
	check("/hub?match=&x=1", "/hub?match=a+b&x=1")
	check("/hub?topic=mine", "/hub?topic=mine")
}

// TestCentrifugoResumesOrIsTold drops everybody: once where all is kept, and once
// where the server has lost it.
func TestCentrifugoResumesOrIsTold(t *testing.T) {
	const connections = 6
	f, addr := newFakePeer(t)
	target := spoken(t, "centrifugo+ws://"+addr+"?channel=a", "")
	spec := target.Spec(1, connections)
	spec.Resume = true
	pool := openPool(t, spec)
	defer pool.Close()
	publisher := publisherOf(t, target, "X-API-Key: secret\r\n", 1)
	run := func(epoch string) Result {
		t.Helper()
		r, err := Run(t.Context(), pool, publisher, Load{Pacer: Rate(200), Length: 600 * time.Millisecond, Settle: time.Second, Every: time.Second,
			After: 200 * time.Millisecond, During: func(ctx context.Context) error {
				if err := pool.Drop(ctx, 100*time.Millisecond); err != nil {
					return err
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.epoch != epoch {
					f.epoch, f.kept = epoch, map[string][]string{}
				}
				return nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run("a"); !r.Clean() || r.Gaps != 0 || r.Published == 0 || r.Recovery.Count() != connections {
		t.Errorf("%d published, %+v, %d gaps", r.Published, r.Counts, r.Gaps)
	}
	if r := run("b"); r.Lost == 0 || r.Duplicated != 0 || r.Foreign != 0 || r.Gaps != connections {
		t.Errorf("the server forgot: %+v, %d gaps; want something lost, and everybody told", r.Counts, r.Gaps)
	}
	// Its new epoch is theirs now.
	if r := run("b"); !r.Clean() || r.Gaps != 0 {
		t.Errorf("in the new epoch: %+v, %d gaps", r.Counts, r.Gaps)
	}
}
