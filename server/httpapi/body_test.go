package httpapi_test

import (
	"bytes"
	"io"
	"net/http/httputil"
	"testing"

	"peal/loop"
)

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
		for cut := range used {
			if c := h.call(head + string(b[:cut])); c.Verdict != loop.More {
				t.Fatalf("first %d of %q: verdict %d", cut, b[:used], c.Verdict)
			} else if c.Need > len(head)+used {
				t.Fatalf("first %d of %q: needs %d, but %d is all", cut, b[:used], c.Need-len(head), used)
			}
		}
	})
}
