package loadtest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"peal/loadtest/dialect"
)

// odder speaks a dialect of its own. It greets, wants to be told a channel, a token and
// a name, sends pings, and wraps several messages into a frame.
type odder struct {
	gws.BuiltinEventHandler
	upgrader *gws.Upgrader
	wait     sync.WaitGroup

	mu        sync.Mutex
	conns     map[*gws.Conn]string // channel; "": none yet
	joins     map[string]int
	asked     map[string]int // request lines
	pongs     int
	beats     int
	published []string // requests
	answer    string   // to a publication by a request
	status    int
}

func newOdder(t *testing.T) (*odder, string) {
	o := &odder{conns: map[*gws.Conn]string{}, joins: map[string]int{}, asked: map[string]int{}, status: http.StatusOK}
	o.upgrader = gws.NewUpgrader(o, &gws.ServerOption{SubProtocols: []string{"odd.v1"}})
	return o, serveSockets(t, o, &o.mu, o.conns, &o.wait)
}

func (o *odder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked[r.URL.RequestURI()+" "+r.Header.Get("X-Name")]++
	o.mu.Unlock()
	if r.Header.Get("Upgrade") == "" {
		body, _ := io.ReadAll(r.Body) // a cut body is not what the test wants
		o.mu.Lock()
		defer o.mu.Unlock()
		o.published = append(o.published, fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("X-Key"), body))
		w.WriteHeader(o.status)
		_, _ = io.WriteString(w, o.answer)
		if o.answer == "" {
			o.sendLocked(r.URL.Query().Get("to"), string(body))
		}
		return
	}
	upgrader := o.upgrader
	if r.Header.Get("Sec-WebSocket-Protocol") == "" {
		upgrader = gws.NewUpgrader(o, nil)
	}
	c, err := upgrader.Upgrade(w, r)
	if err != nil {
		return
	}
	o.mu.Lock()
	o.conns[c] = ""
	_ = c.WriteString("welcome")
	o.mu.Unlock()
	o.wait.Go(c.ReadLoop)
}

func (o *odder) sendLocked(channel, message string) {
	for c, of := range o.conns {
		if of == channel {
			_ = c.WriteString("tick\x1eevent:[{\"m\":\"" + message + "\"},{\"n\":1}]\x1e")
		}
	}
}

func (o *odder) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	words := strings.Fields(m.Data.String())
	switch words[0] {
	case "pong":
		o.pongs++
	case "beat":
		o.beats++
	case "say":
		o.sendLocked(words[1], words[2])
	case "join":
		if words[1] == "closed" {
			_ = c.WriteString("sorry: " + words[1])
			return
		}
		if words[1] == "mute" {
			_ = c.WriteString("what?")
			return
		}
		o.joins[strings.Join(words[2:], " ")]++
		o.conns[c] = words[1]
		_ = c.WriteString("joined " + words[1])
		_ = c.WriteString("ping 7")
	case "hello":
		_ = c.WriteString("hello")
	}
}

// oddDialect is the odder's.
func oddDialect() *dialect.Dialect {
	return &dialect.Dialect{
		Protocol:  "odd.v1",
		Steps:     dialect.Steps{{Expect: "welcome"}, {Send: "join {channel} {token} {name} {i}"}, {Expect: "joined {channel}"}},
		Separator: `\x1e`, Extract: []string{"$[*].m"}, Ping: []string{"/^ping/=>pong", "tick"}, PingEvery: "50ms=beat {i}", Reject: "/^sorry/",
		PublishSteps: dialect.Steps{{Expect: "welcome"}, {Send: "hello"}, {Expect: "hello"}}, PublishFrame: "say {channel} {message}",
	}
}

func TestTemplatesSpeakAnyDialect(t *testing.T) {
	const connections, channels = 6, 2
	o, addr := newOdder(t)
	file := filepath.Join(t.TempDir(), "names.csv")
	if err := os.WriteFile(file, []byte("name,age\nAnn,30\n\"Bob B\",40\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := dialect.Data{Token: "secret"}.ReadData(file)
	if err != nil {
		t.Fatal(err)
	}
	target, err := ParseTarget(t.Context(), "ws://"+addr+"/socket?channel=c&who={name}", oddDialect(), data)
	if err != nil {
		t.Fatal(err)
	}
	spec := target.Spec(channels, connections)
	spec.Header = "X-Name: {name:url}\r\n"
	pool := openPool(t, spec)
	defer pool.Close()
	publisher := publisherOf(t, target, "", channels)
	r, err := Run(t.Context(), pool, publisher, Load{Streams: channels, Pacer: Rate(200), Length: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Clean() || r.Refused != 0 || r.Published == 0 || r.Delivered != r.Published*connections/channels {
		t.Errorf("%d published, %d refused (%v), %+v", r.Published, r.Refused, r.Reason, r.Counts)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if want := []string{"secret Ann 0", "secret Ann 2", "secret Ann 4", "secret Bob B 1", "secret Bob B 3", "secret Bob B 5"}; !slices.Equal(slices.Sorted(maps.Keys(o.joins)), want) {
		t.Errorf("joined as %v, want %v", o.joins, want)
	}
	if o.asked["/socket?who=Ann Ann"] != connections/2 || o.asked["/socket?who=Bob+B Bob+B"] != connections/2 {
		t.Errorf("requests: %v", o.asked)
	}
	for wait := time.Now().Add(20 * time.Second); (o.pongs < connections || o.beats == 0) && time.Now().Before(wait); {
		o.mu.Unlock()
		time.Sleep(time.Millisecond) // they are on their way
		o.mu.Lock()
	}
	if o.pongs != connections || o.beats == 0 {
		t.Errorf("%d of %d pings were answered, %d texts sent every 50 ms", o.pongs, connections, o.beats)
	}
}

func TestExpectSaysWhatDidNotCome(t *testing.T) {
	check := func(channel string, timeout, confirm time.Duration, wants ...string) {
		t.Helper()
		_, addr := newOdder(t)
		target, err := ParseTarget(t.Context(), "ws://"+addr+"/?channel="+channel, oddDialect(), dialect.Data{}.With("name", "Ann"))
		if err != nil {
			t.Fatal(err)
		}
		spec := target.Spec(1, 2)
		spec.Timeout, spec.Confirm = timeout, confirm
		pool, opened, err := OpenPool(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		for _, want := range wants {
			if opened.Failed != 2 || !strings.Contains(opened.FirstError, want) {
				t.Errorf("%s: %+v, want 2 failed, %s", channel, opened, want)
			}
		}
	}
	check("mute", 2*time.Second, 0, "opening took longer", `--expect "joined {channel}"`, `"what?"`)
	check("mute", time.Hour, 300*time.Millisecond, "confirming took longer than 300ms: ended before", `--expect "joined {channel}"`, `"what?"`)
	check("closed", time.Minute, time.Hour, "the server reports an error: sorry: closed")
}

func TestPublishTemplate(t *testing.T) {
	o, addr := newOdder(t)
	target, err := ParseTarget(t.Context(), "ws://"+addr+"/?channel=a+b", &dialect.Dialect{Publish: "/say?to={channel}&n={name}",
		PublishMethod: "PUT", PublishHeader: []string{"X-Key: {token}"}, PublishType: "application/json", PublishBody: `{"text":"{message:json}","channel":"{channel:json}"}`,
		PublishStatus: "202", PublishReject: "/no room/"}, dialect.Data{Token: "key"}.With("name", "Ann"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(status int, answer, want string) {
		t.Helper()
		o.mu.Lock()
		o.status, o.answer, o.published = status, answer, nil
		o.mu.Unlock()
		publisher := publisherOf(t, target, "", 1)
		_, err := publisher.Publish(0, []byte("L0"))
		if fmt.Sprint(err) != want {
			t.Errorf("%d %q: %v, want %s", status, answer, err, want)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if want := []string{`PUT /say?to=a+b&n=Ann application/json key {"text":"L0","channel":"a b"}`}; !slices.Equal(o.published, want) {
			t.Errorf("%q, want %q", o.published, want)
		}
	}
	check(http.StatusAccepted, "ok", "<nil>")
	check(http.StatusOK, "ok", "publishing: 200 OK: ok")
	check(http.StatusAccepted, "no room", "publishing: 202 Accepted: no room")
}

// TestDataWithoutADialect gives each connection of a plain target its own token.
func TestDataWithoutADialect(t *testing.T) {
	o, addr := newOdder(t)
	data := dialect.Data{Columns: []string{"token"}, Rows: [][]string{{"t 1"}, {"t2"}}}
	target, err := ParseTarget(t.Context(), "ws://"+addr+"/ws?channel=a&token={token}", nil, data)
	if err != nil {
		t.Fatal(err)
	}
	spec := target.Spec(1, 2)
	spec.Header = "X-Name: {i}\r\n"
	pool := openPool(t, spec)
	defer pool.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked["/ws?token=t+1&channel=a 0"] != 1 || o.asked["/ws?token=t2&channel=a 1"] != 1 {
		t.Errorf("requests: %v", o.asked)
	}
}

func TestTargetNamesFaultsOfItsDialect(t *testing.T) {
	check := func(d dialect.Dialect, want string) {
		t.Helper()
		if _, err := ParseTarget(t.Context(), "ws://127.0.0.1:1/", &d, dialect.Data{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", d, err, want)
		}
	}
	check(dialect.Dialect{Steps: dialect.Steps{{Send: "{chanel}"}}}, "unknown placeholder {chanel}")
	check(dialect.Dialect{Steps: dialect.Steps{{Expect: "/(/"}}}, "missing closing")
	check(dialect.Dialect{Extract: []string{"data"}}, "must be a JSON path")
	check(dialect.Dialect{PingEvery: "TEXT"}, "25s=TEXT")
	check(dialect.Dialect{PublishStatus: "ok"}, "200-299")
	check(dialect.Dialect{Ping: []string{"ping={x}"}}, "unknown placeholder {x}")
	check(dialect.Dialect{Transport: "sse", PublishFrame: "{x}"}, "sse")
}
