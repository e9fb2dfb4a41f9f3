package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/admin"
	"peal/server/trace"
)

// published publishes, and returns the cursor.
func published(t *testing.T, addr, channel string) string {
	t.Helper()
	r, err := http.Post("http://"+addr+"/publish?channel="+channel, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct{ Cursor string }
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || answer.Cursor == "" {
		t.Fatalf("%s, %v", r.Status, err)
	}
	return answer.Cursor
}

// After an upgrade, the trace knows the connections that were handed over, and what they have been sent since; of what was
// before, it says that it does not know.
func TestTraceAfterAnUpgrade(t *testing.T) {
	for _, engine := range []string{"memory", "file:" + t.TempDir()} {
		t.Run(engine[:4], func(t *testing.T) {
			c := server.Config{Listen: []string{"127.0.0.1:0"}, Engine: engine, Log: slog.New(slog.DiscardHandler), Version: "test", TraceLives: 100, TraceBytes: 1 << 20}
			s, err := server.New(c)
			if err != nil {
				t.Fatal(err)
			}
			l := live(t, s)
			addr := l.Addrs()[0].String()
			c.Listen = []string{addr}
			published(t, addr, "news")
			ann := follow(t, addr, "channel=news&client=ann")
			before := published(t, addr, "news")
			ann.next(t)
			poll, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer poll.Close()
			fmt.Fprint(poll, "GET /poll?channel=polled&client=carl HTTP/1.1\r\nHost: localhost\r\n\r\n")
			await(t, "the poll", func() bool { return traced(t, l, "carl", before, "polled").Verdict == "connected later" })
			if r := traced(t, l, "ann", before, "news"); r.Verdict != "sent" {
				t.Fatalf("before the upgrade: %+v", r)
			}
			for range 2 {
				l = l.handOver(t, c)
				if r := traced(t, l, "ann", before, "news"); r.Verdict != "not known" || !strings.Contains(r.Reason, "older than the record") || len(r.Connections) != 1 || r.Connections[0].Verdict != "not known" {
					t.Errorf("of before: %+v", r)
				}
				if r := traced(t, l, "bob", before, "news"); r.Verdict != "not known" {
					t.Errorf("of before, about one that is not connected: %+v", r)
				}
				after := published(t, addr, "news")
				ann.next(t)
				r := traced(t, l, "ann", after, "news")
				if r.Verdict != "sent" || len(r.Connections) != 1 || r.Connections[0].Name != "ann" || r.Connections[0].Transport != "sse" || r.Connections[0].Address != "127.0.0.1" {
					t.Errorf("of after: %+v", r)
				}
				if r := traced(t, l, "bob", after, "news"); r.Verdict != "not connected" {
					t.Errorf("of after, about one that is not connected: %+v", r)
				}
				if r := traced(t, l, "ann", published(t, addr, "other"), "other"); r.Verdict != "not subscribed then" {
					t.Errorf("of another channel: %+v", r)
				}
				before = after
			}
			polled := published(t, addr, "polled")
			response, err := http.ReadResponse(bufio.NewReader(poll), nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, _ := io.ReadAll(response.Body); !strings.Contains(string(body), polled) {
				t.Fatalf("the poll receives %s", body)
			}
			await(t, "the trace of the poll", func() bool { return traced(t, l, "carl", polled, "polled").Verdict == "sent" })
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

func traced(t *testing.T, l *life, user, cursor, channel string) trace.Report {
	t.Helper()
	r, err := l.Trace(t.Context(), admin.TraceQuestion{User: user, Cursor: cursor, Channels: []string{channel}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}
