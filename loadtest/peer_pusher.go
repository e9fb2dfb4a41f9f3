package loadtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// pusher speaks the Pusher Channels protocol 7 (pusher.com/docs/channels/
// library_auth_reference): its WebSocket at /app/KEY, its HTTP API at
// /apps/ID/events. Each publication is signed with the application's secret;
// subscribers of public channels need none.
type pusher struct{ secret string }

// Open's path is "/app/KEY".
func (pusher) Open(path, _ string) string {
	return withQuery(withQuery(path, "protocol", "7"), "client", "peal-load")
}

// greets: the server first sends the id of the connection.
func (pusher) greets() {}

func (pusher) Subscribe(channel string) []string {
	return []string{`{"event":"pusher:subscribe","data":{"channel":` + quote(channel) + `}}`}
}

// Publish's path is "/apps/ID/events?auth_key=KEY". It reads the clock: a
// signature is good for ten minutes.
func (p pusher) Publish(path, channel string, data []byte) (target, header string, body []byte) {
	body = append(body, `{"name":"message","channels":[`+quote(channel)+`],"data":"`...)
	body = append(body, data...)
	body = append(body, `"}`...)
	return p.sign(path, body, time.Now().Unix()), "Content-Type: application/json\r\n", body
}

// sign adds the parameters that authenticate the publisher of body: the method, the path
// and the query in alphabetical order under an HMAC-SHA256.
func (p pusher) sign(path string, body []byte, unix int64) string {
	path, query, _ := strings.Cut(path, "?")
	digest := md5.Sum(body)
	query += "&auth_timestamp=" + strconv.FormatInt(unix, 10) + "&auth_version=1.0&body_md5=" + hex.EncodeToString(digest[:])
	mac := hmac.New(sha256.New, []byte(p.secret))
	mac.Write([]byte("POST\n" + path + "\n" + query))
	return path + "?" + query + "&auth_signature=" + hex.EncodeToString(mac.Sum(nil))
}

// PusherPaths are where subscribers of a Pusher's application connect and where
// its publications go, given its public key and its id.
func PusherPaths(key, app string) (open, publish string) {
	return "/app/" + url.PathEscape(key), "/apps/" + url.PathEscape(app) + "/events?auth_key=" + url.QueryEscape(key)
}

var (
	pusherOwn  = []byte(`"pusher`) // pusher:ping, pusher_internal:subscription_succeeded
	pusherData = []byte(`"data":`)
)

func (pusher) Decode(line []byte) Decoded {
	if !bytes.Contains(line, pusherOwn) {
		return Decoded{Data: pusherText(line)}
	}
	var event struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return Decoded{Error: string(line)}
	}
	switch event.Event {
	case "pusher:connection_established":
		return Decoded{Greeting: true}
	case "pusher_internal:subscription_succeeded":
		return Decoded{Subscribed: true}
	case "pusher:ping":
		return Decoded{Reply: `{"event":"pusher:pong","data":{}}`}
	case "pusher:error", "pusher:subscription_error":
		return Decoded{Error: string(line)}
	}
	if strings.HasPrefix(event.Event, "pusher") {
		return Decoded{}
	}
	return Decoded{Data: pusherText(line)} // on a channel of that name
}

// pusherText is an event's data from the first character of the text on: a
// string that may have a JSON string within it. A stamp needs no unescaping.
func pusherText(line []byte) []byte {
	_, data, ok := bytes.Cut(line, pusherData)
	if !ok {
		return nil
	}
	data = bytes.TrimPrefix(bytes.TrimLeft(data, " "), []byte(`"`))
	return bytes.TrimPrefix(data, []byte(`\"`))
}
