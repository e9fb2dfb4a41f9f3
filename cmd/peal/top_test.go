package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"peal/server/inspect"
)

// snapshots are two answers of a server, two seconds apart.
func snapshots() [2]inspect.Live {
	a := inspect.Live{
		At: 1_800_000_100_000, Started: 1_800_000_000_000, State: "serving", Node: inspect.Node{Name: "a:8080", Version: "1.2"},
		Log:         inspect.Log{Engine: "memory", Epoch: "1z", Oldest: 3, Head: 90},
		Connections: inspect.Connections{All: 17, WebSocket: 10, SSE: 4, Poll: 2, HTTP: 1, Stalled: 5, Behind: 1},
		Counters:    inspect.Counters{Publications: 100, Deliveries: 1000, DeliveryBytes: 1 << 20, Sends: 500, Accepted: 17, Requests: 40, Gaps: 1},
		Latency:     inspect.Latency{Bounds: []float64{25, 1000, 250000}, Counts: []uint64{50, 40, 5, 0}},
		Loops:       []inspect.Loop{{Loop: 0, Connections: 9, Busy: 1_000_000, Turns: 1000, Deliveries: 600}, {Loop: 1, Connections: 8, Turns: 5}},
		Memory:      inspect.Memory{Resident: 50 << 20, Limit: 1 << 30, Heap: 12 << 20, History: 4096},
		Channels:    inspect.Channels{Channels: 3, Subscribers: 20},
		Gaps:        map[string]uint64{"history": 1, "slow_consumer": 0},
		Top:         &inspect.Top{Subscribed: []inspect.ChannelSize{{Channel: "news", Subscribers: 12, Messages: 5, Bytes: 500}}},
	}
	b := a
	b.At += 2000
	b.Counters = inspect.Counters{Publications: 300, Deliveries: 41_000, DeliveryBytes: 5 << 20, Sends: 20_500, Accepted: 18, Requests: 44, Received: 7, Gaps: 4, Refusals: 2}
	b.Latency.Counts = []uint64{50, 139, 5, 1}
	b.Loops = []inspect.Loop{{Loop: 0, Connections: 9, Lag: 120, Behind: 3, Busy: 1_500_000, Turns: 3500, Deliveries: 40_600}, {Loop: 1, Connections: 8, Lag: 4100, Turns: 5}}
	b.Gaps = map[string]uint64{"history": 1, "slow_consumer": 3}
	b.Refusals = map[string]uint64{"rate_limited": 2}
	b.Closes = map[string]uint64{"4409": 1}
	b.Top = &inspect.Top{
		Seconds:    2,
		Subscribed: []inspect.ChannelSize{{Channel: "news", Subscribers: 12, Messages: 5, Bytes: 500}, {Channel: "left out", Subscribers: 1}},
		Busiest:    []inspect.ChannelRate{{Channel: "a\u202eb\x1b[2J", Publications: 200, Bytes: 20_480}},
		Talkers:    []inspect.Talker{{Session: "AAAA", Address: "192.0.2.7:5000", Client: "ann", Messages: 20, Bytes: 2048}},
	}
	return [2]inspect.Live{a, b}
}

const wantTop = `peal     a:8080 1.2, serving, up 1m42s, rates of 2.0s
log      memory, epoch 1z, entries 3 to 90, can be written
rates    100 publications/s, 20.0k deliveries/s, 2.0 MiB/s, 2.0 messages a send; received 3.5 messages/s, 2 requests/s
latency  50 of 100 within 1ms, 99 of 100 within 1ms
clients  17: 10 websocket, 4 sse, 2 poll, 1 http; 0.5 new/s; 5 slow, 1 catch up; 20 subscriptions on 3 channels
memory   50.0 MiB of 1.0 GiB; heap 12.0 MiB, history 4.0 KiB, held for clients 0 B
gaps     1.5/s; since the start: slow_consumer 3, history 1
refusals 1/s; since the start: rate_limited 2
closes; since the start: 4409 1

LOOP  CONNECTIONS  BUSY  LAG    TURN   BEHIND  DELIVERIES/S
0     9            25%   120µs  200µs  3       20.0k
1     8            0%    4.1ms  -      0       0

CHANNEL  SUBSCRIBERS  RETAINED  BYTES
news     12           5         500 B

CHANNEL              PUBLISHED/S  BYTES/S
a<U+202E>b<U+001B>[2J  100  10.0 KiB

TALKER  ADDRESS         SENT/S  BYTES/S  SESSION
ann     192.0.2.7:5000  10      1.0 KiB  AAAA
`

// watched is a server whose answers are those of snapshots, and which fails afterwards.
func watched(t *testing.T) (url string, asked *int) {
	all, n := snapshots(), 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/live" || n >= len(all) {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(all[n])
		n++
	}))
	t.Cleanup(server.Close)
	return server.URL, &n
}

func words(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestTopOnce(t *testing.T) {
	url, asked := watched(t)
	var out strings.Builder
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	slept := time.Duration(0)
	from := adminFlags(flags, "top", "/live", true, patience, "")
	from.url = url
	o := &topOptions{from: from, every: 2 * time.Second, rows: 1, once: true, out: &out,
		sleep: func(_ context.Context, d time.Duration) error { slept += d; return nil }}
	if err := top(t.Context(), o); err != nil || *asked != 2 || slept != 2*time.Second {
		t.Fatalf("%v after %d questions and %v", err, *asked, slept)
	}
	if got, want := words(out.String()), words(wantTop+"\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a name moves the cursor")
	}

	url, _ = watched(t)
	code, stdout, message := called(t, "top", "--once", "--json", "--url", url)
	var live inspect.Live
	if code != 0 || json.Unmarshal([]byte(stdout), &live) != nil || live.Counters.Publications != 100 || strings.Count(stdout, "\n") != 1 {
		t.Errorf("%d %q %q", code, stdout, message)
	}
}

func TestTopGoesOnWithoutATerminal(t *testing.T) {
	url, _ := watched(t)
	var out strings.Builder
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	from := adminFlags(flags, "top", "/live", true, patience, "")
	from.url = url
	o := &topOptions{from: from, every: time.Second, rows: 1, out: &out,
		sleep: func(context.Context, time.Duration) error { return nil }}
	err := top(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "404") || words(out.String()) != words(wantTop+"\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
	url, _ = watched(t)
	o.from.url, o.sleep = url, func(context.Context, time.Duration) error { return errors.New("Ctrl-C") }
	if err := top(t.Context(), o); err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
}

func TestTopSaysWhatIsWrong(t *testing.T) {
	url := serving(t)
	for _, k := range []struct {
		args []string
		code int
		has  string
	}{
		{[]string{"top", "--url", "127.0.0.1:8081"}, 2, "as in http://127.0.0.1:8081"},
		{[]string{"top", "--url", "http://127.0.0.1:8081/live"}, 2, "leave the path out"},
		{[]string{"top", "--every", "10ms"}, 2, "1s or more"},
		{[]string{"top", "--rows", "0"}, 2, "from 1 to 50"},
		{[]string{"top", "x"}, 2, "unknown command"},
		{[]string{"top", "--url", "http://127.0.0.1:1"}, 1, "is the server running, with --admin?"},
		{[]string{"top", "--once", "--url", url}, 1, "404"},
		{[]string{"connections", "--url", url}, 1, "404"},
		{[]string{"connections", "a", "b"}, 2, "at most 1"},
		{[]string{"connections", "a", "--user", "ann"}, 2, "not both"},
	} {
		code, _, message := called(t, k.args...)
		if code != k.code || !strings.Contains(message, k.has) {
			t.Errorf("peal %q: %d %q, want %d with %q", k.args, code, message, k.code, k.has)
		}
	}
}

func TestConnectionsLists(t *testing.T) {
	age := int64(70)
	pages := map[string]inspect.Page{
		"":    {Next: "0.2", Connections: []inspect.Connection{{Session: "AAAA", Client: "a\x1b[2Jnn", Address: "192.0.2.7:1", Transport: "sse", Dialect: "sse-json", Channels: []string{"a", "b", "c", "d"}, Width: 7, Behind: 3, Waiting: 2048, Traffic: &inspect.Traffic{Sent: 4096}, Age: &age}}},
		"0.2": {Connections: []inspect.Connection{{Session: "BBBB", Address: "unix socket", Transport: "http"}}},
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		switch r.URL.Path {
		case "/connections":
			_ = json.NewEncoder(w).Encode(pages[r.URL.Query().Get("after")])
		case "/connections/AAAA":
			_ = json.NewEncoder(w).Encode(pages[""].Connections[0])
		case "/connections/bad":
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":{"code":"bad_session","message":"a session is named by its id"}}`))
		default:
			w.WriteHeader(404)
			_ = json.NewEncoder(w).Encode(inspect.Gone{Session: "CCCC", End: &inspect.End{Transport: "websocket", Client: "ann", Address: "192.0.2.7:1", Ago: 90, Code: 4410, Reason: "disconnected"}})
		}
	}))
	defer server.Close()
	code, stdout, _ := called(t, "connections", "--url", server.URL, "--channel", "a b", "--user", "ann", "--address", "10.0.0.0/8", "--behind")
	want := "CLIENT ADDRESS TRANSPORT DIALECT CHANNELS BEHIND WAITING SENT AGE SESSION\na<U+001B>[2Jnn 192.0.2.7:1 sse sse-json a,b,c (7) 3 2.0 KiB 4.0 KiB 1m10s AAAA\n- unix socket http - - - 0 B - - BBBB"
	if code != 0 || words(stdout) != want {
		t.Errorf("%d\n%s", code, words(stdout))
	}
	if asked[0] != "/connections?address=10.0.0.0%2F8&behind=1&channel=a+b&limit=100&user=ann" || asked[1] != "/connections?address=10.0.0.0%2F8&after=0.2&behind=1&channel=a+b&limit=99&user=ann" {
		t.Errorf("%q", asked)
	}
	if _, stdout, _ = called(t, "connections", "--url", server.URL, "--json"); strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, `"session":"BBBB"`) {
		t.Errorf("%s", stdout)
	}
	if _, stdout, _ = called(t, "connections", "--url", server.URL, "--limit", "1"); strings.Contains(stdout, "BBBB") {
		t.Errorf("%s", stdout)
	}
	if code, stdout, _ = called(t, "connections", "AAAA", "--url", server.URL); code != 0 || !strings.Contains(words(stdout), "channels a, b, c, d\n") || !strings.Contains(words(stdout), "tcp.sent_bytes 4096\n") || strings.Contains(stdout, "\x1b") {
		t.Errorf("%d %s", code, stdout)
	}
	if code, _, message := called(t, "connections", "CCCC", "--url", server.URL); code != 1 || !strings.Contains(message, "the websocket connection of ann (192.0.2.7:1) ended 1m30s ago with code 4410: disconnected") {
		t.Errorf("%d %s", code, message)
	}
	if code, _, message := called(t, "connections", "bad", "--url", server.URL); code != 1 || !strings.Contains(message, "Bad Request: a session is named by its id") {
		t.Errorf("%d %s", code, message)
	}
}

// Counters of another process begin anew: no rate is negative, and none is of both.
func TestTopOverAnUpgrade(t *testing.T) {
	all := snapshots()
	a, b := all[1], all[0]
	a.Process, a.Node.Version = 7, "1.2"
	b.Process, b.Node.Version, b.At = 8, "1.3\x1b[2J", a.At+2000
	text := topText(&a, &b, 5)
	if !strings.HasPrefix(text, "note     process 8 serves in place of process 7, version 1.3<U+001B>[2J in place of 1.2: ") || strings.Contains(text, " -") {
		t.Error(text)
	}
	if !strings.Contains(text, "rates    1.0 publications/s, 9.6 deliveries/s") { // of the 104 s since its start
		t.Error(text)
	}
	b.Process, b.Node.Version = 7, "1.2" // the same, whose counters have fallen
	if text := topText(&a, &b, 5); !strings.Contains(text, "rates    0 publications/s, 0 deliveries/s") || !strings.Contains(text, "  0%") {
		t.Error(text)
	}
}

func TestPlainLimitsMarks(t *testing.T) {
	if got := plain("e\u0301\u0301\u0301\u0301e\u0301", 20); got != "e\u0301\u0301\u0301<U+0301>e\u0301" {
		t.Errorf("%q", got)
	}
}
