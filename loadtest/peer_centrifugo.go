package loadtest

import (
	"bytes"
	"encoding/json"
)

// centrifugo speaks Centrifugo's client protocol v2 in JSON
// (centrifugal.dev/docs/transports/client_protocol) and publishes by its HTTP
// API, whose key goes in a header line: "X-API-Key: …".
type centrifugo struct{}

func (centrifugo) Open(path, _ string) string { return path }

func (centrifugo) Subscribe(channel string) []string {
	return []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":` + quote(channel) + `}}`}
}

func (centrifugo) Publish(path, channel string, data []byte) (target, header string, body []byte) {
	body = append(body, `{"channel":`+quote(channel)+`,"data":"`...)
	body = append(body, data...)
	return path, "Content-Type: application/json\r\n", append(body, `"}`...)
}

var (
	centrifugoPush  = []byte(`{"push":`)
	centrifugoData  = []byte(`"data":"`)
	centrifugoError = []byte(`"error":`)
)

func (centrifugo) Decode(line []byte) Decoded {
	switch {
	case bytes.HasPrefix(line, centrifugoPush):
		if _, data, ok := bytes.Cut(line, centrifugoData); ok {
			return Decoded{Data: data} // a stamp needs no unescaping
		}
	case string(line) == "{}": // its ping
		return Decoded{Reply: "{}"}
	case bytes.Contains(line, centrifugoError):
		return Decoded{Error: string(line)}
	case bytes.Contains(line, []byte(`"id":2`)):
		return Decoded{Subscribed: true}
	}
	return Decoded{}
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic("loadtest: quote: " + err.Error()) // a string always marshals
	}
	return string(b)
}
