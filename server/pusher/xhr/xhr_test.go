package xhr_test

import (
	"strings"
	"testing"

	"peal/loop/frame"
	"peal/server/ijson"
	"peal/server/pusher/xhr"
)

func TestFramesBecomeLines(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		what   string
		frames []byte
		want   string
	}{
		{"nothing", nil, ""},
		{"a text", frame.AppendMessage(nil, false, []byte(`{"event":"a b"}`)), `a["{\"event\":\"a b\"}"]` + "\n"},
		{"a line end", frame.AppendMessage(nil, false, []byte("a\nb\u2028")), `a["a\nb\u2028"]` + "\n"},
		{"126 bytes", frame.AppendMessage(nil, false, []byte(long[:126])), `a["` + long[:126] + "\"]\n"},
		{"70,000 bytes", frame.AppendMessage(nil, false, []byte(long)), `a["` + long + "\"]\n"},
		{"a ping", frame.AppendPing(nil, nil), "a[]\n"},
		{"a pong", frame.AppendPong(nil, []byte("x")), ""},
		{"a close", frame.AppendClose(nil, 4001, `no "app"`), `c[4001,"no \"app\""]` + "\n"},
		{"a close without a code", frame.AppendHeader(nil, true, frame.OpClose, 0), `c[1000,""]` + "\n"},
		{"several", frame.AppendClose(frame.AppendMessage(frame.AppendMessage(nil, false, []byte("1")), false, []byte("2")), 4100, ""), "a[\"1\"]\na[\"2\"]\nc[4100,\"\"]\n"},
	} {
		if got := string(xhr.AppendLines([]byte("before"), c.frames)); got != "before"+c.want {
			t.Errorf("%s: %.100q, want %.100q", c.what, got, c.want)
		}
	}
}

func TestNamesOfSessions(t *testing.T) {
	for _, c := range []struct {
		key, server, session string
		ok                   bool
	}{
		{"k", "0", "abcdefgh", true}, {"k", "999", "01234567", true}, {"k", "1", strings.Repeat("Z", 32), true},
		{"k", "", "abcdefgh", false}, {"k", "1000", "abcdefgh", false}, {"k", "a", "abcdefgh", false}, {"k", "-1", "abcdefgh", false},
		{"k", "1", "abcdefg", false}, {"k", "1", strings.Repeat("Z", 33), false}, {"k", "1", "abcdefg%2f", false}, {"k", "1", "abcdef h", false},
	} {
		name, ok := xhr.ParseName([]byte(c.key), []byte(c.server), []byte(c.session))
		if ok != c.ok || ok && name != xhr.Name(c.key+"/"+c.server+"/"+c.session+"/") {
			t.Errorf("%s/%s/%s: %q, %v", c.key, c.server, c.session, name, ok)
		}
	}
}

func TestBodiesOfRequests(t *testing.T) {
	for body, want := range map[string]string{
		`["a","{\"event\":\"pusher:ping\",\"data\":{}}"]`: `a|{"event":"pusher:ping","data":{}}`, `[]`: "", ` [ "ü" ] `: "ü",
		"": "!", `"a"`: "!", `{}`: "!", `[1]`: "!", `["a"`: "!", `["a"]x`: "!", `[["a"]]`: "!", "[" + strings.Repeat(`"a",`, 64) + `"a"]`: "!",
	} {
		got, err := xhr.ParseSend(&ijson.Reader{}, []byte(body))
		texts := make([]string, len(got))
		for i := range got {
			texts[i] = string(got[i])
		}
		text := strings.Join(texts, "|")
		if err != nil {
			text = "!"
		}
		if text != want {
			t.Errorf("%.40q: %q, want %q", body, text, want)
		}
	}
}

func FuzzSend(f *testing.F) {
	f.Add([]byte(`["a","\ud83d\ude00"]`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := xhr.ParseSend(&ijson.Reader{}, body)
		if err != nil && got != nil {
			t.Errorf("%q: messages beside an error", body)
		}
		if len(got) > 64 {
			t.Errorf("%q: %d messages", body, len(got))
		}
	})
}
