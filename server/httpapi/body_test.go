package httpapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"peal/loop"
	"peal/server/httpapi"
)

// drip gives the front of h the bytes of in one by one, as a loop does.
func (h *harness) drip(in string) *loop.Call {
	c, _ := h.dripCounted(in)
	return c
}

// dripCounted also counts the calls.
func (h *harness) dripCounted(in string) (c *loop.Call, calls int) {
	p, need, all := new(loop.Partial), 0, []byte(in)
	for n := 1; n <= len(in); n++ {
		if n < need {
			continue
		}
		c = &loop.Call{In: all[:n:n], Conn: loop.Ref{Slot: 7, Generation: 1}, Partial: p}
		h.front.Request(c)
		calls++
		if c.Verdict != loop.More {
			break
		}
		need = c.Need
	}
	return c, calls
}

// A body of known length is not looked at before it is whole, whatever it is: its
// parsers (JSON, forms, multipart) read it once.
func TestABodyOfKnownLengthIsReadOnce(t *testing.T) {
	for media, body := range map[string]string{
		"application/json":                  `{"channel":"a","data":"` + strings.Repeat("x", 60_000) + `"}`,
		"application/x-www-form-urlencoded": "channel=a&data=" + strings.Repeat("x", 60_000),
		"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\na\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n" + strings.Repeat("x", 60_000) + "\r\n--b--\r\n",
	} {
		h := newHarness(t)
		head := fmt.Sprintf("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", media, len(body))
		c, calls := h.dripCounted(head + body)
		if c.Verdict != loop.Reply || len(h.log.entries) != 1 || len(h.log.entries[0].Data) != 60_000 {
			t.Errorf("%s: verdict %d, %.100s", media, c.Verdict, c.Out)
		}
		if most := len(head) + 1; calls > most {
			t.Errorf("%s: %d calls, want one for each byte of the head and one more: %d", media, calls, most)
		}
	}
}

// Each byte is looked at a few times, not once for each that follows, wherever a
// request may be long.
func TestBytesOneByOneAreLookedAtAFewTimes(t *testing.T) {
	const head = "POST /publish?channel=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
	chunks := func(n int, chunk string) string { return strings.Repeat(chunk, n) + "0\r\n" }
	for name, in := range map[string]string{
		"head":             "GET /channels/a HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: "+strings.Repeat("y", 80)+"\r\n", 90) + "\r\n",
		"one long header":  "GET /channels/a HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("y", 8000) + "\r\n\r\n",
		"content length":   "POST /publish?channel=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 65536),
		"small chunks":     head + "\r\n" + chunks(13_000, "5\r\nabcde\r\n") + "\r\n",
		"one chunk":        head + "\r\n" + chunks(1, "10000\r\n"+strings.Repeat("x", 65536)+"\r\n") + "\r\n",
		"chunk extensions": head + "\r\n" + chunks(500, "1;"+strings.Repeat("e", 250)+"\r\nx\r\n") + "\r\n",
		"trailers":         head + "\r\n" + chunks(1, "1\r\nx\r\n") + strings.Repeat("X: "+strings.Repeat("y", 70)+"\r\n", 50) + "\r\n",
		"one trailer":      head + "\r\n" + chunks(1, "1\r\nx\r\n") + "X: " + strings.Repeat("y", 3900) + "\r\n\r\n",
		"large head":       head + strings.Repeat("X: "+strings.Repeat("y", 80)+"\r\n", 90) + "\r\n" + chunks(3000, "5\r\nabcde\r\n") + "\r\n",
		"batch": "POST /publish/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
			chunks(1000, "400\r\n"+strings.Repeat(" ", 1024)+"\r\n") + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			c := h.drip(in)
			if c.Verdict != loop.Reply && c.Verdict != loop.Later || c.Used != len(in) {
				t.Fatalf("verdict %d, %d of %d bytes used: %.200s", c.Verdict, c.Used, len(in), c.Out)
			}
			if looked := httpapi.Looked(h.front); looked > 6*uint64(len(in)) {
				t.Errorf("%d looks at %d bytes that came one by one: %d each", looked, len(in), looked/uint64(len(in)))
			}
		})
	}
}

// What is wrong with a request is found also when it comes byte by byte, at the
// latest with the end of the line or of the head.
func TestFaultsAreFoundByteByByte(t *testing.T) {
	const head = "POST /publish?channel=a HTTP/1.1\r\nHost: localhost\r\n"
	const chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
	for in, status := range map[string]int{
		"GET / HTTP/1.1\n\n":                             400,
		head + "Bad Header: x\r\n\r\n":                   400,
		head + "X: " + strings.Repeat("y", 9000):         431,
		"GET /" + strings.Repeat("y", 9000):              414,
		chunked + "5\r\nhelloXXXXXXXXXX":                 400,
		chunked + "5\r\nhello\r\nxyz\r\n":                400,
		chunked + "5\r\nhello\r\n5 \r\nhello":            400,
		chunked + "1;" + strings.Repeat("e", 300):        400,
		chunked + "0\r\nX: a\x00b\r\n":                   400,
		chunked + "0\r\nX: " + strings.Repeat("y", 5000): 431,
		chunked + "10001\r\n":                            413,
		chunked + strings.Repeat("1\r\nx\r\n", 30000):    413,
	} {
		h := newHarness(t)
		c := h.drip(in)
		if want := fmt.Sprintf("HTTP/1.1 %d ", status); c.Verdict != loop.ReplyClose || !strings.HasPrefix(string(c.Out), want) {
			t.Errorf("%.160q (%d bytes): verdict %d, %.40q, want %s", in, len(in), c.Verdict, c.Out, want)
		}
	}
}

// A request whose time has passed is refused, wherever its body goes; of nothing
// but empty lines there is nothing to refuse.
func TestLateRequestsAreRefused(t *testing.T) {
	h := newHarness(t)
	call := func(in string) *loop.Call {
		c := &loop.Call{In: []byte(in), Late: true, Partial: new(loop.Partial)}
		h.front.Request(c)
		return c
	}
	for _, target := range []string{"/publish?channel=a", "/publish", "/publish/batch", "/disconnect", "/nowhere"} {
		for _, in := range []string{
			"POST " + target + " HTTP/1.1\r\nHost: local",
			"POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
			"POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell",
			"POST " + target + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
			"POST " + target + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		} {
			c := call(in)
			if out := string(c.Out); c.Verdict != loop.ReplyClose || c.Used != len(in) || !strings.HasPrefix(out, "HTTP/1.1 408 ") ||
				!strings.Contains(out, "\r\nConnection: close\r\n") || !strings.Contains(out, `"code":"request_timeout"`) {
				t.Errorf("%q: verdict %d, %q", in, c.Verdict, out)
			}
		}
	}
	if c := call("\r\n\r\n"); c.Verdict != loop.More || len(c.Out) > 0 {
		t.Errorf("empty lines: verdict %d, %q", c.Verdict, c.Out)
	}
}

// FuzzChunked compares the content of chunked bodies with what net/http's own
// reader makes of them, and asks for the same result byte by byte.
func FuzzChunked(f *testing.F) {
	for _, body := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n1\r\n!\r\n00\r\nX: y\r\n\r\nGET", "A\r\n0123456789\r\n", "a\nb", "5\r\nhello\n0\r\n\r\n",
	} {
		f.Add([]byte(body))
	}
	const head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
	h := newHarness(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h.t, h.log.entries = t, nil
		c := h.call(head + string(b))
		if c.Verdict != loop.Reply {
			return
		}
		used := c.Used - len(head)
		got := h.log.entries[0].Data
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b[:used])))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, net/http %q, %v", b[:used], got, want, err)
		}
		if d := h.drip(head + string(b[:used])); d.Verdict != loop.Reply || d.Used != c.Used {
			t.Fatalf("%q one by one: verdict %d, %d used, want %d", b[:used], d.Verdict, d.Used, c.Used)
		} else if content := h.log.entries[len(h.log.entries)-1].Data; !bytes.Equal(content, got) {
			t.Fatalf("%q one by one: content %q, want %q", b[:used], content, got)
		}
		for cut := range used {
			if c := h.call(head + string(b[:cut])); c.Verdict != loop.More {
				t.Fatalf("first %d of %q: verdict %d", cut, b[:used], c.Verdict)
			} else if c.Need > len(head)+used {
				t.Fatalf("first %d of %q: needs %d, but %d is all", cut, b[:used], c.Need-len(head), used)
			}
		}
	})
}
