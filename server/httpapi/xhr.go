package httpapi

import (
	"peal/loop"
	"peal/loop/frame"
	"peal/server/app"
	"peal/server/dialect"
	"peal/server/pusher"
	"peal/server/pusher/rest"
	"peal/server/pusher/xhr"
	"peal/server/refusal"
	"peal/server/response"
)

// Adopter makes sockets of this process streams of its loops: a loop.Group. See there.
type Adopter interface {
	Adopt(loop uint16, a loop.Arrival, begin func(ref loop.Ref, session uint64) *loop.Subscription)
}

// fallback serves the Pusher protocol for browsers behind a proxy that refuses
// WebSockets: /pusher/app/{key}/…, the xhr_streaming and xhr_polling of pusher-js. What clients send is
// carried out by the room that WebSockets have, too.
type fallback struct {
	*shared
	sockets *pushing // whose checks of the URL these are
}

// Paths of a session.
const (
	xhrSession = "/pusher/app/{key}/{server}/{session}/"
	xhrOpen    = xhrSession + "xhr_streaming"
	xhrPoll    = xhrSession + "xhr"
)

// xhrRows are its routes.
func xhrRows(s *shared) []route {
	p := &fallback{s, &pushing{s}}
	return []route{
		{pattern: xhrOpen, methods: "POST", serve: p.stream, refuse: p.refuseStream},
		{pattern: xhrPoll, methods: "POST", serve: p.poll, refuse: p.refusePoll},
		{pattern: xhrSession + "xhr_send", methods: "POST", serve: p.send},
	}
}

// Found in requests about sessions.
var (
	errNoSession   = &refusal.Error{Status: 404, Code: "unknown_session", Message: "there is no open session of that name and key on this server: open one with xhr_streaming or xhr; several servers need sticky sessions for /pusher/app"}
	errSessionName = &refusal.Error{Status: 404, Code: "unknown_session", Message: "the path of a session is /pusher/app/KEY/SERVER/SESSION/xhr_streaming, or …/xhr, SERVER a number of at most 3 digits, SESSION 8 to 32 letters and digits"}
	errSessionBusy = &refusal.Error{Status: 429, Code: "busy", Message: "too many messages of this session wait: send the next one when the server has responded to those before"}
)

// codeReopen has a client connect again at once, with a session of another name.
const codeReopen = 4200

// session is the name of the session in the path. If ok is false, the request has been refused.
func (p *fallback) session(x *exchange) (name xhr.Name, ok bool) {
	if p.deps.Apps.Len() == 0 || p.deps.Adopter == nil {
		x.refuse(rest.ErrNoApps)
		return name, false
	}
	if name, ok = xhr.ParseName(x.segments[0], x.segments[1], x.segments[2]); !ok {
		x.refuse(errSessionName)
	}
	return name, ok
}

// stream opens a session or goes on with it: the connection is a stream of its lines from then
// on. What is wrong comes as lines, for clients read nothing of a response that is not 200.
func (p *fallback) stream(x *exchange) {
	c := x.call
	if !p.receive(x, &xhr.Receiver{Number: c.Session, Ref: c.Conn}, p.end) {
		return
	}
	sub := p.deps.Dialects.Subscription(dialect.PusherReceiver, 0)
	sub.Named = true
	c.Out = x.appendXHRHead(c.Out)
	c.Verdict, c.Sub = loop.Stream, sub
}

// poll opens a session or goes on with it: the response has the next lines.
func (p *fallback) poll(x *exchange) {
	c, reply := x.call, x.pendingReply()
	r := &xhr.Receiver{Number: c.Session, Ref: c.Conn, Respond: func(lines []byte) []byte {
		return reply.shape.append(nil, reply.clock.Date(), 200, xhrType, response.NoStore, lines)
	}}
	if p.receive(x, r, p.endPoll) {
		x.later()
		if c.Ended {
			p.deps.Streams.Ended(c.Session)
		}
	}
}

// receive makes r the receiver of the session in the path, and opens it if there is none.
// If it reports false, the request has been answered, by refuse perhaps.
func (p *fallback) receive(x *exchange, r *xhr.Receiver, refuse func(x *exchange, code uint16, reason string)) bool {
	name, ok := p.session(x)
	if !ok {
		return false
	}
	origin := string(x.head.Origin)
	if s := p.deps.Streams.Find(name, origin); s != nil {
		if p.deps.Streams.Receive(s, r) {
			return true
		}
		// Somebody has guessed its name: nobody is to have what is another's.
		s.End()
		refuse(x, codeReopen, "the session was open: connect again")
		return false
	}
	a, _, err := p.sockets.read(x)
	if err == nil {
		err = p.sockets.admit(x, a)
	}
	if x.asks(err) {
		return false
	}
	taken := false
	if err == nil {
		taken, err = p.deps.Streams.Open(name, origin, x.by, r, p.start(x, a))
	}
	if err != nil {
		p.counts.Refuse(err)
		refuse(x, pusher.CloseCode(err.CloseCode()), err.Code+": "+err.Message)
		return false
	}
	if taken { // by a page of another origin
		refuse(x, codeReopen, "the session was open: connect again")
	}
	return !taken
}

// start makes a socket the stream of a session, on this loop and with the address of the client.
func (p *fallback) start(x *exchange, a *app.App) xhr.Start {
	number, arrival := x.call.Conn.Loop, loop.Arrival{Peer: x.client, Secure: x.https}
	brought := x.brought()
	return func(s *xhr.Session, socket int) {
		arrival.Socket = int32(socket)
		p.deps.Adopter.Adopt(number, arrival, func(ref loop.Ref, session uint64) *loop.Subscription {
			s.Begun(ref, p.pusher)
			sub := p.deps.Dialects.Subscription(dialect.PusherXHR, 0)
			p.pusher.Arrive(session, a, sub)
			p.guests.Bring(session, brought, sub)
			return sub
		})
	}
}

const xhrType = "application/javascript; charset=utf-8"

// appendXHRHead begins a stream of lines: see appendSSEHead.
func (x *exchange) appendXHRHead(dst []byte) []byte {
	h := response.Head{
		Status: 200, Type: xhrType, Size: response.Endless, Close: true,
		Origin: x.cors, Lines: response.NoStore + "X-Accel-Buffering: no\r\n",
	}
	return response.End(h.AppendLines(dst))
}

// appendEnd appends the lines of a session that opens and ends.
func appendEnd(dst []byte, code uint16, reason string) []byte {
	dst = append(dst, xhr.Opened...)
	dst = xhr.AppendLines(dst, pusher.AppendError(nil, int(code), reason))
	return xhr.AppendLines(dst, frame.AppendClose(nil, code, reason))
}

// end responds with a stream that ends.
func (p *fallback) end(x *exchange, code uint16, reason string) {
	c := x.call
	c.Out = appendEnd(x.appendXHRHead(c.Out), code, reason)
	c.Verdict = loop.ReplyClose
}

// endPoll responds to a poll with an end.
func (p *fallback) endPoll(x *exchange, code uint16, reason string) {
	x.reply(200, xhrType, response.NoStore, appendEnd(nil, code, reason))
}

// refuseStream and refusePoll refuse a connection that is here for that only.
func (p *fallback) refuseStream(x *exchange, err *refusal.Error) bool {
	return p.refuseWith(x, err, p.end)
}

func (p *fallback) refusePoll(x *exchange, err *refusal.Error) bool {
	return p.refuseWith(x, err, p.endPoll)
}

func (p *fallback) refuseWith(x *exchange, err *refusal.Error, end func(x *exchange, code uint16, reason string)) bool {
	if string(x.head.Method) != "POST" {
		return false
	}
	p.counts.Refuse(err)
	end(x, pusher.CloseCode(err.CloseCode()), err.Code+": "+err.Message)
	return true
}

// send has the messages of a client carried out on the loop of its session.
func (p *fallback) send(x *exchange) {
	name, ok := p.session(x)
	if !ok {
		return
	}
	s := p.deps.Streams.Find(name, string(x.head.Origin))
	if s == nil {
		x.refuse(errNoSession)
		return
	}
	messages, err := xhr.ParseSend(&x.json, x.body)
	if err != nil {
		x.refuse(err)
		return
	}
	if !s.Enter(max(1, len(messages)), len(x.body)) {
		x.refuse(errSessionBusy)
		return
	}
	p.carryOut(s, messages, len(x.body))
	x.reply(204, "", response.NoStore, nil)
}

// carryOut has messages carried out that have entered a session with so many bytes. An empty array
// asks for a sign of life.
func (p *fallback) carryOut(s *xhr.Session, messages [][]byte, size int) {
	ref, room := s.Stream()
	if len(messages) == 0 {
		messages = [][]byte{nil}
	}
	for _, m := range messages { // each by itself: the one before may have ended the session
		bytes := size
		size = 0
		p.deps.Door.Do(ref, func(c loop.Client) {
			s.Done(bytes)
			if m == nil {
				c.Write([]byte(xhr.Beat))
				return
			}
			room.Message(xhr.Client{Client: c}, false, m)
		})
	}
}

// clientOf is the client as its room writes to it.
func (s *shared) clientOf(c loop.Client) loop.Client {
	if s.deps.Dialects.At(c.Dialect()).Framing == loop.EventStream {
		return xhr.Client{Client: c}
	}
	return c
}

// frameDoor is the door of a room that writes frames.
type frameDoor struct{ *shared }

func (d frameDoor) Do(ref loop.Ref, f func(c loop.Client)) {
	d.deps.Door.Do(ref, func(c loop.Client) { f(d.clientOf(c)) })
}
