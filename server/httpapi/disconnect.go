package httpapi

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"peal/loop"
	"peal/server/ijson"
	"peal/server/publication"
	"peal/server/share"
	"peal/server/wsproto"
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

// serveDisconnect ends the connections of clients, and keeps them away for a
// while, as far as there is room for that: {"disconnected":n,"kept_away":m} and,
// if m is not all of them, "not_kept_away":[…]. They are banned first, so that
// none of them comes back in between.
func (f *Front) serveDisconnect(c *loop.Call, r *routed) {
	w := farewell{clients: Clients{}}
	window, err := f.farewell(&w, r.body)
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	by := f.by
	c.Work += workName * len(w.clients)
	kept, refused := f.ban(by, w.clients, window)
	door, clock, ref, s := f.deps.Door, &f.clock, c.Conn, f.shape()
	answer := func(n int) []byte {
		return appendAnswer(nil, s, clock.date(), 200, jsonType, noStore, farewellBody(n, kept, refused))
	}
	if f.deps.Dismisser == nil {
		c.Out = append(c.Out, answer(0)...)
		c.Verdict = replyVerdict(s)
		return
	}
	if !f.deps.Dismisser.Dismiss(by, w.clients, func(n int) { door.Answer(ref, answer(n)) }) {
		f.refuse(c, errDisconnectBusy, "")
		return
	}
	f.later(c)
}

func farewellBody(disconnected, kept int, refused []string) []byte {
	body := strconv.AppendInt([]byte(`{"disconnected":`), int64(disconnected), 10)
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
	return append(body, '}')
}

// farewell reads the query, and the body if it is a form or JSON, into w.
func (f *Front) farewell(w *farewell, body []byte) (window time.Duration, err error) {
	f.args.ParseBytes(f.head.Query)
	for key, value := range f.args.All() {
		if err := w.field(key, value); err != nil {
			return 0, err
		}
	}
	switch media := mediaType(f.header.ContentType()); {
	case equalFold(media, "application/x-www-form-urlencoded"):
		f.form.ParseBytes(body)
		for key, value := range f.form.All() {
			if err := w.field(key, value); err != nil {
				return 0, err
			}
		}
	case equalFold(media, "multipart/form-data"):
		err = f.eachPart(body, w.field)
	case equalFold(media, "application/json"):
		err = w.json(&f.json, body)
	}
	switch {
	case err != nil:
		return 0, err
	case len(w.clients) == 0:
		return 0, errNoClient
	case w.window == nil:
		return max(0, f.deps.DisconnectWindow), nil
	}
	return parseWindow(w.window)
}

// field takes one parameter. Unknown ones are ignored.
func (w *farewell) field(key, value []byte) error {
	switch {
	case string(key) == "for":
		return setOnce(&w.window, "for", value)
	case string(key) == "client" || isElementKey(key, "client["):
		return w.add(value)
	}
	return nil
}

func (w *farewell) add(client []byte) error {
	if len(client) == 0 {
		return errNoClient
	}
	if err := (visitor{client: client}).check(); err != nil {
		return err
	}
	w.clients[string(client)] = struct{}{}
	if len(w.clients) > maxDismissed {
		return errTooManyClients
	}
	return nil
}

// json takes the fields of a JSON object. Without a body there is none.
func (w *farewell) json(r *ijson.Reader, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	var client, window ijson.Value
	plural := false // a slip that is told, not guessed at
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
		return jsonError(err)
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
	texts, err := appendTexts(nil, r, client)
	switch {
	case err == errNoTexts:
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
func parseWindow(b []byte) (time.Duration, error) {
	var d time.Duration
	if n, err := parseCount(b); err == nil {
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
// many are kept away now, and who had to be but for whom there is no room.
func (f *Front) ban(by share.Key, clients Clients, window time.Duration) (kept int, refused []string) {
	if f.deps.Bans == nil {
		return 0, nil
	}
	refused = f.deps.Bans.Ban(by, slices.Sorted(maps.Keys(clients)), window)
	if window > 0 {
		kept = len(clients) - len(refused)
	}
	return kept, refused
}

// letIn turns away a visitor who is banned. Where it is still listed on the
// picked channels, between two polls for example, it leaves at once.
func (f *Front) letIn() error {
	if len(f.visitor.client) == 0 || f.deps.Bans == nil || !f.deps.Bans.Has(f.visitor.client) {
		return nil
	}
	for _, n := range f.picked {
		if f.hasPresence(n) {
			f.deps.Presence.EndGrace(n.text(), string(f.visitor.client))
		}
	}
	return errDisconnected
}

// Dismiss reports whether the connection of that session has one of the names,
// by its URL or for a channel that it has. Then its end must follow, at which it
// leaves without a grace period. On its loop's goroutine.
func (f *Front) Dismiss(session uint64, clients Clients) bool {
	g := f.guests[session]
	g.Dismissed = g.Is(func(client string) bool {
		_, named := clients[client]
		return named
	})
	return g.Dismissed
}

// Found in requests to disconnect, and after them.
var (
	errDisconnected   = &Error{Status: 410, Code: "disconnected", Message: "the backend has disconnected this client: do not reconnect unchanged", close: wsproto.CloseDisconnected}
	errNoClient       = &Error{Status: 400, Code: "no_client", Message: "no client is named: send client=ann in the query, a form or a JSON object"}
	errClients        = &Error{Status: 400, Code: "bad_client", Message: `client must be a string, or an array of strings for several clients: "client":["ann","bob"]`}
	errTooManyClients = &Error{Status: 400, Code: "too_many_clients", Message: "one request disconnects at most 1000 clients: send several requests"}
	errFor            = &Error{Status: 400, Code: "bad_for", Message: "for must be a number of seconds, or a duration such as 10m, of at most 24 hours; 0 allows the client to reconnect at once"}
	errDisconnectBusy = &Error{Status: 503, Code: "busy", Message: "too many disconnect requests are in progress (64 in all, 32 per address): try again in a second"}
)
