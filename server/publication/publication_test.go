package publication_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
)

// object is the publication as encoding/json, the judge, reads it.
type object struct {
	Channel    string  `json:"channel"`
	Cursor     string  `json:"cursor"`
	Time       int64   `json:"time"`
	Event      *string `json:"event"`
	Data       *string `json:"data"`
	DataBase64 *string `json:"data_base64"`
}

var (
	cursor  = log.Cursor{Epoch: 35, Sequence: 1042}
	lineage = log.NewLineage(35)
)

func TestAppendJSONIsTheDocumentedObject(t *testing.T) {
	check := func(want string, e *log.Entry) {
		t.Helper()
		if got := string(publication.AppendJSON(nil, e, e.Channel, cursor)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	check(`{"channel":"main","cursor":"z-1042","time":7,"data":"hi"}`,
		&log.Entry{Channel: "main", Time: 7, Data: []byte("hi")})
	check(`{"channel":"a\"b","cursor":"z-1042","time":7,"event":"goal","data":"1\n2"}`,
		&log.Entry{Channel: `a"b`, Time: 7, Event: "goal", Data: []byte("1\n2")})
	check(`{"channel":"main","cursor":"z-1042","time":7,"data_base64":"aGk="}`,
		&log.Entry{Channel: "main", Time: 7, Data: []byte("hi"), Binary: true})
	check(`{"channel":"main","cursor":"z-1042","time":7,"data_base64":"/w=="}`,
		&log.Entry{Channel: "main", Time: 7, Data: []byte{0xFF}})
	check(`{"channel":"main","cursor":"z-1042","time":0,"data":""}`, &log.Entry{Channel: "main"})
	for tag, want := range map[string]string{
		"2": `{"channel":"a","also":["b\"","c"],"cursor":"z-1042","time":0,"data":""}`,
		"1": `{"channel":"a","also":["b\""],"cursor":"z-1042","time":0,"data":""}`,
		"9": `{"channel":"a","also":["b\"","c","secret"],"cursor":"z-1042","time":0,"data":""}`,
		"":  `{"channel":"a","cursor":"z-1042","time":0,"data":""}`, "0": `{"channel":"a","cursor":"z-1042","time":0,"data":""}`,
		"-1": `{"channel":"a","cursor":"z-1042","time":0,"data":""}`, "x": `{"channel":"a","cursor":"z-1042","time":0,"data":""}`,
	} {
		check(want, &log.Entry{Channel: "a", Also: []string{`b"`, "c", "secret"}, Tags: map[string]string{log.AlsoTag: tag}})
	}
	e := &log.Entry{Channel: "a", Also: []string{"b", "c"}, Tags: map[string]string{log.AlsoTag: "2"}}
	if got := string(publication.AppendJSON(nil, e, "b", cursor)); got != `{"channel":"b","also":["c"],"cursor":"z-1042","time":0,"data":""}` {
		t.Errorf("in the history of an alternate channel: %s", got)
	}
	if n := testing.AllocsPerRun(10, func() {
		publication.AppendJSON(make([]byte, 0, publication.SizeHint(e, "a")), e, "a", cursor)
	}); n > 1 {
		t.Errorf("%v allocations, want that of the result", n)
	}
}

// Some of the hidden channels are shown in another entry, the others stay hidden.
func TestShowing(t *testing.T) {
	e := &log.Entry{Channel: "a", Also: []string{"open", "x", "y", "z"}, Data: []byte("1"), Tags: map[string]string{log.AlsoTag: "1", "t": "u"}}
	if got := publication.Hidden(e); !slices.Equal(got, []string{"x", "y", "z"}) {
		t.Errorf("hidden: %q", got)
	}
	one := publication.Showing(e, []string{"y"})
	if also, hidden := publication.Also(one), publication.Hidden(one); !slices.Equal(also, []string{"open", "y"}) || !slices.Equal(hidden, []string{"x", "z"}) || one.Tags["t"] != "u" || string(one.Data) != "1" {
		t.Errorf("%q, hidden %q, %+v", also, hidden, one)
	}
	two := publication.Showing(one, []string{"x", "z"})
	if also := publication.Also(two); !slices.Equal(also, []string{"open", "y", "x", "z"}) || len(publication.Hidden(two)) > 0 {
		t.Errorf("%q", also)
	}
	untagged := &log.Entry{Channel: "a", Also: []string{"x"}}
	if also := publication.Also(publication.Showing(untagged, []string{"x"})); !slices.Equal(also, []string{"x"}) {
		t.Errorf("%q", also)
	}
	if e.Tags[log.AlsoTag] != "1" || !slices.Equal(e.Also, []string{"open", "x", "y", "z"}) || untagged.Tags != nil {
		t.Errorf("the entry has changed: %+v, %+v", e, untagged)
	}
}

func TestAppendGapNamesItsReason(t *testing.T) {
	check := func(want string, g ring.Gap) {
		t.Helper()
		if got := string(publication.AppendGap(nil, g, lineage)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check(`{"channel":"a","from":"z-7","to":"z-1042","reason":"discarded"}`,
		ring.Gap{Channel: "a", From: 7, To: 1042})
	check(`{"channel":"a","to":"z-1042","reason":"unknown_cursor"}`,
		ring.Gap{Channel: "a", To: 1042, Foreign: true})
	check(`{"channel":"a","from":"z-7","to":"z-1042","reason":"slow","skipped":12}`,
		ring.Gap{Channel: "a", From: 7, To: 1042, Slow: true, Skipped: 12})
	if got := string(publication.AppendGaps(nil, nil, lineage)); got != "[]" {
		t.Errorf("no gaps: %s, want []", got)
	}
}

func TestAppendStringMakesNoGarbage(t *testing.T) {
	text, dst := []byte(`täglich "frisch"`+"\n"), make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { dst = publication.AppendString(dst[:0], text) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzJSON has encoding/json read back what was written: text arrives byte for
// byte, everything else as base64 of exactly the bytes.
func FuzzJSON(f *testing.F) {
	f.Add("main", "", []byte("hello"), false)
	f.Add("a\\b", "goal", []byte("\x00\x1f\"\\/\u2028\u2029<>\x7f"), false)
	f.Add("ä", "e", []byte{0xF0, 0x9F, 0x98}, false)
	f.Add("x", "", []byte("ok"), true)
	f.Fuzz(func(t *testing.T, channel, event string, data []byte, binary bool) {
		e := &log.Entry{Channel: channel, Event: event, Data: data, Binary: binary, Time: int64(len(data))}
		b := publication.AppendJSON(nil, e, channel, cursor)
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("not JSON: %q", b)
		}
		var o object
		if err := json.Unmarshal(b, &o); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		// The judge's own encoder says what becomes of invalid UTF-8 in names.
		if want := throughJSON(t, channel); o.Channel != want {
			t.Errorf("channel %q, want %q", o.Channel, want)
		}
		if o.Cursor != "z-1042" || o.Time != int64(len(data)) {
			t.Errorf("cursor %q time %d", o.Cursor, o.Time)
		}
		if (o.Event != nil) != (event != "") || o.Event != nil && *o.Event != throughJSON(t, event) {
			t.Errorf("event %v, want %q", o.Event, event)
		}
		if binary || !utf8.Valid(data) {
			got, err := base64.StdEncoding.DecodeString(*o.DataBase64)
			if err != nil || !bytes.Equal(got, data) || o.Data != nil {
				t.Errorf("data_base64 %q, %v", *o.DataBase64, err)
			}
		} else if *o.Data != string(data) || o.DataBase64 != nil {
			t.Errorf("data %q, want %q", *o.Data, data)
		}
	})
}

func throughJSON(t *testing.T, s string) (out string) {
	t.Helper()
	b, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}
