package room

import (
	"slices"
	"strings"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/app"
	"peal/server/log"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/publication"
	"peal/server/pusher"
	"peal/server/refusal"
	"peal/server/subscribe"
)

// Kinds of pusher:subscription_error, for programs.
const (
	kindAuth    = "AuthError"
	kindChannel = "InvalidChannel"
	kindLimit   = "LimitReached"
	kindServer  = "ServerError"
)

// Found in subscriptions.
var (
	errChannel   = &refusal.Error{Status: 400, Code: "bad_channel", Message: "the name of a channel is at most 164 letters, digits and _-=@,.; and may begin with #"}
	errSignature = &refusal.Error{Status: 401, Code: "signature_invalid", Message: "the signature of this channel (auth) is wrong: the backend must sign the socket_id of this connection, the channel and channel_data with the secret of this app"}
	errSignIn    = &refusal.Error{Status: 401, Code: "signature_invalid", Message: "this channel is for the user that has signed in: send pusher:signin first"}
	errUser      = &refusal.Error{Status: 400, Code: "bad_client", Message: "channel_data must be a JSON object with user_id, a text of 1 to 128 bytes or a number, and user_info of at most 1024 bytes"}
	errMember    = &refusal.Error{Status: 403, Code: "client_mismatch", Message: "this connection is on the presence channel as another member: unsubscribe first"}
	errMembers   = &refusal.Error{Status: 429, Code: "presence_full", Message: "the presence channel has as many members as its app allows (max-members)"}
	errLeaving   = refusal.Bad("bad_command", "the client has ended its side of the connection: keep it open until the subscription has succeeded")
	errBusy      = &refusal.Error{Status: 429, Code: "presence_full", Message: "there is no room for another member (presence-members, presence-bytes, address-share): try again later"}
)

// kindOf is the kind of an error.
func kindOf(err *refusal.Error) string {
	switch {
	case err == errChannel || err == names.ErrName:
		return kindChannel
	case err.Status == 401 || err.Status == 403:
		return kindAuth
	case err.Status == 429 || err == names.ErrTooMany:
		return kindLimit
	}
	return kindServer
}

// subscribe carries out pusher:subscribe. It returns ErrAsk, having done nothing, if the
// backend must be asked.
func (r *Room) subscribe(c loop.Client, k *connection, m *pusher.Subscribe) *refusal.Error {
	err := errChannel
	if app.IsName(m.Channel) {
		err = r.trySubscribe(c, k, m)
	}
	switch {
	case err == nil:
	case err == permit.ErrAsk:
		return err
	case err == permit.ErrDisconnected:
		r.Counts.Refuse(err)
		c.Close(err.CloseCode(), err.Code+": "+err.Message)
	case len(m.Channel) > names.MaxBytes:
		r.refuse(c, pusher.CodeBadMessage, err)
	default:
		r.Counts.Refuse(err)
		c.Write(pusher.AppendRefused(nil, string(m.Channel), kindOf(err), err.Code+": "+err.Message, err.Status))
	}
	return nil
}

func (r *Room) trySubscribe(c loop.Client, k *connection, m *pusher.Subscribe) *refusal.Error {
	n, err := r.name(k, m.Channel)
	if err != nil {
		return err
	}
	name := app.Name(n.Text())
	granted, err := r.granted(c, k, n, name, m)
	if err != nil {
		return err
	}
	w := subscribe.Wish{Channels: &r.channels, Dialects: r.Dialects, Dialect: c.Dialect()}
	if w.Start, err = subscribe.NewStart(r.Starts, m.Cursor, nil, 1); err != nil {
		return err
	}
	if len(m.Cursor) == 0 && app.HasCache(name) {
		w.Start = subscribe.Start{From: fanout.Last, Count: 1}
	}
	if isPresence(name) {
		if w.Visitor, err = r.visitor(k, m.ChannelData); err != nil {
			return err
		}
		w.Presence = true
		id := [16]byte(r.Sessions.Of(c.Session()))
		w.Visitor.Self = &id
	}
	if err := w.Check(); err != nil {
		return err
	}
	on := r.isOn(c, n)
	q := r.request(c, permit.Subscribe, granted)
	q.Has = names.CountClients(r.has)
	if on {
		q.Has--
	}
	s, err := w.Subscribe(r.Gate, &q)
	r.call = q.Call
	switch {
	case err != nil:
		return err
	case c.Leaving(): // while the backend was asked
		return errLeaving
	}
	c.Spend(subscribe.NameWork*len(r.has) + w.Work(s))
	if err := r.sit(c, k, n, &w, &q, s); err != nil {
		return err
	}
	start := r.Desk.Hub.Head()
	if !on {
		start = r.begin(c, n, &w, s)
	}
	at := r.cursor(c, start)
	if w.Presence {
		b := pusher.AppendMembers(nil, name, k.app.Namespace, r.members(c, k, n, &w), at)
		c.Spend(len(b) / memberBytes)
		c.Write(b)
	} else {
		r.write(c, pusher.AppendSubscribed(r.out, name, at))
	}
	r.tellMore(c, k, n, name, w.Start.From == fanout.Last && !on)
	return nil
}

// tellMore writes what follows the reply to a subscription: that there is no last event of a
// channel that should have one, and the number of subscribers.
func (r *Room) tellMore(c loop.Client, k *connection, n *names.Name, name string, wantsLast bool) {
	counts := k.app.SubscriptionCount && !isPresence(name)
	if !wantsLast && !counts {
		return
	}
	info, _ := r.Desk.Hub.Channel(n.Text())
	if wantsLast && info.Messages == 0 {
		c.Write(pusher.AppendCacheMiss(nil, name))
		if r.Missed != nil {
			r.Missed(n.Text())
		}
	}
	if counts {
		c.Write(pusher.AppendCount(nil, name, info.Subscribers))
		r.counting.add(c, n.Text(), info.Subscribers)
	}
}

// begin subscribes the client to the channel, and from now on to its presence: the list of members
// comes with the reply, so there is nothing to resume.
func (r *Room) begin(c loop.Client, n *names.Name, w *subscribe.Wish, s *loop.Subscription) (start uint64) {
	s.Channels = n.Alone()
	start = c.Subscribe(s)
	if w.Presence {
		p := r.Dialects.Subscription(c.Dialect(), 1)
		p.Channels, p.From, p.Named = []string{log.PresencePrefix + n.Text()}, fanout.Now, s.Named
		c.Subscribe(p)
	}
	return start
}

// granted reports whether the app grants the channel, by a signature or because it is public, or
// why it does not.
func (r *Room) granted(c loop.Client, k *connection, n *names.Name, name string, m *pusher.Subscribe) (bool, *refusal.Error) {
	if user, ok := strings.CutPrefix(name, app.User); ok {
		if k.user == "" || k.user != k.app.Namespace+user {
			return false, errSignIn
		}
		return true, nil
	}
	if !app.IsProtected(name) {
		return k.app.Public && !n.Rule().RestrictsSubscribers(), nil
	}
	c.Spend(signWork)
	data := m.ChannelData
	if !isPresence(name) && len(data) == 0 {
		data = nil
	}
	if !k.app.SignsChannel(m.Auth, r.socketID(c), m.Channel, data) {
		return false, errSignature
	}
	return true, nil
}

func isPresence(name string) bool { return strings.HasPrefix(name, app.Presence) }

// visitor reads channel_data: a member's client name begins with the namespace of the app.
func (r *Room) visitor(k *connection, data []byte) (subscribe.Visitor, *refusal.Error) {
	u, ok := r.parser.ParseUser(data, "user_id")
	v := subscribe.Visitor{Client: append([]byte(k.app.Namespace), u.ID...), Info: u.Info}
	if !ok || v.Check() != nil {
		return v, errUser
	}
	return v, nil
}

// sit lists the client on a presence channel.
func (r *Room) sit(c loop.Client, k *connection, n *names.Name, w *subscribe.Wish, q *permit.Request, s *loop.Subscription) *refusal.Error {
	if !w.Presence {
		return nil
	}
	if guest := r.Guests.Of(c.Session()); guest != nil {
		if client, listed := guest.On(n.Text()); listed { // it subscribes anew: it has its place
			if client != string(w.Visitor.Client) {
				return errMember
			}
			return nil
		}
	}
	if most := k.app.MaxMembers; r.Gate.Presence.List(n.Text(), "", 1).Count >= most {
		page := r.Gate.Presence.List(n.Text(), "", most)
		c.Spend(len(page.Members) / memberWork)
		if _, known := find(page.Members, string(w.Visitor.Client)); !known {
			return errMembers
		}
	}
	unlisted, err := r.Guests.Arrive(c.Session(), q.Who.Share, w.Visitor, w.Channels.List(), s)
	if err == nil && unlisted > 0 {
		return errBusy
	}
	return err
}

// memberWork is how many members are listed in one unit of loop.Call.Work.
const memberWork = 2

// memberBytes is how many bytes of a list are encoded in one unit: it is JSON in a JSON string.
const memberBytes = 256

// members are those of a presence channel that the client has subscribed to, itself among them.
func (r *Room) members(c loop.Client, k *connection, n *names.Name, w *subscribe.Wish) []publication.Member {
	all := r.Gate.Presence.Shown(n.Text(), k.app.MaxMembers+1)
	c.Spend(len(all) / memberWork)
	self := publication.Member{Client: string(w.Visitor.Client), Info: string(w.Visitor.Info)}
	at, known := find(all, self.Client)
	if !known {
		return slices.Insert(all, at, self)
	}
	all[at].Info = self.Info
	return all
}

func find(members []publication.Member, client string) (at int, found bool) {
	return slices.BinarySearchFunc(members, client, func(m publication.Member, client string) int { return strings.Compare(m.Client, client) })
}

// unsubscribe carries out pusher:unsubscribe, which has no reply.
func (r *Room) unsubscribe(c loop.Client, k *connection, channel []byte) {
	n, err := r.name(k, channel)
	if err != nil || !r.isOn(c, n) {
		return
	}
	c.Spend(subscribe.SeatWork)
	if guest := r.Guests.Of(c.Session()); guest != nil {
		client, listed := guest.On(n.Text())
		r.Guests.Leave(c.Session(), r.channels.List())
		if listed && r.Gate.Presence != nil { // it leaves on purpose, and does not come back
			r.Gate.Presence.EndGrace(n.Text(), client)
		}
	}
	c.Unsubscribe(n.Watched())
	r.counting.remove(c.Session(), n.Text())
}
