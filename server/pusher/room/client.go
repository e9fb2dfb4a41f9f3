package room

import (
	"strings"

	"peal/loop"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/log"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/pusher"
	"peal/server/rate"
	"peal/server/refusal"
	"peal/server/tally"
)

// Found in client- events.
var (
	errNoClientEvents = &refusal.Error{Status: 403, Code: "publish_not_allowed", Message: "client- events are turned off for this app (client-events)"}
	errNotPrivate     = &refusal.Error{Status: 403, Code: "publish_not_allowed", Message: "client- events are for private and presence channels that are not encrypted: publish from the backend"}
	errNotOn          = &refusal.Error{Status: 403, Code: "publish_not_allowed", Message: "this connection is not subscribed to the channel of the client- event: subscribe first"}
	errRate           = &refusal.Error{Status: 429, Code: "rate_limited", Message: "too many client- events on this connection (client-event-rate): send fewer"}
)

// clientEvent publishes a client- event for the other subscribers of its channel. With an error
// the client gets the code.
func (r *Room) clientEvent(c loop.Client, k *connection, m *pusher.Message) (code int, _ *refusal.Error) {
	if !app.IsName(m.Channel) {
		return pusher.CodeBadMessage, errChannel
	}
	n, err := r.name(k, m.Channel)
	if err != nil {
		return pusher.CodeBadMessage, err
	}
	name := app.Name(n.Text())
	switch {
	case !k.app.ClientEvents:
		return pusher.CodeClientEvent, errNoClientEvents
	case !isPresence(name) && !strings.HasPrefix(name, app.Private), strings.HasPrefix(name, app.Encrypted):
		return pusher.CodeClientEvent, errNotPrivate
	case !r.isOn(c, n):
		return pusher.CodeClientEvent, errNotOn
	case r.Lot.Answers() == nil && !r.paces(c, k): // else it was counted when it came
		return pusher.CodeClientEvent, errRate
	}
	d := publish.Draft{Data: pusher.ClientData(m.Data), Event: m.Event, Tags: r.clientTags(c, k, n.Text())}
	r.id = r.Sessions.Of(c.Session()).Append(r.id[:0])
	d.Exclude = r.id
	if err := d.Check(); err != nil {
		return pusher.CodeBadMessage, err
	}
	q := r.request(c, permit.Publish, true) // it has the channel, which its app has granted
	q.Data, q.Binary, q.Event = d.Data, d.Binary, d.Event
	err = r.Gate.Decide(&q)
	if r.call = q.Call; err != nil {
		return pusher.CodeClientEvent, err
	}
	if d.Data, d.Binary = q.Data, q.Binary; d.Binary { // by the backend: the protocol has text only
		return pusher.CodeClientEvent, ask.ErrUnavailable
	}
	c.Spend(publish.EntryWork)
	if err := r.Target.Forget(&d, r.channels.List(), r.lost(c)); err != nil {
		return pusher.CodeClientEvent, err
	}
	r.Counts.Accept(tally.WebSocket, 1)
	return 0, nil
}

// paces reports whether the connection may send a client- event now.
func (r *Room) paces(c loop.Client, k *connection) bool {
	pace := &r.Gate.Pace
	if pace.Buckets == nil || !k.app.ClientEventRate.IsOn() {
		return true
	}
	key := pace.Buckets.On(pace.Buckets.Number(rate.Connection, c.Session()), clientEvents)
	ok, _ := pace.Buckets.Take(key, k.app.ClientEventRate, 1, pace.Now())
	if !ok {
		pace.Buckets.Limited(rate.Channel)
	}
	return ok
}

// clientEvents stands for all channels in the bucket of a connection. No channel is named so.
const clientEvents = "$client-events"

// ofClient are the tags of an event of a client that has no user_id.
var ofClient = map[string]string{log.ClientTag: "1"}

// clientTags are the tags of an event of the client: on a presence channel with its user_id.
func (r *Room) clientTags(c loop.Client, k *connection, channel string) map[string]string {
	guest := r.Guests.Of(c.Session())
	if guest == nil {
		return ofClient
	}
	client, listed := guest.On(channel)
	if !listed {
		return ofClient
	}
	return map[string]string{log.ClientTag: "1", log.UserTag: strings.TrimPrefix(client, k.app.Namespace)}
}

// lost tells the client of an event that the store of the log has lost. nil for a log on a
// disk, whose faults its operator hears of.
func (r *Room) lost(c loop.Client) func(*refusal.Error) {
	if !r.Target.Remote {
		return nil
	}
	ref, door := c.Ref(), r.Door
	return func(err *refusal.Error) {
		door.Do(ref, func(c loop.Client) {
			c.Write(pusher.AppendError(nil, pusher.CodeClientEvent, err.Code+": "+err.Message))
		})
	}
}
