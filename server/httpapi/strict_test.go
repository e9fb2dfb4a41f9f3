package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/server/httpapi"
	"peal/server/idempotency"
)

// twisted are JSON texts that two readers could take for two things. %s stands for
// what is around the value or the fields in question.
var twisted = map[string]string{
	"data that is not UTF-8":       `"channel":"a","data":"caf` + "\xe9" + `"`,
	"channel that is not UTF-8":    `"channel":"a` + "\xe9" + `","data":"x"`,
	"event that is not UTF-8":      `"channel":"a","data":"x","event":"` + "\xff" + `"`,
	"key that is not UTF-8":        `"channel":"a","data":"x","idempotency_key":"` + "\xe9" + `"`,
	"name that is not UTF-8":       `"channel":"a","data":"x","` + "\xe9" + `":1`,
	"half a pair in data":          `"channel":"a","data":"\ud800"`,
	"half a pair in the channel":   `"channel":"a\udfff","data":"x"`,
	"half a pair in the event":     `"channel":"a","data":"x","event":"\ud83d"`,
	"half a pair in the key":       `"channel":"a","data":"x","idempotency_key":"\udc9a\ud83d"`,
	"half a pair inside data":      `"channel":"a","data":{"x":["\ud800"]}`,
	"channel twice":                `"channel":"a","data":"x","channel":"b"`,
	"the same channel twice":       `"channel":"a","data":"x","channel":"a"`,
	"channel twice by an escape":   `"channel":"a","data":"x","ch\u0061nnel":"b"`,
	"data twice":                   `"data":"x","channel":"a","data":"y"`,
	"an unknown name twice":        `"channel":"a","data":"x","y":1,"y":2`,
	"a name twice inside data":     `"channel":"a","data":{"x":{"y":1,"y":2}}`,
	"a comma too many":             `"channel":"a","data":"x",`,
	"a control character":          `"channel":"a","data":"x` + "\n" + `y"`,
	"data that is cut off":         `"channel":"a","data":"x`,
	"data that is too deep":        `"channel":"a","data":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
	"something behind the message": `"channel":"a","data":"x"}}`,
}

// Bytes and half surrogates must not become U+FFFD: another text, another channel,
// and two idempotency keys that are one. Names that stand twice are two messages.
func TestJSONIsTakenAtItsWordOrRefused(t *testing.T) {
	for name, fields := range twisted {
		object := "{" + fields + "}"
		for _, in := range []string{
			post("/publish", object, asJSON),
			post("/publish/batch", `{"messages":[{"channel":"b","data":"before"},`+object+`]}`),
		} {
			h := newHarness(t)
			if code, sentence := refused(t, h, in); code != "bad_json" || !strings.Contains(sentence, "at byte ") {
				t.Errorf("%s: %.30q: %s %s", name, in, code, sentence)
			}
			if got := h.log.take(); got != "" {
				t.Errorf("%s: %.30q: published %s", name, in, got)
			}
		}
		h, c := newHarness(t), &fakeClient{commands: true}
		if got := say(t, h, c, `{"id":7,"command":"publish",`+fields+`}`); !strings.Contains(got, `"code":"bad_json"`) || !strings.HasPrefix(got, `{"id":7,`) {
			t.Errorf("%s: peal.v1: %s", name, got)
		}
		if got := h.log.take(); got != "" {
			t.Errorf("%s: peal.v1: published %s", name, got)
		}
	}
	for name, in := range map[string]string{
		"messages twice":               post("/publish/batch", `{"messages":[],"messages":[{"channel":"a","data":"x"}]}`),
		"something behind a batch":     post("/publish/batch", `{"messages":[{"channel":"a","data":"x"}]} x`),
		"another batch behind":         post("/publish/batch", `{"messages":[{"channel":"a","data":"x"}]}{"messages":[]}`),
		"no batch":                     post("/publish/batch", ``),
		"disconnect, client twice":     post("/disconnect", `{"client":"ann","client":"bob"}`, asJSON),
		"disconnect, not UTF-8":        post("/disconnect", "{\"client\":\"\xe9\"}", asJSON),
		"disconnect, half a pair":      post("/disconnect", `{"client":["\ud800"]}`, asJSON),
		"disconnect, something behind": post("/disconnect", `{"client":"ann"} {}`, asJSON),
	} {
		h := newHarness(t)
		if code, sentence := refused(t, h, in); code != "bad_json" || h.log.take() != "" {
			t.Errorf("%s: %s %s", name, code, sentence)
		}
	}
	h, c := newHarness(t), &fakeClient{commands: true}
	for _, command := range []string{
		`{"id":1,"id":2,"command":"ping"}`, `{"id":1,"command":"ping","command":"publish"}`, "{\"id\":\"\xe9\",\"command\":\"ping\"}", `{"id":"\ud800","command":"ping"}`,
		`{"id":1,"command":"subscribe","channel":"a","client":"\ud800"}`, `{"id":1,"command":"subscribe","channel":"a","info":{"x":1,"x":2}}`,
		`{"id":1,"command":"ping"} {}`, `[]`, `"x"`, ``,
	} {
		if got := say(t, h, c, command); !strings.Contains(got, `"code":"bad_json"`) || len(c.subscribed) > 0 {
			t.Errorf("%q: %s", command, got)
		}
	}
}

// Names are what they are byte by byte: a gateway that checks "channel" sees the
// channel that we see.
func TestJSONNamesAreExact(t *testing.T) {
	h := newHarness(t)
	for in, want := range map[string]string{
		post("/publish", `{"channel":"public","Channel":"admin","CHANNEL":"admin","data":"x","Data":"y","EVENT":"e"}`, asJSON): `public: "x"`,
		post("/publish", `{"ch\u0061nnel":"public","d\u0061ta":"x"}`, asJSON):                                                  `public: "x"`,
		post("/publish/batch", `{"messages":[{"channel":"public","Channel":"admin","data":"x","Idempotency_Key":"k"}]}`):       `public: "x"`,
		post("/publish/batch", `{"messages":[{"channel":"public","data":"x"}],"Messages":[{"channel":"admin","data":"y"}]}`):   ``,
		post("/publish", `{"channel":"public","data":{"n":1.50,"N":1E2,"s":" a  b ", "l":[ 1, 2 ]}}`, asJSON):                  `public: "{\"n\":1.50,\"N\":1E2,\"s\":\" a  b \",\"l\":[1,2]}"`,
		post("/publish", `{"channel":"public","data":"\ud83d\udc9a\u00e9\u0000\ufffd"}`, asJSON):                               fmt.Sprintf("public: %q", "💚é\x00\ufffd"),
	} {
		code, sentence := refused(t, h, in)
		if got := h.log.take(); got != want {
			t.Errorf("%q: %s %s, published %s, want %s", in, code, sentence, got, want)
		}
	}
	c := &fakeClient{commands: true}
	for _, command := range []string{`{"id":1,"command":"publish","Channel":"a","data":"x"}`, `{"id":1,"Command":"ping"}`, `{"Id":1,"command":"ping"}`} {
		if got := say(t, h, c, command); !strings.Contains(got, `"error"`) || h.log.take() != "" {
			t.Errorf("%s: %s", command, got)
		}
	}
}

// Two keys that differ in a byte beyond UTF-8 are two messages, or none.
func TestKeysThatDifferAreTwoMessages(t *testing.T) {
	h := newHarness(t)
	h.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Keys: idempotency.New(time.Minute, 1000, 1000, time.Now)})
	for _, key := range []string{"\xe8", "\xe9", `\ud800`, `\ud801`} {
		in := post("/publish", `{"channel":"a","data":"pay 5","idempotency_key":"`+key+`"}`, asJSON)
		if code, _ := refused(t, h, in); code != "bad_json" {
			t.Errorf("%q: %s", key, code)
		}
	}
	for i, key := range []string{"%E8", "%E9"} { // in a URL they are bytes
		refused(t, h, post("/publish?channel=a&idempotency_key="+key, "pay 5"))
		if h.log.head != uint64(i+1) {
			t.Errorf("%s: %d published, want %d", key, h.log.head, i+1)
		}
	}
}

// FuzzPublishedJSON: what is accepted is what encoding/json reads too.
func FuzzPublishedJSON(f *testing.F) {
	for _, fields := range twisted {
		if len(fields) < 1000 {
			f.Add([]byte("{" + fields + "}"))
		}
	}
	f.Add([]byte(`{"channel":["a","b"],"data":"x\n","event":"e","idempotency_key":"k"}`))
	f.Add([]byte(`{"channel":"a","data":{"x":[1.0, true]}}`))
	h := newHarness(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		h.t = t
		resp, answer := h.answer(post("/publish", string(body), asJSON))
		h.log.mu.Lock()
		entries := h.log.entries
		h.log.entries = nil
		h.log.mu.Unlock()
		if (resp.StatusCode == 200) != (len(entries) > 0) || resp.StatusCode >= 500 {
			t.Fatalf("%d %s, %d published", resp.StatusCode, answer, len(entries))
		}
		for _, e := range entries {
			var m map[string]json.RawMessage
			if err := json.Unmarshal(body, &m); err != nil {
				t.Fatalf("published, but encoding/json says %v", err)
			}
			var event, data string
			var many []string
			if m["channel"] != nil && json.Unmarshal(m["channel"], &many) != nil {
				many = []string{""}
				json.Unmarshal(m["channel"], &many[0])
			}
			if !strings.Contains(strings.Join(append(many, "main"), "\x00"), e.Channel) {
				t.Errorf("on %q of %q", e.Channel, many)
			}
			if json.Unmarshal(m["event"], &event); event != e.Event {
				t.Errorf("event %q, want %q", e.Event, event)
			}
			if json.Unmarshal(m["data"], &data) == nil && string(m["data"]) != "null" && data != string(e.Data) {
				t.Errorf("data %q, want %q", e.Data, data)
			}
		}
	})
}
