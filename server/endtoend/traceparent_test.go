package endtoend_test

import (
	"net/http"
	"strings"
	"testing"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// The trace context of a publisher reaches subscribers in JSON, in whatever way it was given.
func TestTraceparentReachesSubscribers(t *testing.T) {
	p := start(t)
	s := p.dialSocket("/ws?format=json&channel=a", nil)
	p.awaitSubscribers("a", 1)
	v1 := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	v1.next()
	text := "text/plain"
	for _, c := range []struct {
		how     string
		publish func()
		want    string
	}{
		{"header", func() { p.publishTo("/publish?channel=a", "x", "Content-Type: "+text, "traceparent: "+parent) }, parent},
		{"bad header", func() {
			p.publishTo("/publish?channel=a", "x", "Content-Type: "+text, "traceparent: "+strings.ToUpper(parent))
		}, ""},
		{"none", func() { p.publish("a", "x") }, ""},
		{"field", func() {
			p.publishTo("/publish", `{"channel":"a","data":"x","traceparent":"`+parent+`"}`, "Content-Type: application/json")
		}, parent},
		{"batch", func() {
			p.do("POST", "/publish/batch", `{"messages":[{"channel":"a","data":"x","traceparent":"`+parent+`"}]}`, "Content-Type: application/json")
		}, parent},
		{"peal.v1", func() {
			v1.send(false, `{"id":1,"command":"publish","channel":"a","data":"x","traceparent":"`+parent+`"}`)
		}, parent},
	} {
		c.publish()
		got := decode[struct{ Traceparent, Data string }](t, []byte(s.next().data))
		if got.Traceparent != c.want || got.Data != "x" {
			t.Errorf("%s: %+v, want %q", c.how, got, c.want)
		}
	}
	if a := p.do("POST", "/publish", `{"channel":"a","data":"x","traceparent":"1"}`, "Content-Type: application/json"); a.status != 400 || !strings.Contains(string(a.body), "W3C") {
		t.Errorf("a bad field: %d %s", a.status, a.body)
	}
	one := p.do("GET", "/channels/a/history?limit=1", "")
	if !strings.Contains(string(one.body), parent) {
		t.Errorf("history: %s", one.body)
	}
}
