package loadtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestParseStampReadsWhatAppendMessageWrote(t *testing.T) {
	for _, want := range []Stamp{{}, {Run: 1, Stream: 2, Sequence: 3, Scheduled: 4},
		{Run: 1<<16 - 1, Stream: 1<<24 - 1, Sequence: 1<<40 - 1, Scheduled: 1<<63 - 1}} {
		m := AppendMessage(nil, want, 128)
		if len(m) != 128 {
			t.Errorf("%d bytes, want 128", len(m))
		}
		if got, ok := ParseStamp(m); !ok || got != want {
			t.Errorf("got %+v, %t, want %+v", got, ok, want)
		}
		for cut := range StampBytes {
			if _, ok := ParseStamp(m[:cut]); ok {
				t.Errorf("the first %d bytes passed for a stamp", cut)
			}
		}
	}
	if _, ok := ParseStamp(make([]byte, 128)); ok {
		t.Error("zeros passed for a stamp")
	}
	if n := testing.AllocsPerRun(100, func() { ParseStamp(AppendMessage(make([]byte, 0, 64), Stamp{}, 50)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTrackAgreesWithASet compares the ranges with the plain way of counting.
func TestTrackAgreesWithASet(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		const published = 60
		var tr track
		seen, high := map[uint64]bool{}, uint64(0)
		var got, want [3]int
		for range random.IntN(200) {
			n := 1 + random.Uint64N(published)
			got[tr.take(n)]++
			switch {
			case seen[n]:
				want[duplicate]++
			case n < high:
				want[reordered]++
			default:
				want[inOrder]++
			}
			seen[n] = true
			high = max(high, n)
		}
		if got != want || tr.lost(published) != published-uint64(len(seen)) {
			t.Fatalf("seed %d: in order, reordered, duplicate %v, lost %d; want %v, %d", seed, got, tr.lost(published), want, published-len(seen))
		}
	}
}

func TestScheduleIsFixedInAdvance(t *testing.T) {
	check := func(pacer Pacer, length time.Duration, want ...time.Duration) {
		t.Helper()
		s := NewSchedule(pacer, length)
		for i, w := range want {
			if at, ok := s.Next(); !ok || at != w {
				t.Errorf("%v: message %d at %v, %t; want %v", pacer, i, at, ok, w)
			}
		}
		if at, ok := s.Next(); ok {
			t.Errorf("%v: a message at %v, after the end %v", pacer, at, length)
		}
	}
	const msec = time.Millisecond
	check(Rate(10), 300*msec, 100*msec, 200*msec, 300*msec)
	check(Rate(2.5), time.Second, 400*msec, 800*msec)
	check(Rate(0.5), 5*time.Second, 2*time.Second, 4*time.Second)
	check(Rate(10), 99*msec)
	check(Rate(3), time.Second, 333333333, 666666666, 1000000000)
	check(Pacer{{200 * msec, 10, 10}, {time.Second, 0, 0}, {100 * msec, 20, 20}}, 0, 100*msec, 200*msec, 1250*msec, 1300*msec)
	check(Pacer{{2 * time.Second, 0, 4}}, 0, time.Second, 1414213562, 1732050807, 2*time.Second)
	check(Pacer{{2 * time.Second, 4, 0}}, 0, 267949192, 585786437, time.Second, 2*time.Second)
	for _, rate := range []float64{1, 24.7, 999, 12345} {
		s, n := NewSchedule(Rate(rate), 100*time.Second), 0
		for _, ok := s.Next(); ok; _, ok = s.Next() {
			n++
		}
		if off := float64(n)/(100*rate) - 1; off < -0.001 || off > 0.001 {
			t.Errorf("rate %v: %d messages in 100 s", rate, n)
		}
	}
}

func TestLatencyMergesExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all, merged := NewLatency(), NewLatency()
	for range 5 {
		part := NewLatency()
		for range 10_000 {
			v := int64(random.ExpFloat64() * 1e7)
			all.Record(v)
			part.Record(v)
		}
		text, err := part.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		travelled := &Latency{}
		if err := travelled.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		if err := merged.Merge(travelled); err != nil {
			t.Fatal(err)
		}
	}
	if !all.h.Equals(merged.h) {
		t.Error("the merged histogram differs from the one that saw everything")
	}
}

func TestLatencyLossNeverImprovesAPercentile(t *testing.T) {
	l := NewLatency()
	for range 97 {
		l.Record(int64(time.Millisecond))
	}
	l.RecordLost(3)
	if l.Quantile(0.99) < 90*time.Second || l.Quantile(0.5) > 2*time.Millisecond {
		t.Errorf("p50 %v, p99 %v", l.Quantile(0.5), l.Quantile(0.99))
	}
}

func TestParseFrameAsksForMoreOnEveryPrefix(t *testing.T) {
	for _, size := range []int{0, 125, 126, 70_000} {
		masked := appendMasked(nil, 1, make([]byte, size))
		// The same frame as a server sends it: no mask bit, no key.
		head := len(masked) - size - 4
		whole := append(append([]byte(nil), masked[:head]...), make([]byte, size)...)
		whole[1] &^= 0x80
		for cut := 0; cut < len(whole); cut += 1 + cut/200*97 {
			if _, n, err := parseFrame(whole[:cut], false); n != 0 || err != nil {
				t.Fatalf("first %d of %d bytes: n=%d err=%v", cut, len(whole), n, err)
			}
		}
		f, n, err := parseFrame(append(whole, 1, 2, 3), false)
		if f.opcode != 1 || !f.final || len(f.payload) != size || n != len(whole) || err != nil {
			t.Errorf("size %d: opcode %d, %d bytes, n=%d, err=%v", size, f.opcode, len(f.payload), n, err)
		}
		if _, _, err := parseFrame(masked, false); !errors.Is(err, ErrUnreadable) {
			t.Error("a masked frame from a server was accepted")
		}
	}
}

func TestParseAnswer(t *testing.T) {
	for _, c := range []struct {
		whole, body string
		close       bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-length: 5\r\n\r\nhello", "hello", false},
		{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive, Close\r\n\r\nhello", "hello", true},
		{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true},
		{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello", "hello", false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: x\r\n\r\n", "hello", false},
		{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "", false},
	} {
		for cut := range c.whole {
			if _, n, err := parseAnswer([]byte(c.whole[:cut]), false); n != 0 || err != nil {
				t.Errorf("first %d bytes of %q: n=%d err=%v", cut, c.whole, n, err)
			}
			if _, _, err := parseAnswer([]byte(c.whole[:cut]), true); err == nil {
				t.Errorf("the first %d bytes of %q, and then the end, are a response", cut, c.whole)
			}
		}
		a, n, err := parseAnswer([]byte(c.whole+"HTTP/1.1"), false)
		if string(a.body) != c.body || n != len(c.whole) || err != nil || a.close != c.close {
			t.Errorf("%q: %+v n=%d err=%v", c.whole, a, n, err)
		}
	}
	const untilEnd = "HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\nhello"
	if _, n, err := parseAnswer([]byte(untilEnd), false); n != 0 || err != nil {
		t.Errorf("a body until the end, before it: n=%d err=%v", n, err)
	}
	if a, n, err := parseAnswer([]byte(untilEnd), true); string(a.body) != "hello" || n != len(untilEnd) || err != nil || !a.close {
		t.Errorf("a body until the end: %+v n=%d err=%v", a, n, err)
	}
	for _, bad := range []string{"nonsense, really\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"} {
		if _, _, err := parseAnswer([]byte(bad), false); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%q: %v, want ErrUnreadable", bad, err)
		}
	}
}

// Events are cut nowhere: at each byte of the stream it is the same events.
func TestParseEvent(t *testing.T) {
	for text, want := range map[string]string{
		"data: a\n\n":                             "|a",
		"data:a\r\r":                              "|a",
		"data: a\r\n\r\n":                         "|a",
		"event:x\rdata:a\r\ndata: b\n\n":          "x|a\nb",
		"event: x\nid: 7\ndata:  a\nretry: 5\n\n": "x7| a",
		"id: 7\n\n":                               "7-",
		": hello\n\n":                             "-",
		"data\n\n":                                "|",
		"data: a\ndata: b\ndata: c\n\n":           "|a\nb\nc",
	} {
		for cut := 0; cut < len(text)-1; cut++ {
			if _, n := parseEvent([]byte(text[:cut]), nil); n != 0 {
				t.Errorf("the first %d bytes of %q are an event", cut, text)
			}
		}
		e, n := parseEvent([]byte(text+"data: next"), nil)
		got := string(e.name) + string(e.id) + "-"
		if e.hasData {
			got = string(e.name) + string(e.id) + "|" + string(e.data)
		}
		if got != want || n != len(text) {
			t.Errorf("%q: %q, %d bytes; want %q, %d", text, got, n, want, len(text))
		}
	}
}

// A stamp in which any byte was changed is none, and no byte of the padding can be.
func TestEveryWrongByteIsFound(t *testing.T) {
	whole := AppendMessage(nil, Stamp{Run: 7, Stream: 3, Sequence: 1234, Scheduled: 987654321}, StampBytes+60)
	if _, ok := ParseStamp(whole); !ok || !padded(whole) {
		t.Fatal("an intact message is damaged")
	}
	for at := range whole {
		for c := range 256 {
			if byte(c) == whole[at] {
				continue
			}
			m := append([]byte(nil), whole...)
			m[at] = byte(c)
			if _, ok := ParseStamp(m); ok && padded(m) {
				t.Fatalf("byte %d is %q, and nothing was found", at, byte(c))
			}
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 16 << 10} {
		for _, way := range []Format{Raw, JSON} {
			b.Run(fmt.Sprintf("bytes=%d/format=%s", size, way), func(b *testing.B) {
				spec := Spec{Connections: 1, Format: way}
				s := newSink(&spec)
				s.begin(1, size, false)
				k := &epollKind{spec: &spec, sink: s, judged: map[string]bool{}}
				c := &leanConn{sub: &s.subscribers[0]}
				now := Now()
				frames := make([][]byte, 16)
				for i := range frames {
					frames[i] = AppendMessage(nil, Stamp{Run: 1, Sequence: uint64(i) + 1, Scheduled: now}, size)
					if way == JSON {
						frames[i] = fmt.Appendf(nil, `{"channel":"c0","cursor":"1z141z4-%d","time":1732395600123,"data":"%s"}`, i, frames[i])
					}
				}
				for i := 0; b.Loop(); i++ {
					if i%len(frames) == 0 {
						clear(c.sub.tracks)
					}
					k.take(c, frames[i%len(frames)], now+1000, text)
				}
				if s.counts.Delivered == 0 {
					b.Error(s.counts)
				}
			})
		}
	}
}
