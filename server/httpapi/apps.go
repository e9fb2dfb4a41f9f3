package httpapi

import (
	"bytes"
	"strconv"

	"peal/server/app"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/publish"
	"peal/server/pusher/rest"
	"peal/server/refusal"
	"peal/server/response"
	"peal/server/subscribe"
	"peal/server/tally"
	"peal/server/tracecontext"
	"peal/server/workers"
)

// appsAPI serves the HTTP API of the Pusher protocol: /apps/{app}/… and /up. What it reads
// and says is in package rest.
type appsAPI struct {
	*shared
	grants map[*app.App]*grant.Grant // of the apps that have asked
}

// appRows are its routes. Their clients prove with a signature who they are.
func appRows(s *shared) []route {
	p := &appsAPI{shared: s, grants: map[*app.App]*grant.Grant{}}
	reading := "GET, HEAD"
	return []route{
		{pattern: "/apps/{app}/events", methods: "POST", action: grant.Publish, signed: true, body: manyMessages, serve: func(x *exchange) { p.publish(x, false) }},
		{pattern: "/apps/{app}/batch_events", methods: "POST", action: grant.Publish, signed: true, body: manyMessages, serve: func(x *exchange) { p.publish(x, true) }},
		{pattern: "/apps/{app}/channels", methods: reading, action: grant.Inspect, signed: true, serve: p.channels},
		{pattern: "/apps/{app}/channels/{channel}", methods: reading, action: grant.Inspect, signed: true, serve: p.channel},
		{pattern: "/apps/{app}/channels/{channel}/users", methods: reading, action: grant.Presence, signed: true, serve: p.users},
		{pattern: "/apps/{app}/users/{user}/terminate_connections", methods: "POST", action: grant.Disconnect, signed: true, serve: p.terminate},
		{pattern: "/apps/{app}/connections", methods: reading, action: grant.Inspect, signed: true, serve: p.connections},
		{pattern: "/up", methods: reading, serve: p.up},
	}
}

// inlineBody is up to which size of a body a loop publishes itself: what is longer takes
// it too long to read.
const inlineBody = 64 << 10

// publish publishes one event, or a batch of them.
func (p *appsAPI) publish(x *exchange, batch bool) {
	a, err := p.app(x)
	if err != nil {
		x.refuse(err)
		return
	}
	reply := x.pendingReply()
	c := &rest.Call{
		Traceparent: bytes.Clone(x.rareOne(tracecontext.Header)),
		Append:      publish.Append{To: &p.target, Ref: x.call.Conn, By: x.by, Way: tally.HTTP, Counter: p.counts},
		View:        p.view(a), Signed: x.signed(), Now: p.deps.Now(), Batch: batch, Request: *x.request(), Response: &reply,
	}
	if batch {
		c.Way = tally.Batch
	}
	if len(x.body) <= inlineBody {
		c.Gate, c.Names = &p.gate, p.names
		out, later := c.Run(x.call.Out)
		x.call.Work += signedWork + len(x.body)/bodyWork + c.Work()
		if later {
			x.later()
			return
		}
		x.call.Out, x.call.Verdict = out, x.shape().verdict()
		return
	}
	gate := p.gate
	c.Gate, c.Names, c.Counter = &gate, names.NewCache(p.deps.Rules), p.target.Tally
	c.Signed.Body = bytes.Clone(x.body)
	c.Request.From.Host, c.Request.From.Origin, c.Request.From.Site = nil, nil, nil // they end with this call, and were judged when the head came
	door := p.deps.Door
	err = p.deps.Workers.Try(&workers.Job{
		Share: x.by, Session: x.call.Session, Bytes: len(x.body),
		Run: func() {
			if out, later := c.Run(nil); !later {
				door.Answer(c.Ref, out)
			}
		},
		Refuse: func(err *refusal.Error) { door.Answer(c.Ref, c.Refuse(nil, err)) },
	})
	if err != nil {
		x.refuse(err)
		return
	}
	x.later()
}

// What a signed request costs a loop, in units of loop.Call.Work.
const (
	signedWork = 10
	bodyWork   = 256 // bytes to a unit: the digest and the JSON
)

// channels lists the channels that have subscribers.
func (p *appsAPI) channels(x *exchange) {
	a, err := p.verified(x)
	if err != nil {
		x.refuse(err)
		return
	}
	x.args.ParseBytes(x.head.Query)
	prefix, err := rest.ParsePrefix(x.args.Peek("filter_by_prefix"))
	if err != nil {
		x.refuse(err)
		return
	}
	w, err := x.wish(prefix)
	if err != nil {
		x.refuse(err)
		return
	}
	x.channels.Clear()
	q := x.request()
	q.Prefix = []byte(a.Namespace + prefix)
	v := p.view(a)
	p.ask(x, rest.ChannelsCost, func() []byte { return v.Channels(prefix, w) })
}

// channel tells about one channel.
func (p *appsAPI) channel(x *exchange) {
	a, name, err := p.named(x)
	if err != nil {
		x.refuse(err)
		return
	}
	x.args.ParseBytes(x.head.Query)
	w, err := x.wish(name)
	if err != nil {
		x.refuse(err)
		return
	}
	if !x.permits(x.request()) {
		return
	}
	v := p.view(a)
	x.reply(200, response.JSON, response.NoStore, v.Channel(name, w))
}

// users lists the members of a presence channel.
func (p *appsAPI) users(x *exchange) {
	a, name, err := p.named(x)
	if err == nil {
		err = rest.CheckMembers(name)
	}
	if err != nil {
		x.refuse(err)
		return
	}
	x.request()
	v := p.view(a)
	p.ask(x, rest.UsersCost, func() []byte { return v.Users(name) })
}

// terminate ends the connections on which a user is signed in, on all nodes. They may come
// back at once.
func (p *appsAPI) terminate(x *exchange) {
	a, err := p.verified(x)
	if err != nil {
		x.refuse(err)
		return
	}
	var decoded [names.MaxBytes + 1]byte
	client, err := rest.ParseUser(a, unescape(decoded[:0], x.segments[1]))
	if err != nil {
		x.refuse(err)
		return
	}
	x.channels.Clear()
	if !x.permits(x.request()) {
		return
	}
	x.call.Work += subscribe.NameWork
	clients := Clients{client: {}}
	end := x.newParting(func(*parting) []byte { return []byte("{}") })
	orders := &control{p.shared}
	orders.ban(x.by, clients, 0, end.stored)
	end.end(x, Disconnected, func(front *Front, session uint64) bool { return front.Dismiss(session, clients) })
}

// connections tells how many connections the app has, on all nodes.
func (p *appsAPI) connections(x *exchange) {
	a, err := p.verified(x)
	if err != nil {
		x.refuse(err)
		return
	}
	x.channels.Clear()
	q := x.request()
	q.Prefix = []byte(a.Namespace)
	if !x.permits(q) {
		return
	}
	n := a.Connections.Load()
	if p.deps.ConnectionsElsewhere != nil {
		n += int64(p.deps.ConnectionsElsewhere(a))
	}
	body := strconv.AppendInt([]byte(`{"connections":`), n, 10)
	x.reply(200, response.JSON, response.NoStore, append(body, '}'))
}

// up says that the server serves.
func (p *appsAPI) up(x *exchange) {
	switch {
	case p.deps.Apps.Len() == 0:
		x.refuse(rest.ErrNoApps)
	case x.call.Draining:
		x.refuse(refusal.ErrDraining)
	default:
		x.reply(200, response.JSON, response.NoStore, []byte(`{"health":"OK"}`))
	}
}

// ask has a worker make the body, if the app may have it.
func (p *appsAPI) ask(x *exchange, cost int, body func() []byte) {
	q := &x.asked
	if !x.permits(q) {
		return
	}
	reply := x.pendingReply()
	if err := p.desk.Ask(q.Who, x.call.Conn, &reply, cost, body); err != nil {
		x.refuse(err)
		return
	}
	x.later()
}

func (p *appsAPI) view(a *app.App) rest.View {
	return rest.View{App: a, Hub: p.deps.Hub, Presence: p.deps.Presence}
}

// app returns the app that the path names, and makes its backend the client of the
// request. Nothing is verified yet.
func (p *appsAPI) app(x *exchange) (*app.App, *refusal.Error) {
	if p.deps.Apps.Len() == 0 {
		return nil, rest.ErrNoApps
	}
	a := p.deps.Apps.ByID(string(x.segments[0]))
	if a == nil {
		return nil, rest.ErrNoApp
	}
	if x.grant = p.grants[a]; x.grant == nil {
		if len(p.grants) >= app.Most { // of earlier tables
			clear(p.grants)
		}
		x.grant = rest.Grant(a)
		p.grants[a] = x.grant
	}
	return a, nil
}

// verified is app for a request without events, whose signature it verifies.
func (p *appsAPI) verified(x *exchange) (*app.App, *refusal.Error) {
	a, err := p.app(x)
	if err != nil {
		return nil, err
	}
	x.call.Work += signedWork + len(x.body)/bodyWork
	return a, rest.Verify(a, x.signed(), p.deps.Now())
}

// named is verified for a path with a channel, which is then the one of the exchange. name
// is as clients of the app have it.
func (p *appsAPI) named(x *exchange) (a *app.App, name string, err *refusal.Error) {
	if a, err = p.verified(x); err != nil {
		return nil, "", err
	}
	var decoded [names.MaxBytes + 1]byte
	if name, err = rest.ParseChannel(unescape(decoded[:0], x.segments[1])); err != nil {
		return nil, "", err
	}
	x.channels.Reset(x.names, 1)
	return a, name, x.channels.Add([]byte(a.Namespace + name))
}

// signed is what the signature of the request is about. Its body is lent.
func (x *exchange) signed() app.Request {
	return app.Request{Method: string(x.head.Method), Path: string(x.head.Path), RawQuery: string(x.head.Query), Body: x.body}
}

// wish reads info, about a channel or all whose names begin so.
func (x *exchange) wish(name string) (rest.Wish, *refusal.Error) {
	w, err := rest.ParseWish(x.args.Peek("info"))
	if err != nil {
		return 0, err
	}
	return w, w.Check(name)
}
