package httpapi_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"peal/server/httpapi"
)

// A message that is longer, as it is sent, than what is held for a subscriber is
// refused on every way to publish; as many bytes that are shorter are taken.
func TestMessagesThatCannotBeDeliveredAreRefused(t *testing.T) {
	h := newHarness(t)
	h.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, MessageLimit: 4000, WireLimit: 4000})
	quoted := func(data string) string {
		b, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	ways := map[string]func(data string) (answer string){
		"body": func(data string) string { _, a := h.answer(post("/publish?channel=a", data)); return a },
		"with a key": func(data string) string {
			_, a := h.answer(post("/publish?channel=a", data, "Idempotency-Key: k\r\n"))
			return a
		},
		"two channels": func(data string) string { _, a := h.answer(post("/publish?channel=a&channel=b", data)); return a },
		"form": func(data string) string {
			_, a := h.answer(post("/publish", url.Values{"channel": {"a"}, "data": {data}}.Encode(), "Content-Type: application/x-www-form-urlencoded\r\n"))
			return a
		},
		"multipart": func(data string) string {
			part := func(name, value string) string {
				return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
			}
			_, a := h.answer(post("/publish", part("channel", "a")+part("data", data)+"--x--\r\n", "Content-Type: multipart/form-data; boundary=x\r\n"))
			return a
		},
		"JSON": func(data string) string {
			_, a := h.answer(post("/publish", `{"channel":"a","data":`+quoted(data)+`}`, "Content-Type: application/json\r\n"))
			return a
		},
		"batch": func(data string) string {
			_, a := h.answer(post("/publish/batch", `{"messages":[{"channel":"a","data":`+quoted(data)+`}]}`))
			return a
		},
		"peal.v1": func(data string) string {
			return say(t, h, &fakeClient{commands: true}, `{"id":1,"command":"publish","channel":"a","data":`+quoted(data)+`}`)
		},
		"WebSocket": func(data string) string {
			code, reason := h.front.Message(&fakeClient{publishTo: "a"}, false, []byte(data))
			if code == 1009 {
				return `"message_too_large" ` + reason
			}
			return reason
		},
	}
	for name, publish := range ways {
		if a := publish(strings.Repeat("x", 600)); h.log.take() == "" {
			t.Errorf("%s: 600 letters are refused: %s", name, a)
		}
		for _, data := range []string{strings.Repeat("\x01", 600), strings.Repeat("\n", 600)} {
			a := publish(data)
			if got := h.log.take(); got != "" || !strings.Contains(a, "message_too_large") || !strings.Contains(a, "can hold at most 4000") || !strings.Contains(a, "held-bytes") {
				t.Errorf("%s: 600 of %.1q: %s, published %.20q", name, data, a, got)
			}
		}
	}
}
