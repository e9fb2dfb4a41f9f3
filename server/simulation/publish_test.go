package simulation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/log"
)

// publish has somebody publish something: over HTTP, over a WebSocket, or with
// what only the log knows so far.
func (w *world) publish() {
	w.number++
	size := w.rnd.IntN(120)
	if w.rnd.IntN(10) == 0 {
		size = w.rnd.IntN(3000)
	}
	if w.plan.dialects != nil && w.rnd.IntN(2) == 0 {
		w.publishForeign(size)
		return
	}
	binary := w.rnd.IntN(6) == 0
	data := dataOf(w.number, size, binary)
	switch w.rnd.IntN(4) {
	case 0, 1:
		w.publishHTTP(data, binary)
	case 2:
		if code, _ := w.front.Message(sharer{channel: w.anyName()}, binary, data); code == 1013 {
			w.counts[refused]++
		} else if code != 0 {
			w.fail("a WebSocket may not publish: %d", code)
		}
	case 3:
		w.publishEntries(data, binary)
	}
}

func (w *world) anyName() string { return w.plan.open[w.rnd.IntN(len(w.plan.open))] }

// sharer is a raw WebSocket that is there to publish to its channel.
type sharer struct {
	loop.Client
	channel string
}

func (s sharer) Dialect() (raw ring.Encoding) { return raw }
func (s sharer) PublishTo() string            { return s.channel }
func (s sharer) Session() uint64              { return 1 << 40 }
func (s sharer) Peer() netip.AddrPort         { return netip.AddrPort{} }

// publishHTTP publishes data to one or several channels, an entry each.
func (w *world) publishHTTP(data []byte, binary bool) {
	q := url.Values{"channel": {w.anyName()}}
	if w.plan.equalData {
		q["channel"] = w.anySet()
	}
	if w.rnd.IntN(3) == 0 {
		q.Set("event", "price")
	}
	if id := w.anybody(); !id.IsZero() {
		q.Set("exclude", id.String())
	}
	media := "text/plain"
	if binary {
		media = "application/octet-stream"
	}
	head := fmt.Sprintf("POST /publish?%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", q.Encode(), media, len(data))
	call := loop.Call{In: append([]byte(head), data...)}
	w.front.Request(&call)
	switch call.Verdict {
	case loop.Reply:
		w.answered(call.Out)
	case loop.Later: // answered will be called
	default:
		w.fail("publish: verdict %d: %s", call.Verdict, call.Out)
	}
}

// answered takes the answer to a publisher.
func (w *world) answered(out []byte) {
	response, body, _, err := readResponse(out)
	if err != nil {
		w.fail("the answer to a publisher cannot be read: %v", err)
		return
	}
	switch response.StatusCode {
	case 200:
		cursor, foreign := w.foreignAnswer(response, body)
		if foreign && cursor == "" {
			return
		}
		var a struct{ Cursor string }
		if foreign {
			a.Cursor = cursor
		} else if err := json.Unmarshal(body, &a); err != nil {
			w.fail("the answer to a publisher: %v", err)
		}
		at, ok := w.oracle.parse(a.Cursor)
		if !ok {
			w.fail("a publisher was given the cursor %q, which means nothing", a.Cursor)
		}
		w.published = append(w.published, known{a.Cursor, at})
	case 429, 503: // a loop is too far behind; the disk is full or fails
		w.counts[refused]++
	case 403:
		if !w.refusable {
			w.fail("publish: %s: %s", response.Status, body)
		}
		w.refusable = false
		w.counts[forbidden]++
	case 500: // it waited for the end of a hand-over, and the log is another process's now
		if w.moving == nil {
			w.fail("publish: %s: %s", response.Status, body)
		}
		w.counts[refused]++
	default:
		w.fail("publish: %s: %s", response.Status, body)
	}
}

// publishes tells whether its client may publish on it now.
func (c *conn) publishes() bool {
	if c.halfClosed || c.saidClose != 0 || c.ended {
		return false
	}
	return !c.isStream() && len(c.exchanges) < 4 || c.isWebSocket() && c.talk == nil && len(c.current().ask.channels) == 1
}

// publishOn has a client publish over its own connection.
func (w *world) publishOn(c *conn) {
	w.number++
	binary := w.rnd.IntN(6) == 0
	data := dataOf(w.number, w.rnd.IntN(300), binary)
	if c.isStream() {
		w.note("%s says %d", c, w.number)
		w.say(c, saying{payload: data, binary: binary})
		return
	}
	x := &exchange{number: w.number, decoder: publishDecoder{}, closes: w.rnd.IntN(10) == 0}
	head := fmt.Sprintf("POST /publish?%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n", url.Values{"channel": {w.anyName()}}.Encode(), len(data))
	if x.closes {
		head += "Connection: close\r\n"
	}
	x.wire = append([]byte(head+"\r\n"), data...)
	w.note("%s publishes %d", c, w.number)
	w.request(c, x)
}

// publishEntries appends entries with a TTL, several channels, somebody who
// must not have them, or a kind that nobody has.
func (w *world) publishEntries(data []byte, binary bool) {
	e := &log.Entry{Channel: w.anyName(), Data: data, Binary: binary}
	if w.plan.expires && w.rnd.IntN(2) == 0 {
		e.TTL = 1 + w.rnd.Int64N(8000)
	}
	if w.plan.also && w.rnd.IntN(4) == 0 {
		for _, name := range w.anySet() {
			if name != e.Channel {
				e.Also = append(e.Also, name)
			}
		}
	}
	if w.plan.dialects != nil && len(e.Also) > 0 { // everyone may know their names
		e.Tags = map[string]string{log.AlsoTag: strconv.Itoa(len(e.Also))}
	}
	if id := w.anybody(); !id.IsZero() {
		e.Exclude = (*[16]byte)(&id)
	}
	batch := []*log.Entry{e}
	if w.rnd.IntN(6) == 0 { // instead of it one that no subscriber has
		w.bans.give()
		return
	}
	if err := w.engine.Append(batch, func(error) {}); errors.Is(err, log.ErrFull) || errors.Is(err, log.ErrStorage) {
		w.counts[refused]++
	} else if err != nil {
		w.fail("append: %v", err)
	}
}
