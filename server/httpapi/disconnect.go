package httpapi

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"peal/server/publication"
	"peal/server/refusal"
	"peal/server/share"
	"peal/server/subscribe"
)

// maxDismissed is how many clients one request may disconnect.
const maxDismissed = 1000

// Clients is a set of names of clients.
type Clients map[string]struct{}

// farewell is what a request to disconnect says. Its slices are lent.
type farewell struct {
	clients Clients
	window  []byte // for how long; nil for the default
}

// control serves POST /disconnect.
type control struct{ *shared }

// disconnect ends the connections of clients, and keeps them away for a while, as
// far as there is room for that: {"disconnected":n,"kept_away":m}; if m is not all of
// them, "not_kept_away":[…]; and if the log has not stored the order,
// "not_durable":true. They are banned first, so that none of them comes back in
// between. The response is due when the connections have ended and the log has
// answered.
func (o *control) disconnect(x *exchange) {
	w := farewell{clients: Clients{}}
	window, err := o.farewell(x, &w)
	if err != nil {
		x.refuse(err)
		return
	}
	q := x.request()
	if !x.permits(q) {
		return
	}
	x.call.Work += subscribe.NameWork * len(w.clients)
	var kept int
	var refused []string // both are set before the loops begin, and so before the body is made
	p := x.newParting(func(p *parting) []byte { return p.disconnected(kept, refused) })
	kept, refused = o.ban(x.by, w.clients, window, p.stored)
	p.end(x, Disconnected, func(front *Front, session uint64) bool { return front.Dismiss(session, w.clients) })
}

// disconnected is the body of the response.
func (p *parting) disconnected(kept int, refused []string) []byte {
	body := strconv.AppendInt([]byte(`{"disconnected":`), int64(p.ended), 10)
	body = strconv.AppendInt(append(body, `,"kept_away":`...), int64(kept), 10)
	for i, client := range refused {
		if i == 0 {
			body = append(body, `,"not_kept_away":[`...)
		} else {
			body = append(body, ',')
		}
		body = publication.AppendString(body, client)
	}
	if len(refused) > 0 {
		body = append(body, ']')
	}
	return p.appendDurable(body)
}

// farewell reads the request into w.
func (o *control) farewell(x *exchange, w *farewell) (window time.Duration, err *refusal.Error) {
	x.channels.Clear()
	err = x.arguments([]argument{
		{name: "client", list: true, take: w.add, none: errNoClient, wrong: errClients},
		{name: "for", take: func(value []byte) *refusal.Error { return setOnce(&w.window, "for", value) }},
	})
	switch {
	case err != nil:
		return 0, err
	case len(w.clients) == 0:
		return 0, errNoClient
	case w.window == nil:
		return max(0, o.deps.DisconnectWindow), nil
	}
	return parseWindow(w.window)
}

func (w *farewell) add(client []byte) *refusal.Error {
	if len(client) == 0 {
		return errNoClient
	}
	if err := (subscribe.Visitor{Client: client}).Check(); err != nil {
		return err
	}
	w.clients[string(client)] = struct{}{}
	if len(w.clients) > maxDismissed {
		return errTooManyClients
	}
	return nil
}

// parseWindow reads seconds, or a Go duration.
func parseWindow(b []byte) (time.Duration, *refusal.Error) {
	var d time.Duration
	if n, err := subscribe.ParseCount(b); err == nil {
		d = time.Duration(min(n, int(MaxDisconnectWindow/time.Second)+1)) * time.Second
	} else if d, err = time.ParseDuration(string(b)); err != nil {
		return 0, errFor
	}
	if d < 0 || d > MaxDisconnectWindow {
		return 0, errFor
	}
	return d, nil
}

// ban keeps the clients away for that long; 0 lets them in again. It returns how
// many are kept away now, and those that had to be but for which there is no room.
// stored is called when the log has answered.
func (o *control) ban(by share.Key, clients Clients, window time.Duration, stored func(error)) (kept int, refused []string) {
	if o.deps.Orders == nil {
		stored(nil)
		return 0, nil
	}
	refused = o.deps.Orders.KeepAway(by, slices.Sorted(maps.Keys(clients)), window, stored)
	if window > 0 {
		kept = len(clients) - len(refused)
	}
	return kept, refused
}

// Found in requests to disconnect.
var (
	errNoClient       = &refusal.Error{Status: 400, Code: "no_client", Message: "no client is named: send client=ann in the query, a form or a JSON object"}
	errClients        = &refusal.Error{Status: 400, Code: "bad_client", Message: `client must be a string, or an array of strings for several clients: "client":["ann","bob"]`}
	errTooManyClients = &refusal.Error{Status: 400, Code: "too_many_clients", Message: "one request disconnects at most 1000 clients: send several requests"}
	errFor            = &refusal.Error{Status: 400, Code: "bad_for", Message: "for must be a number of seconds, or a duration such as 10m, of at most 24 hours; 0 allows the client to reconnect at once"}
)
