package command

import (
	"slices"

	"peal/loop"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/subscribe"
	"peal/server/talk"
)

var errAlreadySubscribed = &refusal.Error{Status: 400, Code: "already_subscribed", Message: "this connection is already subscribed to the channel: unsubscribe first to start from another cursor"}

// errLeaving refuses a subscription for which the backend was asked, and whose client has ended
// its side of the connection meanwhile.
var errLeaving = refusal.Bad("bad_command", "the client has ended its side of the connection: keep it open until the reply to subscribe has come")

// start reads where a subscription or a page of history begins.
func (r *Room) start(cmd *talk.Command) (subscribe.Start, *refusal.Error) {
	cursor, err := cmd.Text("cursor")
	if err != nil {
		return subscribe.Start{}, err
	}
	last := cmd.Digits("last")
	if len(cursor) > 0 && len(last) > 0 {
		return subscribe.Start{}, subscribe.ErrCursorAndLast
	}
	return subscribe.NewStart(r.Starts, cursor, last, r.channels.Len())
}

func (r *Room) subscribe(c loop.Client, l *talk.Language, cmd *talk.Command) *refusal.Error {
	w, err := r.wish(c, cmd)
	if err != nil {
		return err
	}
	r.has = c.Channels(r.has[:0])
	for _, n := range r.channels.List() {
		if _, already := slices.BinarySearch(r.has, n.Text()); already {
			return errAlreadySubscribed
		}
	}
	q := r.request(c, permit.Subscribe)
	q.Has = names.CountClients(r.has)
	s, err := w.Subscribe(r.Gate, &q)
	r.call = q.Call
	switch {
	case err != nil:
		return err
	case c.Leaving():
		return errLeaving
	}
	unlisted, err := r.Guests.Arrive(c.Session(), q.Who.Share, w.Visitor, r.channels.List(), s)
	if err != nil {
		return err
	}
	c.Spend(subscribe.NameWork*len(r.has) + w.Work(s))
	start := c.Subscribe(s)
	c.Write(l.Subscribed(nil, cmd.ID, r.cursor(start), unlisted))
	return nil
}

// wish reads what a subscribe asks for.
func (r *Room) wish(c loop.Client, cmd *talk.Command) (w subscribe.Wish, err *refusal.Error) {
	w = subscribe.Wish{Channels: &r.channels, Dialects: r.Dialects, Dialect: c.Dialect()}
	if w.Start, err = r.start(cmd); err != nil {
		return w, err
	}
	client, err := cmd.Text("client")
	if err != nil {
		return w, err
	}
	if w.Presence, err = cmd.Switch("presence"); err != nil {
		return w, err
	}
	if w.Visitor, err = subscribe.NewVisitor(client, publish.Text(cmd.Value("info")), r.Guests.Grant(c.Session())); err != nil {
		return w, err
	}
	if err := r.keepName(c, &w.Visitor); err != nil {
		return w, err
	}
	return w, w.Check()
}

// keepName gives a visitor without a name the first one of its connection.
func (r *Room) keepName(c loop.Client, v *subscribe.Visitor) *refusal.Error {
	g := r.Guests.Of(c.Session())
	switch {
	case g == nil:
	case len(v.Client) == 0:
		v.Client = []byte(g.Client())
		if v.Info == nil {
			v.Info = []byte(g.Info())
		}
	case g.ByURL && string(v.Client) != g.Client():
		return refusal.Contradiction("client", "this connection named another one in its URL: name it in one place, or connect anew")
	}
	return nil
}

// unsubscribe takes the channels from the client, and their presence events.
func (r *Room) unsubscribe(c loop.Client, l *talk.Language, cmd *talk.Command) {
	at := r.covered(c) // while it still has them: a client may take it for the cursor of what it leaves
	c.Spend(subscribe.SeatWork * r.channels.Len())
	r.Guests.Leave(c.Session(), r.channels.List())
	var all []string
	for _, n := range r.channels.List() {
		all = append(all, n.Watched()...)
	}
	c.Unsubscribe(all)
	c.Write(l.Done(nil, cmd.ID, at))
}
