package httpapi

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"time"

	"peal/server/names"
	"peal/server/refusal"
	"peal/server/session"
	"peal/server/subscribe"
)

// params is what the query of a request says. Its slices alias the
// memory of the exchange.
type params struct {
	known     bool   // cursor is the id of the client's last event
	cursor    []byte // where to begin: of the Last-Event-ID header, else of its spellings in the query, else cursor; empty for none
	last      []byte
	format    []byte
	timeout   []byte
	event     []byte
	key       []byte // idempotency key
	exclude   []byte // who does not receive it
	prefix    []byte
	after     []byte
	limit     []byte
	client    []byte // the name the client gives itself, and what it says about itself
	info      []byte
	user      []byte // whose channel to publish on
	session   []byte // the id that the client presents; empty, but not nil: it asks for one
	presence  bool   // it asks for presence events
	ignoreGap bool
}

// query reads the parameters into x.params and the channels into x.channels. Unknown
// parameters are left to stray.
func (x *exchange) query() (err *refusal.Error) {
	p := &x.params
	*p = params{}
	x.channels.Reset(x.names, x.deps.ChannelLimit)
	if name, only := OnlyChannel(x.head.Query); only && x.head.Plain {
		x.args.Reset()
		return x.channels.Add(name)
	}
	x.args.ParseBytes(x.head.Query)
	var lastEventID []byte
	for key, value := range x.args.All() {
		switch string(key) {
		case "channel":
			err = x.channels.Add(value)
		case "cursor":
			if len(value) > 0 {
				p.cursor = value
			}
		case "lastEventId", "lastEventID", "last_event_id", "Last-Event-ID", "last-event-id":
			if len(value) > 0 { // polyfills append it at each reconnect: the last one is of now
				lastEventID = value
			}
		case "last":
			err = setOnce(&p.last, "last", value)
		case "format":
			err = setOnce(&p.format, "format", value)
		case "timeout":
			err = setOnce(&p.timeout, "timeout", value)
		case "event":
			err = setOnce(&p.event, "event", value)
		case "idempotency_key":
			err = setOnce(&p.key, "idempotency_key", value)
		case "exclude":
			err = setOnce(&p.exclude, "exclude", value)
		case "prefix":
			err = setOnce(&p.prefix, "prefix", value)
		case "after":
			err = setOnce(&p.after, "after", value)
		case "limit":
			err = setOnce(&p.limit, "limit", value)
		case "client":
			err = setOnce(&p.client, "client", value)
		case "info":
			err = setOnce(&p.info, "info", value)
		case "session":
			err = setOnce(&p.session, "session", value)
		case "user":
			err = setOnce(&p.user, "user", value)
		case "token": // read before: see identity.go
		case "presence":
			p.presence = string(value) == "1" || string(value) == "true"
		case "gap":
			p.ignoreGap = string(value) == "ignore"
		default:
			if isChannelKey(key) {
				err = x.channels.Add(value)
			}
		}
		if err != nil {
			return err
		}
	}
	if len(p.cursor) > 0 && len(p.last) > 0 {
		return subscribe.ErrCursorAndLast
	}
	// What a client has come to since it made its URL goes before the URL's own
	// cursor: EventSource says it in this header, polyfills in the query.
	if len(lastEventID) > 0 {
		p.cursor, p.known = lastEventID, true
	}
	for _, id := range x.rare("Last-Event-ID") {
		if len(id) > 0 {
			p.cursor, p.known = id, true
		}
	}
	return nil
}

// OnlyChannel returns the channel of a query that names one and says nothing else, and only as
// it is: without escapes. It is what most publications have.
func OnlyChannel(query []byte) (name []byte, only bool) {
	const key = "channel="
	if len(query) < len(key) || string(query[:len(key)]) != key {
		return nil, false
	}
	name = query[len(key):]
	for _, c := range name {
		if c == '&' || c == '%' || c == '+' {
			return nil, false
		}
	}
	return name, true
}

// session is the id that the client presents, nil for none.
func (x *exchange) session() (*[16]byte, *refusal.Error) {
	if len(x.params.session) == 0 {
		return nil, nil
	}
	id, ok := session.Parse(x.params.session)
	if !ok {
		return nil, errSession
	}
	return (*[16]byte)(&id), nil
}

// Parameters of the routes that have a default channel.
var (
	subscribeParameters = []string{
		"channel", "cursor", "lastEventId", "lastEventID", "last_event_id", "Last-Event-ID", "last-event-id",
		"last", "format", "timeout", "client", "info", "session", "presence", "gap", "token",
	}
	publishParameters = []string{"channel", "event", "idempotency_key", "exclude", "user", "token"}
)

// added are parameters that client libraries add to any URL against caches and
// buffers (jQuery, engine.io and its kin, event-source-polyfill): they say nothing.
var added = []string{"_", "t", "padding"}

// stray refuses a request that names no channel if its query has a parameter
// that is not known. near is only about those that look like one that is.
func (x *exchange) stray(known []string, near bool) *refusal.Error {
	if x.channels.Len() > 0 {
		return nil
	}
	var first []byte
	found := 0
	for key := range x.args.All() {
		if slices.Contains(known, string(key)) || slices.Contains(added, string(key)) || isChannelKey(key) {
			continue
		}
		if names.Nearest(key, known) != "" {
			return names.StrayParameter(key, known)
		}
		if found == 0 {
			first = key
		}
		if found++; found == maxSlips {
			break
		}
	}
	if found == 0 || near {
		return nil
	}
	return names.StrayParameter(first, known)
}

// maxSlips is how many unknown names are compared with known ones.
const maxSlips = 16

// isChannelKey reports whether key is one of PHP's spellings of a repeated
// parameter: channel[] or channel[0].
func isChannelKey(key []byte) bool { return isElementKey(key, "channel[") }

// isElementKey is isChannelKey for any parameter; prefix is its name and "[".
func isElementKey(key []byte, prefix string) bool {
	inner, ok := bytes.CutPrefix(key, []byte(prefix))
	if !ok {
		return false
	}
	inner, ok = bytes.CutSuffix(inner, []byte("]"))
	return ok && len(bytes.Trim(inner, digits)) == 0
}

// pollTimeout reads seconds, or a Go duration.
func (l *Limits) pollTimeout(b []byte) (time.Duration, *refusal.Error) {
	if len(b) == 0 {
		return l.PollTimeout, nil
	}
	var d time.Duration
	if n, err := subscribe.ParseCount(b); err == nil {
		d = time.Duration(min(n, int(l.MaxPollTimeout/time.Second)+1)) * time.Second
	} else if d, err = time.ParseDuration(string(b)); err != nil {
		seconds, err := strconv.ParseFloat(string(b), 64)
		if err != nil || math.IsNaN(seconds) {
			return 0, errTimeout
		}
		d = time.Duration(max(0, min(seconds, l.MaxPollTimeout.Seconds())) * float64(time.Second))
	}
	return max(l.MinPollTimeout, min(d, l.MaxPollTimeout)), nil
}

// setOnce sets a field that has one value. The same again does no harm, and what
// is empty says nothing beside another; two values leave open which was meant.
func setOnce(field *[]byte, name string, value []byte) *refusal.Error {
	switch {
	case len(*field) == 0:
		if *field = value; value == nil {
			*field = empty
		}
	case len(value) > 0 && !bytes.Equal(*field, value):
		return refusal.Contradiction(name, "it is there twice with different values: send it once")
	}
	return nil
}

// empty is a value that was said and is empty.
var empty = []byte{}
