package poll_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/poll"
	"peal/server/response"
)

var (
	cursor  = log.Cursor{Epoch: 35, Sequence: 1042}
	lineage = log.NewLineage(35)
)

// read has net/http, an independent client, take the answer apart. What is
// behind the answer must not be touched.
func read(t *testing.T, method string, answer []byte) (*http.Response, string) {
	t.Helper()
	r := bufio.NewReader(io.MultiReader(bytes.NewReader(answer), strings.NewReader("NEXT")))
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", answer, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "NEXT" {
		t.Fatalf("behind the answer: %q, want NEXT", rest)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Access-Control-Allow-Origin": "", "Vary": "Origin"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	return resp, string(body)
}

func TestAppendJSONHasTheCursorFirst(t *testing.T) {
	check := func(want string, a poll.Answer, objects ...string) {
		t.Helper()
		var bs [][]byte
		for _, o := range objects {
			bs = append(bs, []byte(o))
		}
		a.Cursor = cursor
		resp, body := read(t, "GET", poll.AppendJSON(nil, a, bs))
		if body != want || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %v %s, want %s", resp.StatusCode, resp.Header, body, want)
		}
		if resp.Close != a.Close || resp.Header.Get("Date") != a.Date {
			t.Errorf("close %v, date %q", resp.Close, resp.Header.Get("Date"))
		}
		a.HeadOnly = true
		resp, body = read(t, "HEAD", poll.AppendJSON(nil, a, bs))
		if body != "" || resp.ContentLength != int64(len(want)) {
			t.Errorf("HEAD: body %q, length %d, want %d", body, resp.ContentLength, len(want))
		}
	}
	check(`{"cursor":"z-1042","messages":[]}`, poll.Answer{})
	check(`{"cursor":"z-1042","messages":[{"a":1}]}`, poll.Answer{Head: response.Head{Close: true}}, `{"a":1}`)
	check(`{"cursor":"z-1042","messages":[{"a":1},{"b":2}]}`, poll.Answer{Head: response.Head{Date: "Mon, 23 Nov 2026 21:00:00 GMT"}}, `{"a":1}`, `{"b":2}`)
	check(`{"cursor":"z-1042","gap":[{"channel":"é","to":"z-1042","reason":"unknown_cursor"}],"messages":[]}`,
		poll.Answer{Gaps: []ring.Gap{{Channel: "é", To: 1042, Foreign: true}}, Lineage: lineage})
}

func TestAppendRawIsTheDataAndNothingElse(t *testing.T) {
	check := func(e *log.Entry, contentType string) {
		t.Helper()
		resp, body := read(t, "GET", poll.AppendRaw(nil, poll.Answer{Cursor: cursor}, e))
		if body != string(e.Data) || resp.StatusCode != 200 {
			t.Errorf("%d %q, want 200 %q", resp.StatusCode, body, e.Data)
		}
		for name, want := range map[string]string{
			"Content-Type": contentType, "Peal-Cursor": "z-1042", "Peal-Event": e.Event, "Peal-Gap": "",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	check(&log.Entry{Data: []byte("hi\r\n")}, "text/plain; charset=utf-8")
	check(&log.Entry{Data: []byte("hi"), Event: "goal"}, "text/plain; charset=utf-8")
	check(&log.Entry{Data: []byte("hi"), Binary: true}, "application/octet-stream")
	check(&log.Entry{Data: []byte{0xFF}}, "application/octet-stream")
	check(&log.Entry{}, "text/plain; charset=utf-8")
}

func TestAppendRawWithoutAMessageIs204WithTheCursor(t *testing.T) {
	resp, body := read(t, "GET", poll.AppendRaw(nil, poll.Answer{Head: response.Head{Close: true}, Cursor: cursor}, nil))
	if resp.StatusCode != 204 || body != "" || resp.Header.Get("Peal-Cursor") != "z-1042" || !resp.Close {
		t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
	}
}

func TestGapHeaderIsShortASCIIJSON(t *testing.T) {
	var gaps []ring.Gap
	for i := range 128 {
		gaps = append(gaps, ring.Gap{Channel: fmt.Sprintf("💚 ünïcode %d", i), To: 1042, Foreign: true})
	}
	resp, _ := read(t, "GET", poll.AppendRaw(nil, poll.Answer{Cursor: cursor, Gaps: gaps, Lineage: lineage}, nil))
	header := resp.Header.Get("Peal-Gap")
	var got []struct{ Channel, To, Reason string }
	if err := json.Unmarshal([]byte(header), &got); err != nil {
		t.Fatalf("%q: %v", header, err)
	}
	if len(header) > 4200 || len(got) < 10 || got[9].Channel != gaps[9].Channel {
		t.Errorf("%d bytes, %d gaps, the tenth %+v", len(header), len(got), got[9])
	}
	if i := strings.IndexFunc(header, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		t.Errorf("not ASCII at %d: %q", i, header)
	}
}

// The event header is what encodeURIComponent makes of the event: pure ASCII, and
// nothing of it is lost.
func TestEventHeaderIsPercentEncodedASCII(t *testing.T) {
	for event, want := range map[string]string{
		"goal":                         "goal",
		"order.created":                "order.created",
		" café ":                       "%20caf%C3%A9%20",
		"100%":                         "100%25",
		"a b\tc":                       "a%20b%09c",
		"App\\Events\\Paid":            "App%5CEvents%5CPaid",
		"💚-_.!~*'()":                   "%F0%9F%92%9A-_.!~*'()",
		"x\r\nSet-Cookie: a=b\x00\x7f": "x%0D%0ASet-Cookie%3A%20a%3Db%00%7F",
	} {
		resp, _ := read(t, "GET", poll.AppendRaw(nil, poll.Answer{Cursor: cursor}, &log.Entry{Event: event}))
		got := resp.Header.Get("Peal-Event")
		back, err := url.PathUnescape(got)
		if got != want || back != event || err != nil || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%q: %q, which decodes to %q (%v), want %q", event, got, back, err, want)
		}
	}
}

func TestAnswersMakeNoGarbage(t *testing.T) {
	dst, objects := make([]byte, 0, 4096), [][]byte{[]byte(`{"a":1}`)}
	a, e := poll.Answer{Cursor: cursor}, &log.Entry{Data: []byte("hi")}
	if n := testing.AllocsPerRun(100, func() { dst = poll.AppendJSON(dst[:0], a, objects) }); n != 0 {
		t.Errorf("json: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { dst = poll.AppendRaw(dst[:0], a, e) }); n != 0 {
		t.Errorf("raw: %v allocations", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	dst, object := make([]byte, 0, 65_536), []byte(`{"channel":"main","cursor":"1z141z4-1042","time":1732395600123,"data":"hello"}`)
	for _, n := range []int{0, 1, 100} {
		objects := make([][]byte, n)
		for i := range objects {
			objects[i] = object
		}
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = poll.AppendJSON(dst[:0], poll.Answer{Cursor: cursor}, objects)
			}
		})
	}
}
