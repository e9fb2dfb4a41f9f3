package simulation_test

import (
	"fmt"
	"net/url"
	"strings"

	"peal/server/log"
	"peal/server/session"
)

// transport is what a request asks for.
type transport uint8

const (
	webSocket transport = iota
	eventStream
	poll
	commands   // peal.v1
	transports // those of Peal's own protocols
	pusherSocket
	mercureStream
)

func (t transport) path() string {
	return [...]string{webSocket: "/ws", eventStream: "/sse", poll: "/poll", commands: "/ws", pusherSocket: pusherPath, mercureStream: mercurePath}[t]
}

// isEvents tells whether it is an event stream; isSocket whether it is a WebSocket.
func (t transport) isEvents() bool { return t == eventStream || t == mercureStream }
func (t transport) isSocket() bool { return t == webSocket || t == commands || t == pusherSocket }

// client is somebody with a cursor. It has one connection at a time, or none.
type client struct {
	w        *world
	name     string
	conn     *conn
	channels []string
	cursor   string // the last it was given, "" for none
	at       mark   // what the oracle knows of it
	earlier  []known
	single   map[string]known // cursors of single channels, of peal.v1
	backs    int              // times it came back with its cursor
	session  session.ID       // the last that it had
	topics   string           // its token of the Mercure protocol, "" for none
}

// known is a cursor that somebody was given once.
type known struct {
	text string
	at   mark
}

// learns notes the newest cursor.
func (c *client) learns(text string, at mark) {
	if c.cursor != "" && c.w.rnd.IntN(8) == 0 {
		c.earlier = append(c.earlier, known{c.cursor, c.at})
	}
	c.cursor, c.at = text, at
}

// learnsOf notes the newest cursor of one channel.
func (c *client) learnsOf(channel string, k known) {
	if c.single == nil {
		c.single = map[string]known{}
	}
	c.single[channel] = k
}

// forgets makes the client begin anew next time.
func (c *client) forgets() { c.cursor, c.at = "", mark{} }

// start says where a subscription is to begin.
type start struct {
	how  how
	text string     // of fromCursor
	mark mark       // likewise; life < 0: it never meant anything
	made log.Cursor // likewise, if it was made up: a sequence that was not there
	last int
}

type how uint8

const (
	fromNow how = iota
	fromCursor
	fromEarliest
	fromLast
)

func (s start) String() string {
	return [...]string{"now", fmt.Sprintf("cursor %s", s.text), "earliest", fmt.Sprintf("last %d", s.last)}[s.how]
}

// taken is s when the server takes it. Meanwhile the log may have come to a sequence
// that was made up, and to another epoch behind it or before.
func (s start) taken(w *world) start {
	if s.made != (log.Cursor{}) && s.made.Epoch != w.engine.Lineage().Epoch() {
		if _, ok := w.engine.Resolve(s.made); !ok {
			s.mark.life = -1
		}
	}
	return s
}

// resume is the start of a client that has a cursor.
func (c *client) resume() start {
	if c.cursor == "" {
		return start{how: fromNow}
	}
	c.backs++
	return start{how: fromCursor, text: c.cursor, mark: c.at}
}

// anyStart chooses where a client begins: mostly where it was, sometimes anywhere.
func (c *client) anyStart() start {
	w := c.w
	switch w.rnd.IntN(12) {
	case 0:
		return start{how: fromNow}
	case 1:
		return start{how: fromEarliest}
	case 2:
		return start{how: fromLast, last: 1 + w.rnd.IntN(12)}
	case 3: // anywhere in the log, also ahead of what the loop has applied
		at := mark{w.oracle.life(), w.rnd.Uint64N(w.oracle.head() + 1)}
		return start{how: fromCursor, text: w.engine.Lineage().Cursor(at.sequence).String(), mark: at}
	case 4:
		return c.foreignStart()
	case 5:
		if n := len(c.earlier); n > 0 {
			k := c.earlier[w.rnd.IntN(n)]
			return start{how: fromCursor, text: k.text, mark: k.at}
		}
	case 6: // what a publisher was answered
		if n := len(w.published); n > 0 {
			k := w.published[w.rnd.IntN(n)]
			return start{how: fromCursor, text: k.text, mark: k.at}
		}
	}
	return c.resume()
}

// foreignStart is a cursor that means nothing.
func (c *client) foreignStart() start {
	w := c.w
	never := mark{life: -1}
	switch w.rnd.IntN(3) {
	case 0:
		return start{how: fromCursor, text: "nonsense", mark: never}
	case 1:
		c := log.Cursor{Epoch: firstEpoch - 1, Sequence: w.rnd.Uint64N(20)}
		return start{how: fromCursor, text: c.String(), mark: never}
	}
	ahead := mark{w.oracle.life(), w.oracle.head() + 1 + w.rnd.Uint64N(40)}
	made := w.engine.Lineage().Cursor(ahead.sequence)
	return start{how: fromCursor, text: made.String(), mark: ahead, made: made}
}

// ask is a request for a subscription.
type ask struct {
	transport transport
	json      bool
	ignoring  bool // raw WebSocket: gap=ignore
	channels  []string
	start     start
	closes    bool       // a poll: the connection ends behind the response
	timeout   int        // a poll: seconds
	named     bool       // the client says who it is
	who       string     // likewise
	session   session.ID // it presents this one; zero: none
	deflates  bool       // it can take compressed messages
	forbidden bool       // it names a channel that is not for it
	topics    string     // client.topics
}

func (w *world) anyAsk(c *client, s start) ask {
	if w.plan.dialects != nil && w.rnd.IntN(2) == 0 {
		return w.foreignAsk(c, s)
	}
	a := ask{transport: transport(w.rnd.IntN(int(transports))), json: w.rnd.IntN(2) == 0, channels: c.channels, start: s}
	a.ignoring = a.transport == webSocket && !a.json && w.rnd.IntN(3) == 0
	if a.transport == commands && w.plan.also {
		a.transport = webSocket
	}
	a.closes, a.timeout = a.transport == poll && w.rnd.IntN(8) == 0, 1+w.rnd.IntN(6)
	a.named = w.rnd.IntN(4) == 0
	a.session = c.anySession()
	a.deflates = w.plan.deflates && w.own.IntN(3) > 0
	if w.plan.equalData && !a.json && a.transport != eventStream {
		a.channels = a.channels[:1] // its messages have no cursor
	}
	w.trespass(&a)
	return a
}

// head is the request as it goes over the wire.
func (a ask) head() []byte {
	switch a.transport {
	case pusherSocket:
		return a.pusherHead()
	case mercureStream:
		return a.mercureHead()
	}
	q := url.Values{"channel": a.channels, "format": {"raw"}}
	if a.json || a.transport == commands {
		q.Set("format", "json")
	}
	if a.ignoring {
		q.Set("gap", "ignore")
	}
	lines := "Host: localhost\r\n"
	if a.transport == poll {
		q.Set("timeout", fmt.Sprint(a.timeout))
	}
	if a.named {
		q.Set("client", "ann")
	}
	if a.who != "" {
		q.Set("client", a.who)
	}
	if !a.session.IsZero() {
		q.Set("session", a.session.String())
	}
	if a.closes {
		lines += "Connection: close\r\n"
	}
	switch a.start.how {
	case fromCursor:
		if a.transport == eventStream {
			lines += "Last-Event-ID: " + a.start.text + "\r\n"
		} else {
			q.Set("cursor", a.start.text)
		}
	case fromEarliest:
		q.Set("cursor", "earliest")
	case fromLast:
		q.Set("last", fmt.Sprint(a.start.last))
	}
	if a.transport == commands {
		lines += "Sec-WebSocket-Protocol: peal.v1\r\n"
	}
	switch {
	case a.deflates && (a.transport == eventStream || a.transport == poll):
		lines += "Accept-Encoding: gzip\r\n"
	case a.deflates:
		lines += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	if a.transport == webSocket || a.transport == commands {
		lines += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	}
	return []byte("GET " + a.transport.path() + "?" + q.Encode() + " HTTP/1.1\r\n" + lines + "\r\n")
}

func (a ask) String() string {
	return fmt.Sprintf("%s json=%v ignore=%v %s from %s", a.transport.path(), a.json, a.ignoring, strings.Join(a.channels, "+"), a.start)
}

// decoder is the far end of what a asks for.
func (a ask) decoder() decoder {
	switch a.transport {
	case webSocket:
		return &wsDecoder{json: a.json}
	case commands:
		return &wsDecoder{json: true, replies: true}
	case pusherSocket:
		return &pusherDecoder{}
	case eventStream, mercureStream:
		return &gzipDecoder{sseDecoder: sseDecoder{json: a.json}}
	}
	return &pollDecoder{json: a.json}
}
