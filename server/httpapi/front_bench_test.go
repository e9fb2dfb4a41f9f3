package httpapi_test

import (
	"testing"

	"peal/loop"
	"peal/server/httpapi"
)

// What backends, browsers and proxies really send.
var (
	benchPublish = "POST /publish?channel=news HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: Go-http-client/1.1\r\n" +
		"Content-Length: 32\r\nContent-Type: text/plain\r\nAccept-Encoding: gzip\r\n\r\n0123456789abcdef0123456789abcdef"
	benchPoll = "GET /poll?channel=news&cursor=z-7 HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
		"Accept: */*\r\nReferer: http://localhost:8080/\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n\r\n"
	benchUpgrade = upgrade("/ws?channel=news", version13)
)

// loopCall is a Call that is used again and again, as the loop does.
func loopCall(in string) func(f *httpapi.Front) loop.Verdict {
	c := &loop.Call{In: []byte(in), Out: make([]byte, 0, 1024)}
	return func(f *httpapi.Front) loop.Verdict {
		c.Out = c.Out[:0]
		f.Request(c)
		return c.Verdict
	}
}

func TestHotRequestsMakeLittleGarbage(t *testing.T) {
	h := newHarness(t)
	h.log.discard = true
	check := func(name, in string, verdict loop.Verdict, limit float64) {
		t.Helper()
		call := loopCall(in)
		if got := call(h.front); got != verdict {
			t.Errorf("%s: verdict %d, want %d", name, got, verdict)
		}
		if n := testing.AllocsPerRun(200, func() { call(h.front) }); n > limit {
			t.Errorf("%s: %v allocations, want at most %v", name, n, limit)
		}
	}
	check("publish", benchPublish, loop.Reply, 2) // the entry and its data: they live on in the log
	check("poll", benchPoll, loop.Park, 1)        // the subscription
	check("WebSocket", benchUpgrade, loop.Stream, 1)
	check("refusal", get("/nothing"), loop.Reply, 0)
	check("preflight", "OPTIONS /publish HTTP/1.1\r\nHost: localhost\r\n\r\n", loop.Reply, 1)
	check("unfinished", benchPublish[:len(benchPublish)-1], loop.More, 0)

	var head httpapi.Head
	b := []byte(benchPoll)
	if n := testing.AllocsPerRun(200, func() { _, _ = head.Check(b, headLimit) }); n != 0 {
		t.Errorf("head check: %v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, r := range []struct{ name, in string }{{"publish", benchPublish}, {"poll", benchPoll}, {"ws", benchUpgrade}, {"notfound", get("/nothing")}} {
		b.Run("request="+r.name, func(b *testing.B) {
			h := newHarness(b)
			h.log.discard = true
			call := loopCall(r.in)
			b.ReportAllocs()
			for b.Loop() {
				call(h.front)
			}
		})
	}
}

func BenchmarkHeadCheck(b *testing.B) {
	for _, r := range []struct{ name, in string }{{"publish", benchPublish}, {"poll", benchPoll}} {
		b.Run("request="+r.name, func(b *testing.B) {
			var head httpapi.Head
			in := []byte(r.in)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := head.Check(in, headLimit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
