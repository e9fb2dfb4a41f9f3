package httpapi

import (
	"peal/server/look"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/response"
	"peal/server/subscribe"
)

// looking serves /channels and what is below it. The bodies are package look's.
type looking struct{ *shared }

// channels lists channels by name.
func (l *looking) channels(x *exchange) {
	if err := x.query(); err != nil {
		x.refuse(err)
		return
	}
	p := &x.params
	limit, err := look.ParseLimit(p.limit)
	if err != nil {
		x.refuse(err)
		return
	}
	x.channels.Clear() // it is about all
	x.asked.Prefix = p.prefix
	prefix, after := string(p.prefix), string(p.after)
	gate, who := x.gate, permit.Principal{Grant: x.grant}
	hides := func(channel string) bool { return gate.Hides(&who, channel) }
	l.ask(x, look.ChannelsCost, false, func() []byte { return l.desk.Channels(prefix, after, limit, hides) })
}

// channel tells about one channel.
func (l *looking) channel(x *exchange) {
	n, err := l.query(x)
	if err != nil {
		x.refuse(err)
		return
	}
	q := x.request()
	if !x.permits(q) {
		return
	}
	x.reply(200, response.JSON, response.NoStore, l.desk.Channel(n.Text()))
}

// history returns what is retained of a channel after the cursor, or the newest
// messages.
func (l *looking) history(x *exchange) {
	n, err := l.query(x)
	if err != nil {
		x.refuse(err)
		return
	}
	start, err := subscribe.NewStart(l.deps.Log, x.params.cursor, x.params.last, 1)
	if err != nil {
		x.refuse(err)
		return
	}
	h, err := look.NewHistory(n.Text(), start, x.params.limit)
	if err != nil {
		x.refuse(err)
		return
	}
	if h.LeftOut, err = x.session(); err != nil {
		x.refuse(err)
		return
	}
	l.ask(x, h.Cost(), start.Behind, func() []byte { return l.desk.History(h) })
}

// presence lists the members of a channel.
func (l *looking) presence(x *exchange) {
	n, err := l.query(x)
	if err != nil {
		x.refuse(err)
		return
	}
	limit, err := look.ParseLimit(x.params.limit)
	if err != nil {
		x.refuse(err)
		return
	}
	after := string(x.params.after)
	l.ask(x, look.MembersCost(limit), false, func() []byte { return l.desk.Members(n.Text(), after, limit) })
}

// query reads a request whose path names the channel, which is then the only one
// of the exchange.
func (l *looking) query(x *exchange) (*names.Name, *refusal.Error) {
	n, err := x.pathChannel()
	if err != nil {
		return nil, err
	}
	if err := x.query(); err != nil {
		return nil, err
	}
	for _, other := range x.channels.List() {
		if other.Text() != n.Text() {
			return nil, refusal.Contradiction("channel", "the path and the query name different ones: the path is enough")
		}
	}
	x.channels.Clear()
	x.channels.AddKnown(n.Text())
	return n, nil
}

// ask has a worker make the body, which costs about so many microseconds, if the
// client may have it. behind is permit.Request.Behind.
func (l *looking) ask(x *exchange, cost int, behind bool, body func() []byte) {
	q := x.request()
	q.Behind = behind
	if !x.permits(q) {
		return
	}
	reply := x.pendingReply()
	if err := l.desk.Ask(q.Who, x.call.Conn, &reply, cost, body); err != nil {
		x.refuse(err)
		return
	}
	x.later()
}
