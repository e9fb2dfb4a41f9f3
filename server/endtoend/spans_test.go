package endtoend_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server"
	"peal/server/admin"
)

// span is one that a collector has received.
type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	StartTimeUnixNano, EndTimeUnixNano  string
	Attributes                          []struct{ Key string }
	Status                              *struct{ Message string }
	Kind                                int
}

// spanSink is a collector.
type spanSink struct {
	*httptest.Server
	mu     sync.Mutex
	spans  []span
	wrong  string
	refuse int           // status of its responses; 0: 200
	stuck  chan struct{} // closed when it responds; nil: at once
	tried  int
}

func newSpanSink(t *testing.T) *spanSink {
	s := &spanSink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes []struct{ Key string } }
				ScopeSpans []struct{ Spans []span }
			}
		}
		err := json.Unmarshal(body, &request)
		s.mu.Lock()
		s.tried++
		stuck, refuse := s.stuck, s.refuse
		if err != nil || r.URL.Path != "/v1/traces" || len(request.ResourceSpans) != 1 {
			s.wrong = fmt.Sprintf("%s %s: %v", r.URL.Path, body, err)
		} else if refuse == 0 {
			for _, scope := range request.ResourceSpans[0].ScopeSpans {
				s.spans = append(s.spans, scope.Spans...)
			}
		}
		s.mu.Unlock()
		if stuck != nil {
			<-stuck
		}
		if refuse != 0 {
			w.WriteHeader(refuse)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *spanSink) of(trace string) (found map[string][]span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found = map[string][]span{}
	for _, one := range s.spans {
		if one.TraceID == trace {
			found[one.Name] = append(found[one.Name], one)
		}
	}
	return found
}

// However a message is published, its spans are below that of the publisher, and its subscribers receive the span of the publication.
func TestSpansReachACollector(t *testing.T) {
	sink := newSpanSink(t)
	access := filepath.Join(t.TempDir(), "access.log")
	p := startWith(t, func(c *server.Config) {
		c.Listen, c.OTLP.Endpoint, c.AccessLog, c.TraceLives = []string{"127.0.0.1:0"}, sink.URL, access, 100
		c.Mercure.Publisher.Secrets, c.App = []string{publisherSecret}, appID+":"+appKey+":"+appSecret
	})
	s := p.dialSocket("/ws?format=json&channel=a&client=ann", nil)
	p.awaitSubscribers("a", 1)
	v1 := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	v1.next()
	const publisher = "b7ad6b7169203331"
	traceID := func(n int) string { return fmt.Sprintf("0af7651916cd43dd8448eb211c80%04x", n) }
	of := func(n int) string { return "00-" + traceID(n) + "-" + publisher + "-01" }
	cursors := map[int]string{}
	ways := []struct {
		how     string
		publish func(parent string)
	}{
		{"header", func(parent string) {
			cursors[0] = p.publishTo("/publish?channel=a", "x", "traceparent: "+parent)
		}},
		{"form", func(parent string) {
			p.publishTo("/publish", "channel=a&data=x&traceparent="+parent, "Content-Type: application/x-www-form-urlencoded")
		}},
		{"peal.v1", func(parent string) {
			v1.send(false, `{"id":1,"command":"publish","channel":"a","data":"x","traceparent":"`+parent+`"}`)
		}},
		{"batch", func(parent string) {
			p.do("POST", "/publish/batch", `{"messages":[{"channel":"a","data":"x","traceparent":"`+parent+`"}]}`, "Content-Type: application/json")
		}},
		{"batch header", func(parent string) {
			p.do("POST", "/publish/batch", `{"messages":[{"channel":"a","data":"x"}]}`, "Content-Type: application/json", "traceparent: "+parent)
		}},
		{"Mercure", func(parent string) {
			a := p.do("POST", "/.well-known/mercure", "topic=a&data=x", "Content-Type: application/x-www-form-urlencoded", "traceparent: "+parent,
				"Authorization: Bearer "+jwt(publisherSecret, `"mercure":{"publish":["*"]}`))
			if a.status != 200 {
				t.Fatalf("Mercure: %d %s", a.status, a.body)
			}
		}},
		{"Pusher", func(parent string) {
			const body = `{"name":"e","channel":"a","data":"x"}`
			query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%x", appKey, time.Now().Unix(), md5.Sum([]byte(body)))
			sum := hmac.New(sha256.New, []byte(appSecret))
			fmt.Fprintf(sum, "POST\n/apps/%s/events\n%s", appID, query)
			a := p.do("POST", fmt.Sprintf("/apps/%s/events?%s&auth_signature=%x", appID, query, sum.Sum(nil)), body, "Content-Type: application/json", "traceparent: "+parent)
			if a.status != 200 {
				t.Fatalf("Pusher: %d %s", a.status, a.body)
			}
		}},
	}
	received := map[int]string{} // spans
	for n, way := range ways {
		way.publish(of(n))
		got := decode[struct{ Traceparent, Data string }](t, []byte(s.next().data))
		spanID := strings.TrimSuffix(strings.TrimPrefix(got.Traceparent, "00-"+traceID(n)+"-"), "-01")
		if len(spanID) != 16 || spanID == publisher || got.Data != "x" {
			t.Fatalf("%s: the subscriber receives %+v", way.how, got)
		}
		received[n] = spanID
	}
	for n, way := range ways {
		p.await("spans of "+way.how, func() bool { return len(sink.of(traceID(n))["fan-out"]) > 0 })
		found, spanID := sink.of(traceID(n)), received[n]
		publish, appended, fan := found["publish"], found["append"], found["fan-out"]
		if len(publish) != 1 || len(appended) != 1 || len(fan) != 1 {
			t.Fatalf("%s: %+v", way.how, found)
		}
		if publish[0].SpanID != spanID || publish[0].ParentSpanID != publisher || appended[0].ParentSpanID != spanID || fan[0].ParentSpanID != spanID {
			t.Errorf("%s: %+v; the subscriber has the span %s", way.how, found, spanID)
		}
		if publish[0].StartTimeUnixNano > publish[0].EndTimeUnixNano || appended[0].EndTimeUnixNano > fan[0].EndTimeUnixNano || len(fan[0].EndTimeUnixNano) != 19 {
			t.Errorf("%s: times of %+v", way.how, found)
		}
	}
	// What is not valid, or not sampled, is as if it was not there.
	for _, parent := range []string{"00-" + traceID(77) + "-" + publisher + "-00", "ff-" + traceID(77) + "-" + publisher + "-01", "00-" + traceID(77) + "-0000000000000000-01",
		"00-" + traceID(77) + "-" + publisher + "-01-x", "00-" + strings.ToUpper(traceID(77)) + "-" + publisher + "-01", "00-" + strings.Repeat("0", 32) + "-" + publisher + "-01", "", "x"} {
		if a := p.do("POST", "/publish?channel=a", "x", "traceparent: "+parent); a.status != 200 {
			t.Errorf("%q: %d %s", parent, a.status, a.body)
		}
		s.next()
	}
	if a := p.do("POST", "/publish?channel=a", "x", "traceparent: "+of(78)); a.status != 200 { // spans before it are there when this one is
		t.Fatal(a.status)
	}
	p.await("a last span", func() bool { return len(sink.of(traceID(78))["fan-out"]) > 0 })
	if found := sink.of(traceID(77)); len(found) > 0 || sink.wrong != "" {
		t.Errorf("not sampled: %+v; %s", found, sink.wrong)
	}
	// The access log has what joins the trace, the message and the session.
	report := p.trace(admin.TraceQuestion{User: "ann", Cursor: cursors[0]})
	p.stop()
	b, err := os.ReadFile(access)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `"trace":"`+traceID(0)+`","status":200`) || !strings.Contains(string(b), `"cursor":"`+cursors[0]+`"`) {
		t.Errorf("%s in\n%s", cursors[0], b)
	}
	if len(report.Connections) != 1 || !strings.Contains(string(b), fmt.Sprintf(`"session":%d,"method":"GET","path":"/ws?format=json&channel=a&client=ann"`, report.Connections[0].Number)) {
		t.Errorf("%+v in\n%s", report, b)
	}
}

// A collector that refuses, hangs or is gone costs spans, and nothing else.
func TestABadCollectorDelaysNothing(t *testing.T) {
	sink := newSpanSink(t)
	sink.stuck = make(chan struct{})
	p := startWith(t, func(c *server.Config) {
		c.Listen, c.OTLP.Endpoint, c.OTLP.Sample = []string{"127.0.0.1:0"}, sink.URL, "1"
	})
	s := p.dialSocket("/ws?format=json&channel=a", nil)
	p.awaitSubscribers("a", 1)
	batch := `{"messages":[` + strings.TrimSuffix(strings.Repeat(`{"channel":"a","data":"x"},`, 500), ",") + `]}`
	n := 0
	for end := time.Now().Add(patience); p.server.SpanStats().Dropped == 0; n++ { // more than the queue takes
		if a := p.do("POST", "/publish/batch", batch, "Content-Type: application/json"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for range 500 {
			s.next()
		}
		if time.Now().After(end) {
			t.Fatalf("no span was dropped: %+v", p.server.SpanStats())
		}
	}
	sink.mu.Lock()
	sink.refuse = 400
	sink.mu.Unlock()
	close(sink.stuck) // it goes on, and refuses
	p.await("spans that failed", func() bool {
		p.publish("a", "y")
		s.next()
		return p.server.SpanStats().Failed > 0
	})
	sink.Close() // it is gone
	p.publish("a", "z")
	if got := decode[struct{ Data string }](t, []byte(s.next().data)); got.Data != "z" {
		t.Errorf("%+v", got)
	}
	p.stop() // it does not wait for a collector for ever
}
