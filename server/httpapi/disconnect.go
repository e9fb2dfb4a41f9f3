package httpapi

import (
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"peal/server/ijson"
	"peal/server/publication"
	"peal/server/refusal"
	"peal/server/share"
	"peal/server/subscribe"
)

// maxDismissed is how many clients one request may disconnect.
const maxDismissed = 1000

// Clients is a set of names that clients give themselves.
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
	p := &parting{}
	p.waits.Store(2)
	reply, door, ref := x.pendingReply(), o.deps.Door, x.call.Conn
	p.respond = func() { door.Answer(ref, reply.AppendBody(nil, p.body())) }
	p.kept, p.refused = o.ban(x.by, w.clients, window, p.stored)
	if o.deps.Dismisser == nil {
		p.dismissed(0)
	} else if !o.deps.Dismisser.Dismiss(x.by, w.clients, p.dismissed) {
		x.refuse(errDisconnectBusy)
		return
	}
	x.later()
}

// parting is a request to disconnect that is under way. Loops and the log finish
// their parts of it on their goroutines; the later one responds.
type parting struct {
	respond func()
	waits   atomic.Int32 // parts that are not finished

	// Each is set by one part, before it is finished. kept and refused are set before
	// the loops begin.
	kept    int
	refused []string
	ended   int
	failure error // of the log
}

func (p *parting) dismissed(ended int) {
	p.ended = ended
	p.finish()
}

func (p *parting) stored(err error) {
	p.failure = err
	p.finish()
}

func (p *parting) finish() {
	if p.waits.Add(-1) == 0 {
		p.respond()
	}
}

func (p *parting) body() []byte {
	body := strconv.AppendInt([]byte(`{"disconnected":`), int64(p.ended), 10)
	body = strconv.AppendInt(append(body, `,"kept_away":`...), int64(p.kept), 10)
	for i, client := range p.refused {
		if i == 0 {
			body = append(body, `,"not_kept_away":[`...)
		} else {
			body = append(body, ',')
		}
		body = publication.AppendString(body, client)
	}
	if len(p.refused) > 0 {
		body = append(body, ']')
	}
	if p.failure != nil {
		body = append(body, `,"not_durable":true`...)
	}
	return append(body, '}')
}

// farewell reads the query, and the body if it is a form or JSON, into w.
func (o *control) farewell(x *exchange, w *farewell) (window time.Duration, err *refusal.Error) {
	x.channels.Clear()
	x.args.ParseBytes(x.head.Query)
	for key, value := range x.args.All() {
		if err := w.field(key, value); err != nil {
			return 0, err
		}
	}
	switch media := mediaType(x.header.ContentType()); {
	case equalFold(media, "application/x-www-form-urlencoded"):
		x.form.ParseBytes(x.body)
		for key, value := range x.form.All() {
			if err := w.field(key, value); err != nil {
				return 0, err
			}
		}
	case equalFold(media, "multipart/form-data"):
		err = x.eachPart(w.field)
	case equalFold(media, "application/json"):
		err = w.json(&x.json, x.body)
	}
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

// field takes one parameter. Unknown ones are ignored.
func (w *farewell) field(key, value []byte) *refusal.Error {
	switch {
	case string(key) == "for":
		return setOnce(&w.window, "for", value)
	case string(key) == "client" || isElementKey(key, "client["):
		return w.add(value)
	}
	return nil
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

// json takes the fields of a JSON object. Without a body there is none.
func (w *farewell) json(r *ijson.Reader, body []byte) *refusal.Error {
	if len(body) == 0 {
		return nil
	}
	var client, window ijson.Value
	plural := false // a mistake that is refused, not guessed at
	r.Start(body)
	for r.Enter('{'); r.More(); {
		switch string(r.Name()) {
		case "client":
			client = r.Value()
		case "clients":
			plural = true
			r.Value()
		case "for":
			window = r.Value()
		default:
			r.Value()
		}
	}
	if err := r.End(); err != nil {
		return refusal.OfJSON(err)
	}
	if plural {
		return errClients
	}
	if window != nil && !window.IsNull() {
		text, ok := window.Text()
		if !ok {
			text = window
		}
		if err := setOnce(&w.window, "for", text); err != nil {
			return err
		}
	}
	if client == nil {
		return nil
	}
	texts, err := ijson.AppendTexts(nil, r, client)
	switch {
	case err == ijson.ErrNoTexts:
		return errNoClient
	case err != nil:
		return errClients
	}
	for _, text := range texts {
		if err := w.add(text); err != nil {
			return err
		}
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
	errDisconnectBusy = &refusal.Error{Status: 503, Code: "busy", Message: "too many disconnect requests are in progress (64 in all, 32 per address): try again in a second"}
)
