package sse_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/session"
	"peal/server/sse"
)

var cursor = log.Cursor{Epoch: 35, Sequence: 1042}

func TestAppendRawSplitsLinesAtCRAndLFAndCRLF(t *testing.T) {
	check := func(data, want string) {
		t.Helper()
		got := string(sse.AppendRaw(nil, &log.Entry{Data: []byte(data)}, cursor))
		if want = "id: z-1042\n" + want + "\n"; got != want {
			t.Errorf("%q: got %q, want %q", data, got, want)
		}
	}
	check("hi", "data: hi\n")
	check("", "data: \n")
	check(" hi", "data:  hi\n")
	check("a\nb", "data: a\ndata: b\n")
	check("a\rb", "data: a\ndata: b\n")
	check("a\r\nb", "data: a\ndata: b\n")
	check("a\n\rb", "data: a\ndata: \ndata: b\n")
	check("a\n", "data: a\ndata: \n")
	check("\r\n\r\n", "data: \ndata: \ndata: \n")
	check("id: 7", "data: id: 7\n")
	check("\xFF", "data: /w==\n")
}

func TestOpenAndHeartbeatMoveTheIDAndFireNoMessage(t *testing.T) {
	b := sse.AppendOpen(nil, log.Cursor{Epoch: 35, Sequence: 1}, session.ID{15: 4}, 2500*time.Millisecond)
	var r reader
	r.read(string(b))
	want := []event{{sse.CursorEvent, `{"cursor":"z-1","session":"AAAAAAAAAAAAAAAAAAAABA"}`, "z-1"}}
	if !slices.Equal(r.events, want) || r.lastEventID != "z-1" || r.retry != 2500 {
		t.Errorf("after open: %+v, want %+v", r, want)
	}
	r.read(string(sse.AppendHeartbeat(nil, cursor)))
	want = append(want, event{sse.CursorEvent, `{"cursor":"z-1042"}`, "z-1042"})
	if !slices.Equal(r.events, want) || r.lastEventID != "z-1042" {
		t.Errorf("after a heartbeat: %+v", r)
	}
	r.read(string(sse.AppendEnd(nil, 3*time.Second)))
	if len(r.events) != len(want) || r.lastEventID != "z-1042" || r.retry != 3000 {
		t.Errorf("after the end: %+v", r)
	}
}

func TestGapIsANamedEventThatKeepsTheID(t *testing.T) {
	var r reader
	r.read("id: " + cursor.String() + "\n\n")
	r.read(string(sse.AppendGap(nil, ring.Gap{Channel: "a\nb", To: 2000, Foreign: true}, log.NewLineage(35))))
	want := event{"gap", `{"channel":"a\nb","to":"z-2000","reason":"unknown_cursor"}`, "z-1042"}
	if len(r.events) != 1 || r.events[0] != want {
		t.Errorf("%+v, want %+v", r.events, want)
	}
}

func TestEventNameCannotBecomeAField(t *testing.T) {
	var r reader
	r.read(string(sse.AppendRaw(nil, &log.Entry{Event: "x\nid: 9\r", Data: []byte("d")}, cursor)))
	if len(r.events) != 1 || r.events[0] != (event{"xid: 9", "d", "z-1042"}) {
		t.Errorf("%+v", r.events)
	}
}

// FuzzSSE has the reader of the standard read what was written: one event, the
// data as published but for its line ends.
func FuzzSSE(f *testing.F) {
	f.Add("", []byte("hello"), false)
	f.Add("goal", []byte("a\r\nb\rc\nd\n\n"), false)
	f.Add("x", []byte("\xEF\xBB\xBFbom: \x00"), false)
	f.Add("y", []byte{0xFF, '\n'}, false)
	f.Add("z", []byte("line\nline"), true)
	lineEnds := strings.NewReplacer("\r\n", "\n", "\r", "\n")
	noLineEnds := strings.NewReplacer("\r", "", "\n", "")
	f.Fuzz(func(t *testing.T, name string, data []byte, binary bool) {
		e := &log.Entry{Channel: "main", Event: name, Data: data, Binary: binary}
		wantName := "message"
		if n := noLineEnds.Replace(name); n != "" {
			wantName = n
		}
		wantData := lineEnds.Replace(string(data))
		if binary || !utf8.Valid(data) {
			wantData = base64.StdEncoding.EncodeToString(data)
		}
		var r reader
		stream := sse.AppendOpen(nil, log.Cursor{Epoch: 35}, session.ID{}, sse.MinRetry)
		stream = sse.AppendRaw(stream, e, cursor)
		stream = sse.AppendJSON(stream, e, e.Channel, log.Cursor{Epoch: 35, Sequence: 2000})
		r.read(string(stream))
		if len(r.events) != 3 {
			t.Fatalf("%d events from %q", len(r.events), stream)
		}
		if want := (event{wantName, wantData, "z-1042"}); r.events[1] != want {
			t.Errorf("raw: got %q, want %q", r.events[1], want)
		}
		if got := r.events[2]; got.name != wantName || got.id != "z-2000" || !json.Valid([]byte(got.data)) {
			t.Errorf("json: got %q", got)
		}
	})
}

func TestEncodingAllocatesOnce(t *testing.T) {
	e := &log.Entry{Channel: "main", Event: "goal", Data: bytes.Repeat([]byte("line\n"), 20)}
	if n := testing.AllocsPerRun(100, func() { sse.AppendRaw(nil, e, cursor) }); n > 2 {
		t.Errorf("raw: %v allocations", n)
	}
	e.Data = []byte("hello")
	for name, encode := range map[string]func(){
		"raw":  func() { sse.AppendRaw(nil, e, cursor) },
		"json": func() { sse.AppendJSON(nil, e, e.Channel, cursor) },
	} {
		if n := testing.AllocsPerRun(100, encode); n != 1 {
			t.Errorf("%s: %v allocations, want 1", name, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{32, 1024} {
		e := &log.Entry{Channel: "main", Time: 1732395600123, Data: bytes.Repeat([]byte("x"), size)}
		dst := make([]byte, 0, 4096)
		b.Run(fmt.Sprintf("format=raw/bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = sse.AppendRaw(dst[:0], e, cursor)
			}
		})
		b.Run(fmt.Sprintf("format=json/bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = sse.AppendJSON(dst[:0], e, e.Channel, cursor)
			}
		})
	}
}
