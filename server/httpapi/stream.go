package httpapi

import (
	"errors"
	"math/rand/v2"
	"time"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/ask"
	"peal/server/dialect"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/response"
	"peal/server/session"
	"peal/server/subscribe"
)

// subscribing serves /ws, /sse and /poll. What is the same for peal.v1 is in
// package subscribe.
type subscribing struct{ *shared }

// appendSSEHead opens an event stream. It has no Content-Length and is not chunked,
// on purpose: the stream ends with the connection (RFC 9112 §6.3, item 8), so
// all clients, those of HTTP/1.0 too, get the same bytes and can share them.
// X-Accel-Buffering has nginx pass them on as they come.
func (x *exchange) appendSSEHead(dst []byte, id session.ID, lines string) []byte {
	h := response.Head{
		Status: 200, Type: "text/event-stream", Size: response.Endless, Close: true,
		Origin: x.cors, Lines: response.NoStore + "X-Accel-Buffering: no\r\n",
	}
	dst = append(h.AppendLines(dst), lines...)
	return response.End(id.AppendHeader(dst))
}

// sessionOf is the id of the client's session.
func (s *subscribing) sessionOf(x *exchange, w *subscribe.Wish) session.ID {
	if w.Session != nil {
		return session.ID(*w.Session)
	}
	return s.deps.Sessions.Of(x.call.Session)
}

// eventStream turns the connection into an event stream.
func (s *subscribing) eventStream(x *exchange) {
	w, sub, err := s.subscribe(x, loop.EventStream, "")
	s.stream(x, &w, sub, err, "")
}

// stream begins the subscription of w as an event stream, or refuses it for err. lines are
// further header lines.
func (s *subscribing) stream(x *exchange, w *subscribe.Wish, sub *loop.Subscription, err *refusal.Error, lines string) {
	if x.asks(err) {
		return
	}
	c, id := x.call, s.sessionOf(x, w)
	switch {
	case err == permit.ErrDisconnected:
		s.counts.Refuse(err)
		x.reply(204, "", response.NoStore, nil) // for good, says the HTML standard, 9.2.3
	case err != nil && !comesBack(err):
		x.refuse(err)
	case err != nil && string(x.head.Method) != "HEAD":
		s.counts.Refuse(err)
		c.Out = x.appendSSEHead(c.Out, id, lines)
		c.Out = s.appendClose(c.Out, w, err)
		c.Verdict = loop.ReplyClose
	case string(x.head.Method) == "HEAD":
		gzip, _ := s.gzip(x, w, sub)
		c.Out = x.appendSSEHead(c.Out, id, lines+gzip)
		c.Verdict = loop.ReplyClose
	default:
		gzip, begin := s.gzip(x, w, sub)
		c.Out = append(x.appendSSEHead(c.Out, id, lines+gzip), begin...)
		c.Verdict, c.Sub = loop.Stream, sub
		s.arrive(x, w, sub)
	}
}

// comesBack reports whether an EventSource is to come back after that refusal: it
// gives up for good at any status but 200.
func comesBack(err *refusal.Error) bool {
	return err == ask.ErrUnavailable || err == ask.ErrBusy || err == refusal.ErrDraining || err == refusal.ErrNodeBehind || err == permit.ErrChannelFull || err == permit.ErrUserFull || err == permit.ErrAddressFull || err == permit.ErrPresenceFull
}

// poll parks the request.
func (s *subscribing) poll(x *exchange) {
	w, sub, err := s.subscribe(x, loop.Held, "")
	if x.asks(err) {
		return
	}
	if err != nil {
		x.refuse(err)
		return
	}
	s.gzipBody(x, &w, sub)
	shape := x.shape()
	sub.HeadOnly, sub.Origin = shape.headOnly, x.origin
	// A response with an id is for one client only. Those who have a cursor were told, or
	// do not want to know.
	sub.Introduce = w.Session == nil && (len(x.params.cursor) == 0 || x.params.session != nil)
	// The response, written later, has no words for the keep-alive of HTTP/1.0.
	c := x.call
	c.Verdict, c.Sub, c.Close = loop.Park, sub, shape.close || shape.keepAlive
	s.arrive(x, &w, sub)
}

// webSocket makes the connection a WebSocket. What is wrong with the handshake
// itself is refused over HTTP; what is wrong with the wish comes as a close frame
// behind the 101, for browsers hide HTTP refusals from scripts.
func (s *subscribing) webSocket(x *exchange) {
	up := x.upgrade()
	if err := up.Check(); err != nil {
		x.refuseHandshake(err)
		return
	}
	c := x.call
	protocol := frame.ChooseProtocol(up.Protocols, s.deps.Dialects.Protocols())
	if protocol == "" && len(tokenIn(up.Protocols).text) > 0 {
		x.refuse(errTokenAlone)
		return
	}
	w, sub, err := s.subscribe(x, loop.WebSocket, protocol)
	if x.asks(err) {
		return
	}
	var space [session.HeaderBytes + extensionBytes]byte
	lines := s.sessionOf(x, &w).AppendHeader(space[:0])
	if err == nil {
		lines = s.deflate(x, &w, sub).AppendLine(lines)
	}
	c.Out = frame.AppendSwitching(c.Out, up.Key, protocol, lines)
	if err != nil {
		s.counts.Refuse(err)
		s.counts.Close(err.CloseCode())
		c.Out = s.appendClose(c.Out, &w, err)
		c.Verdict = loop.ReplyClose
		return
	}
	c.Verdict, c.Sub = loop.Stream, sub
	s.arrive(x, &w, sub)
	x.remember(sub)
	if g := s.guests.Of(c.Session); g != nil {
		g.ByURL = true
	}
}

// upgrade gathers what a handshake is judged by.
func (x *exchange) upgrade() frame.Upgrade {
	socket := x.socket()
	up := frame.Upgrade{
		Method:    x.head.Method,
		HTTP11:    x.head.HTTP11,
		Key:       socket.Key,
		Version:   socket.Version,
		Protocols: socket.Protocols,
	}
	if x.head.Upgrade { // lists and case were seen to by Head.Check
		up.Upgrade, up.Connection = websocketToken, upgradeToken
	}
	return up
}

var websocketToken, upgradeToken = []byte("websocket"), []byte("upgrade")

func (x *exchange) refuseHandshake(err error) {
	if frame.StatusCode(err) != 426 {
		x.refuse(errHandshake)
		return
	}
	line := "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	if errors.Is(err, frame.ErrVersion) {
		line += "Sec-WebSocket-Version: 13\r\n" // RFC 6455 §4.4
	}
	x.refuseWith(errUpgradeRequired, line)
}

// read reads what a request asks for, on a connection of that framing. In the
// dialects with commands a client may be on no channel yet. The Dialect of the wish
// is also set with an error: the error is encoded in it.
func (s *subscribing) read(w *subscribe.Wish, x *exchange, f loop.Framing, protocol string) (err *refusal.Error) {
	w.Channels, w.Dialects = &x.channels, s.deps.Dialects
	w.Dialect, _ = w.Dialects.Choose(f, protocol, "")
	commands := w.Dialects.At(w.Dialect).Commands != nil
	if x.denied != nil {
		return x.denied
	}
	if err := x.query(); err != nil {
		return err
	}
	p := &x.params
	// Without a channel a client of peal.v1 is on none: there a proxy's parameters do
	// no harm.
	if err := x.stray(subscribeParameters, commands); err != nil {
		return err
	}
	k, ok := w.Dialects.Choose(f, protocol, string(p.format))
	if !ok {
		return errFormat
	}
	w.Dialect = k
	if commands && x.channels.Len() == 0 {
		p.presence = false // it will say what it wants
	} else {
		x.channels.AddDefault()
	}
	w.Known, w.Presence, w.IgnoreGap = p.known, p.presence, p.ignoreGap
	if w.Session, err = x.session(); err != nil {
		return err
	}
	if w.Visitor, err = subscribe.NewVisitor(p.client, p.info, x.grant); err != nil {
		return err
	}
	if w.Start, err = subscribe.NewStart(s.deps.Log, p.cursor, p.last, x.channels.Len()); err != nil {
		return err
	}
	timeout, err := s.deps.pollTimeout(p.timeout)
	if err != nil {
		return err
	}
	if f == loop.Held {
		w.Timeout = timeout
	}
	return w.Check()
}

// appendClose appends the end of a stream that ends because of err.
func (s *subscribing) appendClose(dst []byte, w *subscribe.Wish, err *refusal.Error) []byte {
	retry := dialect.Retry(rand.Int64N)
	if err.Retry > 0 {
		retry = time.Duration(err.Retry) * time.Second
	}
	return w.Dialects.At(w.Dialect).AppendClose(dst, err.CloseCode(), err.Code+": "+err.Message, retry)
}

// subscribe reads what a request asks for and makes the subscription, if the client
// may have it.
func (s *subscribing) subscribe(x *exchange, f loop.Framing, protocol string) (w subscribe.Wish, sub *loop.Subscription, err *refusal.Error) {
	if err := s.read(&w, x, f, protocol); err != nil {
		return w, nil, err
	}
	q := x.request()
	q.Draining, q.Opens = x.call.Draining, true
	sub, err = w.Subscribe(&s.gate, q)
	return w, sub, err
}

// arrive lists the client on its channels and counts what the subscription costs.
// The first name of a connection is refused to none.
func (s *subscribing) arrive(x *exchange, w *subscribe.Wish, sub *loop.Subscription) {
	s.guests.Hold(x.call.Session, x.grant, sub, w.Dialects.At(w.Dialect).Expires != nil)
	_, _ = s.guests.Arrive(x.call.Session, x.by, w.Visitor, w.Channels.List(), sub)
	x.call.Work += w.Work(sub)
}
