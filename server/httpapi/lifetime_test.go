package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/loop"
	"peal/server/log"
)

// Forms in which data is published, and the data. The text of an escape and of base64 is made
// anew, which entries may keep; the rest is in the memory of the request.
var publishedForms = []struct{ fields, data string }{
	{`"data":"plain text of a message"`, "plain text of a message"},
	{`"data":"with \"escapes\" and\nlines"`, "with \"escapes\" and\nlines"},
	{`"data":"` + strings.Repeat(`\u0041`, 30) + `"`, strings.Repeat("A", 30)},
	{`"data":{"an":"object"}`, `{"an":"object"}`},
	{`"data":{ "an" : [ "object" ] }`, `{"an":["object"]}`},
	{`"data":12345678`, `12345678`},
	{`"data_base64":"aGVsbG8gd29ybGQ="`, "hello world"},
	{`"data":""`, ""},
}

// TestEntriesOutliveTheirRequests: the memory of a request, of a batch and of what a message was
// unescaped into belongs to others as soon as the response is there.
func TestEntriesOutliveTheirRequests(t *testing.T) {
	h := newHarness(t)
	message := func(i int, fields string) string {
		return fmt.Sprintf(`{"channel":["one-%d","two-%d"],"event":"e\u002d%d","idempotency_key":"key-%d",%s}`, i, i, i, i, fields)
	}
	// send sends a request whose memory is overwritten when the front has returned.
	send := func(path, body string) {
		t.Helper()
		in := []byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body))
		c := &loop.Call{In: in, Conn: loop.Ref{Slot: 7, Generation: 1}}
		request := string(in)
		h.front.Request(c)
		for i := range in { // the loop reads the next request into it
			in[i] = '#'
		}
		out := c.Out
		if c.Verdict == loop.Later {
			out = h.door.wait(t)
		}
		if resp, text := readAnswer(t, request, out); resp.StatusCode != 200 || strings.Contains(text, "error") {
			t.Fatalf("status %d: %s", resp.StatusCode, text)
		}
	}
	var all []string
	for i, f := range publishedForms {
		all = append(all, message(i, f.fields))
	}
	send("/publish/batch", `{"messages":[`+strings.Join(all, ",")+`]}`)
	for i, f := range publishedForms {
		send("/publish", message(100+i, f.fields))
	}
	for range 20 { // others use the memory of the first batch
		send("/publish/batch", `{"messages":[`+strings.Repeat(`{"channel":"others","data":"#########\n#########"},`, 99)+`{"data":"#"}]}`)
	}
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	n := 0
	for _, first := range []int{0, 100} {
		for i, f := range publishedForms {
			for _, channel := range []string{"one", "two"} {
				e, id := h.log.entries[n], first+i
				n++
				want := log.Entry{Channel: fmt.Sprintf("%s-%d", channel, id), Event: fmt.Sprintf("e-%d", id), IdempotencyKey: fmt.Sprintf("key-%d", id)}
				if e.Channel != want.Channel || e.Event != want.Event || e.IdempotencyKey != want.IdempotencyKey || string(e.Data) != f.data {
					t.Errorf("%s became %+v with %q", f.fields, e, e.Data)
				}
				if cap(e.Data) > len(e.Data)+len(e.Data)/4+16 {
					t.Errorf("%s: an entry keeps %d bytes for %d", f.fields, cap(e.Data), len(e.Data))
				}
			}
		}
	}
}
