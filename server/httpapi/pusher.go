package httpapi

import (
	"strconv"

	"peal/loop"
	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/app"
	"peal/server/dialect"
	"peal/server/permit"
	"peal/server/pusher"
	"peal/server/pusher/rest"
	"peal/server/refusal"
	"peal/server/subscribe"
)

// pushing serves /app/{key}, the WebSocket of the Pusher Channels protocol. What its clients
// send is for package room.
type pushing struct{ *shared }

// Found in the URL of a Pusher client. Clients see a close code and not the status of HTTP.
var (
	errAppKey     = &refusal.Error{Status: 404, Code: "unknown_app", Message: "no app has this key: check the key of the app in the client and in the configuration of the server", Close: pusher.CodeNoApp}
	errAppFull    = &refusal.Error{Status: 429, Code: "too_many_connections", Message: "the app has as many connections as it may have on this server (max-connections of the app): try again later", Close: pusher.CodeAgain}
	errNoProtocol = &refusal.Error{Status: 400, Code: "bad_protocol", Message: "the URL names no version of the protocol: add protocol=7", Close: pusher.CodeNoVersion}
	errNoNumber   = &refusal.Error{Status: 400, Code: "bad_protocol", Message: "the version of the protocol must be a number: use protocol=7", Close: pusher.CodeBadVersion}
	errProtocol   = &refusal.Error{Status: 400, Code: "bad_protocol", Message: "this version of the protocol is not supported: use protocol=7", Close: pusher.CodeVersion}
)

// Versions of the protocol whose messages are those of version 7 as far as the server
// is concerned.
const oldestProtocol, newestProtocol = 5, 7

// webSocket makes the connection a WebSocket of an app. What is wrong with the URL comes as
// pusher:error and a close frame behind the 101, for clients read nothing else.
func (p *pushing) webSocket(x *exchange) {
	if p.deps.Apps.Len() == 0 {
		x.refuse(rest.ErrNoApps)
		return
	}
	up := x.upgrade()
	if err := up.Check(); err != nil {
		x.refuseHandshake(err)
		return
	}
	a, k, err := p.read(x)
	if err == nil {
		err = p.admit(x, a)
	}
	if x.asks(err) {
		return
	}
	if err != nil {
		p.refuse(x, err)
		return
	}
	sub := p.deps.Dialects.Subscription(k, 0)
	p.pusher.Arrive(x.call.Session, a, sub)
	x.remember(sub)
	var space [extensionBytes]byte
	w := subscribe.Wish{Channels: &x.channels, Dialects: p.deps.Dialects}
	lines := (&subscribing{p.shared}).deflate(x, &w, sub).AppendLine(space[:0])
	x.call.Out = frame.AppendSwitching(x.call.Out, up.Key, "", lines)
	x.call.Verdict, x.call.Sub = loop.Stream, sub
}

// read finds the app and the row of the table for the URL.
func (p *pushing) read(x *exchange) (a *app.App, k ring.Encoding, _ *refusal.Error) {
	if a = p.deps.Apps.ByKey(x.segments[0]); a == nil {
		return nil, 0, errAppKey
	}
	k = dialect.Pusher
	version, found := 0, false
	x.args.ParseBytes(x.head.Query)
	for name, value := range x.args.All() {
		switch string(name) {
		case "protocol":
			n, err := strconv.Atoi(string(value))
			if err != nil {
				return nil, 0, errNoNumber
			}
			version, found = n, true
		case "peal":
			if string(value) == "1" {
				k = dialect.PusherCursors
			}
		}
	}
	switch {
	case !found:
		return nil, 0, errNoProtocol
	case version < oldestProtocol || version > newestProtocol:
		return nil, 0, errProtocol
	}
	return a, k, nil
}

// admit finds out whether there is room for one more connection of the app.
func (p *pushing) admit(x *exchange, a *app.App) *refusal.Error {
	x.channels.Reset(x.names, x.deps.ChannelLimit)
	q := x.request()
	q.Action, q.Draining, q.Opens = permit.Subscribe, x.call.Draining, true
	if err := x.gate.Decide(q); err != nil {
		return err
	}
	if a.MaxConnections > 0 && a.Connections.Load() >= int64(a.MaxConnections) {
		return errAppFull
	}
	return nil
}

// refuse ends a WebSocket that has just opened.
func (p *pushing) refuse(x *exchange, err *refusal.Error) {
	up := x.upgrade()
	code, text := pusher.CloseCode(err.CloseCode()), err.Code+": "+err.Message
	p.counts.Refuse(err)
	p.counts.Close(code)
	c := x.call
	c.Out = frame.AppendSwitching(c.Out, up.Key, "", nil)
	c.Out = pusher.AppendError(c.Out, int(code), text)
	c.Out = frame.AppendClose(c.Out, code, text)
	c.Verdict = loop.ReplyClose
}

// refuseSocket refuses a connection that is here for that only.
func (p *pushing) refuseSocket(x *exchange, err *refusal.Error) bool {
	up := x.upgrade()
	if up.Check() != nil {
		return false
	}
	p.refuse(x, err)
	return true
}

// The end of a connection whose app a reload has removed.
var appRemoved = NewEnding(errAppKey, "the app was removed from the configuration, or has another key, secret or namespace")

// Unserved returns the end of the connection of that session if its app is no longer served. It must
// follow.
func (f *Front) Unserved(session uint64) *loop.Ending {
	if f.pusher.Gone(session) {
		return appRemoved
	}
	return nil
}

// The end of a connection that reads a channel which is protected now.
var nowProtected = NewEnding(permit.ErrProtected, "the channel is a private or presence channel of an app that was added to the configuration")

// Ungranted returns the end of the connection of that session if it has channels which are protected and
// which it was not granted. Those of the Pusher protocol have a signature.
func (f *Front) Ungranted(session uint64, channels []string) *loop.Ending {
	if f.pusher.Has(session) {
		return nil
	}
	who := f.guests.Grant(session)
	for _, channel := range channels {
		if !f.gate.Grants(who, channel) {
			return nowProtected
		}
	}
	return nil
}

// Recount tells clients of the Pusher protocol the numbers of subscribers that have changed. On its
// loop's goroutine.
func (f *Front) Recount() { f.pusher.Recount(f.deps.Monotonic()) }
