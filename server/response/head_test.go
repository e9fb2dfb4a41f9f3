package response_test

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
	"time"

	"peal/server/response"
)

// read has net/http, an independent client, take the head apart.
func read(t *testing.T, head []byte) *http.Response {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: "HEAD"})
	if err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	return r
}

func TestHeadHasTheLinesOfEveryResponse(t *testing.T) {
	check := func(h response.Head, length int64, want map[string]string) {
		t.Helper()
		b := h.Append([]byte("before"))
		r := read(t, b[len("before"):])
		if r.StatusCode != h.Status || r.ContentLength != length || r.Close != h.Close {
			t.Errorf("%q: status %d, length %d, close %v", b, r.StatusCode, r.ContentLength, r.Close)
		}
		for name := range r.Header {
			if _, ok := want[name]; !ok && name != "Vary" && name != "Content-Length" {
				t.Errorf("%q: there is a line %s", b, name)
			}
		}
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%q: %s is %q, want %q", b, name, got, value)
			}
		}
		if r.Header.Get("Vary") != "Origin" {
			t.Errorf("%q does not vary by origin", b)
		}
	}
	check(response.Head{Status: 200, Type: response.JSON, Size: 12}, 12, map[string]string{"Content-Type": "application/json"})
	check(response.Head{Status: 200, Size: response.Endless, Close: true}, -1, nil)
	check(response.Head{Status: 204, Lines: response.NoStore}, -1, map[string]string{"Cache-Control": "no-store"})
	check(response.Head{Status: 503, Size: 0, KeepAlive: true}, 0, map[string]string{"Connection": "keep-alive"})
	check(response.Head{Status: 410, Date: "Mon, 23 Nov 2026 21:00:00 GMT", Origin: "Access-Control-Allow-Origin: *\r\n"}, 0,
		map[string]string{"Date": "Mon, 23 Nov 2026 21:00:00 GMT", "Access-Control-Allow-Origin": "*"})
}

func TestFurtherLinesGoBeforeTheEnd(t *testing.T) {
	h := response.Head{Status: 200, Size: 1}
	b := append(h.AppendLines(nil), "Peal-Cursor: z-1\r\n"...)
	if r := read(t, response.End(b)); r.Header.Get("Peal-Cursor") != "z-1" {
		t.Errorf("%v", r.Header)
	}
}

func TestDateIsThatOfHTTP(t *testing.T) {
	var c response.Clock
	got, err := http.ParseTime(c.Date())
	if off := time.Since(got); err != nil || off < -time.Second || off > time.Minute {
		t.Errorf("%q: %v, %v from now", c.Date(), err, off)
	}
}

func TestAHeadMakesNoGarbage(t *testing.T) {
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		h := response.Head{Status: 200, Type: response.JSON, Size: 12, Lines: response.NoStore}
		dst = h.Append(dst[:0])
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
