package durable_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server/durable"
	"peal/server/log"
)

func offset(c log.Cursor) string { return string(durable.AppendOffset(nil, c)) }

// The protocol compares offsets as strings.
func TestOffsetsSortLikePositions(t *testing.T) {
	var texts []string
	for _, c := range []log.Cursor{{Epoch: 1 << 63, Sequence: 0}, {Epoch: 1 << 63, Sequence: 9}, {Epoch: 1 << 63, Sequence: 10}, {Epoch: 2, Sequence: 11}, {Epoch: 1, Sequence: 1 << 40}, {Epoch: 1, Sequence: 1<<64 - 1}} {
		text := offset(c)
		if got, ok := durable.ParseOffset([]byte(text)); !ok || got != c {
			t.Errorf("%s is read as %v, %v, want %v", text, got, ok, c)
		}
		if strings.ContainsAny(text, ",&=?/") || text == durable.Beginning || text == durable.Tail || len(text) > durable.MaxOffsetBytes {
			t.Errorf("%q is no offset by section 6", text)
		}
		texts = append(texts, text)
	}
	if !slices.IsSorted(texts) {
		t.Errorf("not in their order: %q", texts)
	}
	if got, want := offset(log.Cursor{Epoch: 35, Sequence: 0x412}), "0000000000000412_z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, bad := range []string{"", "-1", "now", "0000000000000412", "0000000000000412_", "0000000000000412_0", "0000000000000412_Z", "000000000000041G_z", "0000000000000412_0z", "000000000000412_z", "+000000000000412_z",
		"0000000000000412_zzzzzzzzzzzzz", "0000000000000412_zzzzzzzzzzzzzz", "000000000000041A_z", "0000000000000412-z"} {
		if c, ok := durable.ParseOffset([]byte(bad)); ok {
			t.Errorf("%q is read as %v", bad, c)
		}
	}
}

func FuzzParseOffset(f *testing.F) {
	f.Add([]byte("0000000000000412_1z141z4"))
	f.Add([]byte("-1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := durable.ParseOffset(b); ok && offset(c) != string(b) {
			t.Errorf("%q is read as %v, whose offset is %q", b, c, offset(c))
		}
	})
}

var at = log.Cursor{Epoch: 35, Sequence: 0x412}

func TestEvents(t *testing.T) {
	check := func(c durable.Content, e *log.Entry, data string) {
		t.Helper()
		want := "event: data\n" + data + "\nevent: control\ndata:{\"streamNextOffset\":\"0000000000000412_z\",\"streamCursor\":\"17000000000000\"}\n\n"
		e.Time = 1_700_000_000_000
		if got := string(c.AppendEvents(nil, e, at, false)); got != want {
			t.Errorf("%v of %q:\n%s\nwant\n%s", c, e.Data, got, want)
		}
	}
	check(durable.JSON, &log.Entry{Data: []byte(`{"a":1}`)}, "data:[{\"a\":1}]\n")
	check(durable.JSON, &log.Entry{Data: []byte("{\n \"a\":1}")}, "data:[{\ndata:  \"a\":1}]\n")
	check(durable.JSON, &log.Entry{Data: []byte("hi\nthere")}, "data:[\"hi\\nthere\"]\n")
	check(durable.JSON, &log.Entry{Data: []byte{0xFF}, Binary: true}, "data:[\"/w==\"]\n")
	check(durable.Text, &log.Entry{Data: []byte("one\r\ntwo\rthree\n four\n")}, "data:one\ndata:two\ndata:three\ndata:  four\ndata:\n")
	check(durable.Text, &log.Entry{}, "data:\n")
	check(durable.Text, &log.Entry{Data: []byte{0xFF}, Binary: true}, "data:/w==\n")
	check(durable.Bytes, &log.Entry{Data: []byte("x\n\nevent: control")}, "data:eAoKZXZlbnQ6IGNvbnRyb2w=\n")

	last := string(durable.JSON.AppendEvents(nil, &log.Entry{Data: []byte("1")}, at, true))
	if !strings.HasSuffix(last, "\",\"upToDate\":true}\n\n") {
		t.Errorf("the last one is %q", last)
	}
}

// page has net/http read a page.
func page(t *testing.T, p durable.Page, messages ...string) (*http.Response, string) {
	t.Helper()
	var list [][]byte
	for _, m := range messages {
		list = append(list, []byte(m))
	}
	p.Time = time.UnixMilli(1_700_000_000_000)
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p.Append(nil, list))), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

func TestPages(t *testing.T) {
	next := log.Cursor{Epoch: 35, Sequence: 0x413}
	for _, c := range []struct {
		name     string
		page     durable.Page
		messages []string
		status   int
		body     string
		header   string // some of its lines, NAME=VALUE, "" for none
	}{
		{"part", durable.Page{From: at, Next: next}, []string{"1", `{"a":2}`}, 200, `[1,{"a":2}]`,
			"Content-Type=application/json Stream-Next-Offset=0000000000000413_z Stream-Up-To-Date= ETag=\"json:0000000000000412_z:0000000000000413_z\" Stream-Cursor=17000000000000 X-Content-Type-Options=nosniff"},
		{"end", durable.Page{From: at, Next: next, UpToDate: true}, nil, 200, "[]", "Stream-Up-To-Date=true"},
		{"text", durable.Page{Content: durable.Text, Next: next}, []string{"Hel", "lo"}, 200, "Hello", "ETag=\"text:0000000000000000_0:0000000000000413_z\""},
		{"not modified", durable.Page{From: at, Next: next, Match: []byte(`"json:0000000000000412_z:0000000000000413_z"`)}, []string{"1"}, 304, "", "Stream-Next-Offset=0000000000000413_z"},
		{"modified", durable.Page{From: at, Next: next, Match: []byte(`"json:0000000000000412_z:0000000000000414_z"`)}, []string{"1"}, 200, "[1]", ""},
		{"nothing in time", durable.Page{Next: next, UpToDate: true, Live: true, Now: true}, nil, 204, "", "Stream-Up-To-Date=true Stream-Cursor=17000000000000 ETag= Cache-Control=no-store Content-Type="},
		{"tail", durable.Page{Next: next, UpToDate: true, Now: true}, nil, 200, "[]", "Cache-Control=no-store ETag="},
	} {
		r, body := page(t, c.page, c.messages...)
		if r.StatusCode != c.status || body != c.body {
			t.Errorf("%s: %d %s, want %d %s", c.name, r.StatusCode, body, c.status, c.body)
		}
		for _, line := range strings.Fields(c.header) {
			name, value, _ := strings.Cut(line, "=")
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", c.name, name, got, value)
			}
		}
	}
	p := durable.Page{Content: durable.JSON, Next: next, HeadOnly: true}
	if b := string(p.Append(nil, [][]byte{[]byte("1")})); !strings.HasSuffix(b, "\r\n\r\n") || !strings.Contains(b, "Content-Length: 3\r\n") {
		t.Errorf("HEAD: %q", b)
	}
}

// Whatever is published, a stream of JSON is JSON.
func FuzzJSONContent(f *testing.F) {
	f.Add([]byte(`{"a":1}`), false)
	f.Add([]byte("x\xff"), true)
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		e := &log.Entry{Data: data, Binary: binary}
		if b := durable.JSON.Encode(e); !json.Valid(b) {
			t.Errorf("%q becomes %q", data, b)
		}
	})
}
