package httpapi

import (
	"peal/loop"
	"peal/loop/frame"
	"peal/server/dialect"
	"peal/server/pusher"
	"peal/server/pusher/rest"
	"peal/server/pusher/xhr"
	"peal/server/refusal"
	"peal/server/response"
)

// streaming serves the Pusher protocol for browsers behind a proxy that refuses
// WebSockets: /pusher/app/{key}/…, the xhr_streaming of pusher-js. What clients send is carried out by the
// room that WebSockets have, too.
type streaming struct {
	*shared
	sockets *pushing // whose checks of the URL these are
}

// xhrRows are its routes.
func xhrRows(s *shared) []route {
	p := &streaming{s, &pushing{s}}
	const session = "/pusher/app/{key}/{server}/{session}/"
	return []route{
		{pattern: session + "xhr_streaming", methods: "POST", serve: p.open, refuse: p.refuseOpen},
		{pattern: session + "xhr_send", methods: "POST", serve: p.send},
	}
}

// Found in requests about sessions.
var (
	errNoSession   = &refusal.Error{Status: 404, Code: "unknown_session", Message: "there is no open session of that name and key on this server: open one with xhr_streaming; several servers need sticky sessions for /pusher/app"}
	errSessionName = &refusal.Error{Status: 404, Code: "unknown_session", Message: "the path of a session is /pusher/app/KEY/SERVER/SESSION/xhr_streaming, SERVER a number of at most 3 digits, SESSION 8 to 32 letters and digits"}
	errSessionBusy = &refusal.Error{Status: 429, Code: "busy", Message: "too many messages of this session wait: send the next one when the server has responded to those before"}
)

// codeReopen has a client connect again at once, with a session of another name.
const codeReopen = 4200

// session is the name of the session in the path. If ok is false, the request has been refused.
func (p *streaming) session(x *exchange) (name xhr.Name, ok bool) {
	if p.deps.Apps.Len() == 0 {
		x.refuse(rest.ErrNoApps)
		return name, false
	}
	if name, ok = xhr.ParseName(x.segments[0], x.segments[1], x.segments[2]); !ok {
		x.refuse(errSessionName)
	}
	return name, ok
}

// open opens a session: the connection is its stream of lines from then on. What is
// wrong with the URL comes as lines, for clients read nothing of a response that is not 200.
func (p *streaming) open(x *exchange) {
	name, ok := p.session(x)
	if !ok {
		return
	}
	a, _, err := p.sockets.read(x)
	if err == nil {
		err = p.sockets.admit(x, a)
	}
	if err != nil {
		p.refuse(x, err)
		return
	}
	c := x.call
	if other := p.deps.Streams.Open(name, c.Session, c.Conn, p.pusher); other != nil {
		// The client opens it anew, or somebody has guessed its name: neither gets the other's.
		p.deps.Door.Do(other.Ref, func(c loop.Client) { c.Close(frame.CloseTryAgainLater, "opened anew") })
		p.end(x, codeReopen, "the session was open: connect again")
		return
	}
	sub := p.deps.Dialects.Subscription(dialect.PusherXHR, 0)
	p.pusher.Arrive(c.Session, a, sub)
	c.Out = append(x.appendXHRHead(c.Out), xhr.Opened...)
	c.Verdict, c.Sub = loop.Stream, sub
}

// appendXHRHead begins a stream of lines: see appendSSEHead.
func (x *exchange) appendXHRHead(dst []byte) []byte {
	h := response.Head{
		Status: 200, Type: "application/javascript; charset=utf-8", Size: response.Endless, Close: true,
		Origin: x.cors, Lines: response.NoStore + "X-Accel-Buffering: no\r\n",
	}
	return response.End(h.AppendLines(dst))
}

// refuse ends a session that has just opened.
func (p *streaming) refuse(x *exchange, err *refusal.Error) {
	p.counts.Refuse(err)
	p.end(x, pusher.CloseCode(err.CloseCode()), err.Code+": "+err.Message)
}

// end opens a session and ends it.
func (p *streaming) end(x *exchange, code uint16, reason string) {
	c := x.call
	c.Out = append(x.appendXHRHead(c.Out), xhr.Opened...)
	c.Out = xhr.AppendLines(c.Out, pusher.AppendError(nil, int(code), reason))
	c.Out = xhr.AppendLines(c.Out, frame.AppendClose(nil, code, reason))
	c.Verdict = loop.ReplyClose
}

// refuseOpen refuses a connection that is here for that only.
func (p *streaming) refuseOpen(x *exchange, err *refusal.Error) bool {
	if string(x.head.Method) != "POST" {
		return false
	}
	p.refuse(x, err)
	return true
}

// send has the messages of a client carried out on the loop of its session.
func (p *streaming) send(x *exchange) {
	name, ok := p.session(x)
	if !ok {
		return
	}
	s := p.deps.Streams.Find(name)
	if s == nil {
		x.refuse(errNoSession)
		return
	}
	messages, err := xhr.ParseSend(&x.json, x.body)
	if err != nil {
		x.refuse(err)
		return
	}
	if !s.Enter(max(1, len(messages))) {
		x.refuse(errSessionBusy)
		return
	}
	if len(messages) == 0 { // it asks for a sign of life
		p.deps.Door.Do(s.Ref, func(c loop.Client) {
			s.Done(1)
			c.Write([]byte(xhr.Beat))
		})
	}
	for _, m := range messages { // each by itself: the one before may have ended the session
		p.deps.Door.Do(s.Ref, func(c loop.Client) {
			s.Done(1)
			s.Room.Message(xhr.Client{Client: c}, false, m)
		})
	}
	x.reply(204, "", response.NoStore, nil)
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
