package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// centrifugo speaks Centrifugo's client protocol v2 in JSON
// (centrifugal.dev/docs/transports/client_protocol) and publishes by its HTTP
// API, whose key goes in a header line: "X-API-Key: …".
type centrifugo struct{}

func (centrifugo) Open(path, _ string) string { return path }

func (centrifugo) Subscribe(channel string) []string {
	return []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":` + quote(channel) + `}}`}
}

// Return's cursor is "epoch offset". A channel has them with force_recovery.
func (centrifugo) Return(channel string, cursor []byte) []string {
	epoch, offset, _ := strings.Cut(string(cursor), " ")
	return []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":` + quote(channel) + `,"recover":true,"epoch":` + quote(epoch) + `,"offset":` + offset + `}}`}
}

func (centrifugo) Advance(cursor, line []byte) []byte {
	if reply := centrifugoSubscribed(line); reply != nil {
		if !reply.Recoverable {
			return nil
		}
		return fmt.Appendf(cursor[:0], "%s %d", reply.Epoch, reply.Offset)
	}
	_, offset, ok := bytes.Cut(line, centrifugoOffset)
	epoch := bytes.IndexByte(cursor, ' ')
	if !ok || epoch < 0 || !bytes.HasPrefix(line, centrifugoPush) {
		return cursor
	}
	end := 0
	for end < len(offset) && '0' <= offset[end] && offset[end] <= '9' {
		end++
	}
	return append(cursor[:epoch+1], offset[:end]...)
}

// centrifugoReply is the answer to a subscribe command.
type centrifugoReply struct {
	Recoverable, Recovered bool
	WasRecovering          bool `json:"was_recovering"`
	Epoch                  string
	Offset                 uint64
	Publications           []struct{ Data string }
}

// centrifugoSubscribed returns nil for other lines.
func centrifugoSubscribed(line []byte) *centrifugoReply {
	if bytes.HasPrefix(line, centrifugoPush) || !bytes.Contains(line, centrifugoSecond) {
		return nil
	}
	var answer struct{ Subscribe *centrifugoReply }
	_ = json.Unmarshal(line, &answer) // what is not JSON is no answer
	return answer.Subscribe
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

	centrifugoOffset = []byte(`"offset":`)
	centrifugoSecond = []byte(`"id":2`) // the subscribe command
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
	}
	if reply := centrifugoSubscribed(line); reply != nil {
		d := Decoded{Subscribed: true, Gap: reply.WasRecovering && !reply.Recovered}
		for _, p := range reply.Publications {
			d.Missed = append(d.Missed, []byte(p.Data))
		}
		return d
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
