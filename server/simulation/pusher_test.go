package simulation_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"peal/server/session"
)

// Clients of the Pusher protocol (pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/):
// they subscribe to one channel with each message, and find messages by their channel.

const pusherPath = "/app/" + appKey

// defaultEvent is the event of a publication without one.
const defaultEvent = "message"

// Close codes of the protocol, and events.
const (
	codeOver         = 4100 // come back
	codeNoMore       = 4009
	codeForbidden    = 4403 // Peal's own
	eventEstablished = "pusher:connection_established"
	eventSucceeded   = "pusher_internal:subscription_succeeded"
	eventRefused     = "pusher:subscription_error"
)

func (a ask) pusherHead() []byte {
	query := "protocol=7&client=simulation"
	if a.json { // with cursors
		query += "&peal=1"
	}
	return []byte("GET " + pusherPath + "?" + query + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
}

// socketID is a session as the protocol writes it.
func socketID(id session.ID) string {
	return fmt.Sprintf("%d.%d", binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]))
}

// sessionOfSocket is the session of a socket id, as Peal writes it.
func sessionOfSocket(text string) (string, error) {
	high, low, _ := strings.Cut(text, ".")
	var id session.ID
	for at, part := range map[int]string{0: high, 8: low} {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return "", fmt.Errorf("socket id %q: %w", text, err)
		}
		binary.BigEndian.PutUint64(id[at:], n)
	}
	return id.String(), nil
}

// signatureOf is what a backend signs with that secret.
func signatureOf(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// pusherDecoder reads the frames. Channels of its items are as clients of the app name them.
type pusherDecoder struct{ wsDecoder }

// pushFrame is the JSON of a frame. Data is a string, but for errors.
type pushFrame struct {
	Event   string
	Channel *string
	Data    json.RawMessage
	Cursor  string
}

func (d *pusherDecoder) next(b []byte) (it item, n int, err error) {
	d.wsDecoder.push = pushItem
	return d.wsDecoder.next(b)
}

func pushItem(payload []byte) (it item, err error) {
	var f pushFrame
	if err := json.Unmarshal(payload, &f); err != nil {
		return item{}, fmt.Errorf("%w: %q", err, payload)
	}
	if f.Event == "pusher:error" {
		var e struct {
			Code    int
			Message string
		}
		err := json.Unmarshal(f.Data, &e)
		return item{kind: itemError, id: e.Code, refusal: e.Message}, err
	}
	var text string
	if err := json.Unmarshal(f.Data, &text); err != nil {
		return item{}, fmt.Errorf("its data is no string: %q", payload)
	}
	if f.Event == eventEstablished {
		var e struct {
			SocketID string `json:"socket_id"`
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return item{}, err
		}
		it = item{kind: itemReply}
		it.session, err = sessionOfSocket(e.SocketID)
		return it, err
	}
	if f.Event == "pusher:pong" {
		return item{kind: itemSubscribed, refusal: f.Event}, nil
	}
	if f.Channel == nil {
		return item{}, fmt.Errorf("an event without a channel: %q", payload)
	}
	switch f.Event {
	case eventSucceeded, eventRefused:
		return item{kind: itemSubscribed, refusal: f.Event, message: wireMessage{channel: *f.Channel}, cursor: f.Cursor}, nil
	case "pusher:cache_miss":
		return item{}, nil
	case "peal:gap":
		var g wireGap
		err := json.Unmarshal([]byte(text), &g)
		if g.Channel != *f.Channel {
			err = fmt.Errorf("a gap of %q on %q", g.Channel, *f.Channel)
		}
		return item{kind: itemGap, gaps: []wireGap{g}}, err
	}
	return item{kind: itemMessage, message: wireMessage{channel: *f.Channel, cursor: f.Cursor, event: f.Event, data: []byte(text), encoded: true}}, nil
}

// pusherCommand has a client say something.
func (w *world) pusherCommand(c *conn) {
	t := c.talk
	if !c.isWebSocket() || c.halfClosed || c.saidClose != 0 || len(t.pending) > 4 || c.session == 0 {
		return
	}
	if len(t.channels) == 0 {
		w.pusherSubscribe(c)
		w.pusherSubscribe(c)
		return
	}
	switch w.rnd.IntN(10) {
	case 0, 1, 2, 3:
		w.pusherSubscribe(c)
	case 4:
		i := w.rnd.IntN(len(t.channels))
		name := t.channels[i]
		w.note("%s unsubscribes from %s", c, name)
		t.channels = slices.Delete(t.channels, i, i+1)
		w.sayEvent(c, "pusher:unsubscribe", map[string]any{"channel": w.plan.dialects.short(name)}, &pending{command: "unsubscribe", channels: []string{name}})
	case 5:
		t.pending = append(t.pending, &pending{command: "ping"})
		w.sayEvent(c, "pusher:ping", map[string]any{}, t.pending[len(t.pending)-1])
	case 6: // once more: nothing begins anew
		name := t.channels[w.rnd.IntN(len(t.channels))]
		t.pending = append(t.pending, &pending{command: "again", channels: []string{name}})
		w.sayEvent(c, "pusher:subscribe", w.subscribeData(name, appSecret, w.sessions.Of(c.session)), t.pending[len(t.pending)-1])
	default:
		w.clientEvent(c)
	}
}

// sayEvent says an event of the protocol.
func (w *world) sayEvent(c *conn, event string, data map[string]any, p *pending) {
	fields := map[string]any{"event": event, "data": data}
	if w.rnd.IntN(4) == 0 {
		fields["data"] = string(marshal(data))
	}
	w.say(c, saying{payload: marshal(fields), pending: p})
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the test's own words
	}
	return b
}

// subscribeData are the data of pusher:subscribe, signed with that secret for that session.
func (w *world) subscribeData(name, secret string, id session.ID) map[string]any {
	d := w.plan.dialects
	short := d.short(name)
	data := map[string]any{"channel": short}
	if slices.Contains(d.closed, name) {
		data["auth"] = appKey + ":" + signatureOf(secret, socketID(id)+":"+short)
	}
	return data
}

func (w *world) pusherSubscribe(c *conn) {
	t, d := c.talk, w.plan.dialects
	free := slices.DeleteFunc(slices.Concat(d.pusher, d.closed), func(name string) bool { return slices.Contains(t.channels, name) })
	if w.plan.also { // its last event could have come on another channel
		free = slices.DeleteFunc(free, func(name string) bool { return strings.HasPrefix(d.short(name), "cache-") })
	}
	if len(free) == 0 {
		return
	}
	name := free[w.rnd.IntN(len(free))]
	p := &pending{command: "subscribe", channels: []string{name}}
	id, secret := w.sessions.Of(c.session), appSecret
	if slices.Contains(d.closed, name) && w.rnd.IntN(4) == 0 {
		p.refused = true
		if w.rnd.IntN(2) == 0 {
			id[w.rnd.IntN(16)]++
		} else {
			secret += "?"
		}
	}
	data := w.subscribeData(name, secret, id)
	if !w.plan.also { // else what comes again comes on its other channels, too
		p.start = c.client.startOf(p.channels)
	}
	if p.start.how == fromLast {
		p.start = start{}
	}
	p.start.fields(data)
	if p.start.how == fromNow && strings.HasPrefix(d.short(name), "cache-") {
		p.start = start{how: fromLast, last: 1}
	}
	if !p.refused {
		t.channels = append(t.channels, name)
	}
	w.note("%s subscribes to %s from %s, refused: %v", c, name, p.start, p.refused)
	t.pending = append(t.pending, p)
	w.sayEvent(c, "pusher:subscribe", data, p)
}

// clientEvent has a client publish for the others on a channel; on some it may not.
func (w *world) clientEvent(c *conn) {
	t, d := c.talk, w.plan.dialects
	on := w.closedName()
	if w.rnd.IntN(6) == 0 {
		on = d.pusher[w.rnd.IntN(len(d.pusher))]
	}
	w.number++
	p := &pending{command: "client event", number: w.number, channels: []string{on}}
	p.refused = !slices.Contains(t.channels, on) || !slices.Contains(d.closed, on)
	if w.isUncertain(t, on) {
		return // its subscription may fail or not: the wishes of both are one
	}
	if p.refused {
		t.wrong++
	} else {
		w.promise(p.number, promise{exclude: w.sessions.Of(c.session), channels: []string{on}})
	}
	w.note("%s says %d to the others on %s, refused: %v", c, p.number, on, p.refused)
	w.say(c, saying{payload: marshal(map[string]any{"event": "client-said", "channel": d.short(on), "data": string(dataOf(p.number, w.rnd.IntN(100), false))}), pending: p})
}

// isUncertain tells whether a subscription to the channel that is to be refused is under way.
func (w *world) isUncertain(t *talk, name string) bool {
	return slices.ContainsFunc(t.pending, func(p *pending) bool { return p.refused && slices.Contains(p.channels, name) })
}
