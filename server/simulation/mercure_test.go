package simulation_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"peal/loop"
)

// Clients and publishers of the Mercure protocol, and backends of the HTTP API of Pusher.

const mercurePath = "/.well-known/mercure"

func (a ask) mercureHead() []byte {
	q := url.Values{}
	for _, name := range a.channels {
		if !strings.HasPrefix(name, "$") { // what it is granted comes with the topic
			q.Add("topic", name)
		}
	}
	lines := "Host: localhost\r\n"
	cursor := ""
	switch a.start.how {
	case fromCursor:
		cursor = a.start.text
	case fromEarliest:
		cursor = "earliest"
	}
	spelling := len(a.channels) % 3 // any, but the same in each run
	switch {
	case cursor == "":
	case spelling == 0:
		lines += "Last-Event-ID: " + cursor + "\r\n"
	default:
		q.Set([]string{"", "lastEventID", "last-event-id"}[spelling], cursor)
	}
	switch {
	case a.topics == "":
	case spelling == 0:
		lines += "Sec-Fetch-Site: same-origin\r\nCookie: mercureAuthorization=" + a.topics + "\r\n"
	case spelling == 1:
		q.Set("authorization", a.topics)
	default:
		lines += "Authorization: Bearer " + a.topics + "\r\n"
	}
	return []byte("GET " + mercurePath + "?" + q.Encode() + " HTTP/1.1\r\n" + lines + "\r\n")
}

// isSubscribed tells whether the server has made it a subscription.
func (x *exchange) isSubscribed() bool {
	return x.number == 0 && (x.verdict == loop.Stream || x.verdict == loop.Park)
}

// publishForeign has a backend publish in another protocol.
func (w *world) publishForeign(size int) {
	switch w.rnd.IntN(4) {
	case 0:
		w.trigger(size)
	case 1:
		w.triggerBatch()
	default:
		w.update(size)
	}
}

// anyOfApp chooses a channel of the app.
func (w *world) anyOfApp() string {
	d := w.plan.dialects
	if w.rnd.IntN(2) == 0 {
		return w.closedName()
	}
	return d.pusher[w.rnd.IntN(len(d.pusher))]
}

// event is one for the HTTP API, with the newest number.
func (w *world) event(size int, channels ...string) map[string]any {
	e := map[string]any{"name": "price", "data": string(dataOf(w.number, size, false))}
	p := promise{channels: slices.Clone(channels), exclude: w.anybody()}
	if !p.exclude.IsZero() {
		e["socket_id"] = socketID(p.exclude)
	}
	w.promise(w.number, p)
	return e
}

// trigger publishes one event by the HTTP API of Pusher, to one channel or several.
func (w *world) trigger(size int) {
	channels := []string{w.anyOfApp()}
	if other := w.anyOfApp(); w.plan.equalData && other != channels[0] {
		channels = append(channels, other)
	}
	e := w.event(size, channels...)
	short := make([]string, len(channels))
	for i, name := range channels {
		short[i] = w.plan.dialects.short(name)
	}
	if len(short) > 1 || w.rnd.IntN(2) == 0 {
		e["channels"] = short
	} else {
		e["channel"] = short[0]
	}
	w.post("/apps/"+appID+"/events", e)
}

// triggerBatch publishes several events at once.
func (w *world) triggerBatch() {
	var batch []any
	for range 1 + w.rnd.IntN(3) {
		name := w.anyOfApp()
		e := w.event(w.rnd.IntN(60), name)
		e["channel"] = w.plan.dialects.short(name)
		batch = append(batch, e)
		w.number++
	}
	w.post("/apps/"+appID+"/batch_events", map[string]any{"batch": batch})
}

// post sends a signed request of the HTTP API.
func (w *world) post(path string, body any) {
	b := marshal(body)
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%x", appKey, time.Now().Unix(), md5.Sum(b))
	query += "&auth_signature=" + signatureOf(appSecret, "POST\n"+path+"\n"+query)
	w.send("POST "+path+"?"+query+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n", b)
}

// update publishes an update of the Mercure protocol: on one topic or, as one message, on several.
func (w *world) update(size int) {
	topics := []string{w.anyName()}
	if w.rnd.IntN(4) == 0 {
		topics[0] = w.closedName()
	}
	if w.plan.also {
		for _, name := range w.anySet() {
			if !slices.Contains(topics, name) {
				topics = append(topics, name)
			}
		}
	}
	form := url.Values{"topic": topics, "data": {string(dataOf(w.number, size, false))}}
	token := tokenOfAll
	if len(topics) == 1 && topics[0] == w.plan.open[0] && w.rnd.IntN(2) == 0 {
		token = tokenOfOne
	}
	if w.rnd.IntN(3) == 0 {
		form.Set("type", "price")
	}
	p := promise{channels: slices.Clone(topics), joined: true}
	w.refusable = len(topics) > 1 && slices.Contains(w.plan.dialects.closed, topics[0])
	if w.rnd.IntN(2) == 0 {
		w.refusable = false // who receives it is granted all of its topics, or sees one only
		form.Set("private", "on")
		for i, topic := range p.channels {
			p.channels[i] = privateOf(topic)
		}
	}
	w.promise(w.number, p)
	w.send("POST "+mercurePath+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+"\r\nContent-Type: application/x-www-form-urlencoded\r\n", []byte(form.Encode()))
	if w.refusable {
		w.fail("a public update on %q is accepted: all who receive it see the name of the first", topics)
	}
}

// send sends a request of a publisher that is no part of the world.
func (w *world) send(head string, body []byte) {
	call := loop.Call{In: fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)}
	w.front.Request(&call)
	switch call.Verdict {
	case loop.Reply:
		w.answered(call.Out)
	case loop.Later: // answered will be called
	default:
		w.fail("publish: verdict %d: %s", call.Verdict, call.Out)
	}
}

// foreignAnswer is the cursor in the answer to a publisher of another protocol, "" for none; ok is
// false for the answers of Peal's own.
func (w *world) foreignAnswer(response *http.Response, body []byte) (cursor string, ok bool) {
	var object map[string]json.RawMessage
	switch {
	case w.plan.dialects == nil:
		return "", false
	case strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain"):
		return string(body), true
	}
	err := json.Unmarshal(body, &object)
	return "", err == nil && len(object) == 0
}

// countUpdate counts a message of the Mercure protocol.
func (w *world) countUpdate(c *conn, channels []string) {
	if c.transport() != mercureStream {
		return
	}
	w.counts[updates]++
	if strings.HasPrefix(channels[0], "$private:") {
		w.counts[private]++
	}
}
