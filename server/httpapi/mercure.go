package httpapi

import (
	"bytes"
	"strings"

	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/ascii"
	"peal/server/grant"
	"peal/server/identity"
	"peal/server/mercure"
	"peal/server/names"
	"peal/server/pattern"
	"peal/server/refusal"
	"peal/server/subscribe"
	"peal/server/topic"
)

// mercurePath is where a hub of the Mercure protocol is.
const mercurePath = mercure.Path

// secureCookie is the name of the cookie of Mercure 1.0.
const secureCookie = "__Secure-mercure_access_token"

// mercureLink leads those who have a response to the hub (RFC 8288).
const mercureLink = "Link: <" + mercurePath + ">; rel=\"mercure\"\r\n"

// Found in requests of the Mercure protocol.
var (
	errMercureOff    = &refusal.Error{Status: 404, Code: "not_found", Message: "Mercure is off on this server: set mercure-publisher-secret and mercure-subscriber-secret (or …-secret-file, …-key, …-jwks), or mercure-anonymous"}
	errNoMercureKeys = &refusal.Error{Status: 401, Code: "token_invalid", Message: "this server has no key for such tokens: set mercure-publisher-secret for publishers, mercure-subscriber-secret for subscribers"}
	errMercureQuery  = &refusal.Error{Status: 401, Code: "token_misplaced", Message: "this server takes no tokens from URLs (mercure-query: false): send it as Authorization: Bearer, or as a cookie"}
	errNoTopics      = &refusal.Error{Status: 400, Code: "bad_topic", Message: "the request names no topic: send at least one topic parameter"}
	errURLPattern    = &refusal.Error{Status: 400, Code: "bad_topic", Message: "match_urlpattern is not supported: subscribe by match to topics by their names, or by topic with a URI template"}
	errMatcherType   = &refusal.Error{Status: 400, Code: "bad_topic", Message: "parameters that begin with match are match and match_exact, in lower case: no other matcher is supported"}
	errTemplate      = &refusal.Error{Status: 400, Code: "bad_topic", Message: "Mercure was off when the server started, so that it has no URI templates and no *: restart the server, or subscribe to topics by their names"}
)

// mercureHub serves the Mercure protocol: GET subscribes, POST publishes.
type mercureHub struct {
	subscribing
	row  ring.Encoding
	free *update // for the next one; nil while the log has it

	topics []string // of the request that is read, if subscriptions are listed
}

func newHub(s *shared) *mercureHub {
	h := &mercureHub{subscribing: subscribing{s}}
	h.row, _ = s.deps.Dialects.Named("mercure")
	return h
}

func (h *mercureHub) serve(x *exchange) {
	switch {
	case x.denied != nil:
		x.refuse(x.denied)
	case string(x.head.Method) == "POST":
		h.publish(x)
	default:
		h.subscribe(x)
	}
}

// identifyMercure is identify for the tokens of the Mercure protocol. What is in the
// header goes before the URL, and that before a cookie.
func (x *exchange) identifyMercure() (ready bool) {
	m := x.deps.Mercure
	text, from, err := x.mercureProof(m)
	if err != nil || from == inNothing {
		x.denied = err
		return true
	}
	if x.isKey(text, from) {
		return true
	}
	tokens := m.Subscribers
	if string(x.head.Method) == "POST" {
		tokens = m.Publishers
	}
	if tokens == nil {
		x.denied = errNoMercureKeys
		return true
	}
	return x.verify(tokens, text)
}

func (x *exchange) mercureProof(m *identity.Mercure) (text []byte, from carrier, err *refusal.Error) {
	var one sole
	for _, value := range x.authorizations() {
		text, ok := bearer(value)
		switch {
		case ok:
			one.add(text)
		case len(value) > 0:
			return nil, inHeader, errScheme
		}
	}
	if len(one.text) > 0 {
		return one.text, inHeader, one.err
	}
	if bytes.Contains(x.head.Query, []byte("authorization=")) {
		x.args.ParseBytes(x.head.Query)
		for key, value := range x.args.All() {
			if string(key) == "authorization" {
				one.add(value)
			}
		}
		if len(one.text) > 0 && !m.Query {
			return nil, inQuery, errMercureQuery
		}
		if len(one.text) > 0 {
			return one.text, inQuery, one.err
		}
	}
	if m.Cookie == "" {
		return nil, inNothing, nil
	}
	for key, value := range x.lines().Cookies() {
		if string(key) == m.Cookie || string(key) == secureCookie {
			one.add(value)
		}
	}
	if len(one.text) > 0 && x.ownPage() {
		return one.text, inCookie, one.err
	}
	return nil, inNothing, nil
}

// subscribe turns the connection into an event stream of the updates of topics.
func (h *mercureHub) subscribe(x *exchange) {
	w := subscribe.Wish{Channels: &x.channels, Dialects: h.deps.Dialects, Dialect: h.row}
	cursor, err := h.readTopics(x)
	if err != nil {
		x.refuse(err)
		return
	}
	w.Known = len(cursor) > 0
	if w.Start, err = subscribe.NewStart(h.deps.Log, cursor, nil, x.channels.Len()); err != nil {
		x.refuse(err)
		return
	}
	q := x.request()
	q.Draining, q.Topics, q.Opens = x.call.Draining, true, true
	sub, err := w.Subscribe(&h.gate, q)
	var space [len("Last-Event-ID: \r\n") + 64 + len(mercureLink)]byte
	lines := append(space[:0], mercureLink...)
	if len(cursor) > 0 {
		lines = append(lines, "Last-Event-ID: "...)
		lines = append(h.appendPreceding(lines, &w, cursor), "\r\n"...)
	}
	h.stream(x, &w, sub, err, string(lines))
	if h.topics != nil {
		h.subscribed(x, sub, h.topics)
	}
}

// readTopics reads the query into x.channels: the public channel of each topic, and the
// private one if the client is granted it. Unknown parameters are ignored, as by other
// hubs. It returns the id of the client's last event, empty for none.
func (h *mercureHub) readTopics(x *exchange) (cursor []byte, err *refusal.Error) {
	x.channels.Reset(x.names, x.deps.ChannelLimit)
	h.topics = nil
	x.args.ParseBytes(x.head.Query)
	for key, value := range x.args.All() {
		switch string(key) {
		case "topic":
			err = h.addTopic(x, value)
		case "match", "match_exact":
			err = h.addMatch(x, value)
		case "match_urlpattern":
			err = errURLPattern
		case "lastEventID", "Last-Event-ID", "lastEventId", "last_event_id", "last-event-id":
			if len(value) > 0 {
				cursor = value
			}
		default:
			switch {
			case isElementKey(key, "topic["):
				err = h.addTopic(x, value)
			case len(key) >= len("match") && ascii.EqualFold(key[:len("match")], "match"):
				err = errMatcherType
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for _, id := range x.rare("Last-Event-ID") {
		if len(id) > 0 {
			cursor = id
		}
	}
	if x.channels.Len() == 0 {
		return nil, errNoTopics
	}
	return cursor, nil
}

// addMatch adds a topic of Mercure 1.0, in which braces have no meaning.
func (h *mercureHub) addMatch(x *exchange, text []byte) *refusal.Error {
	h.note(text)
	if string(text) == all {
		return h.addTemplate(x, text)
	}
	return h.addName(x, text)
}

// addTopic adds what the client may receive of a topic.
func (h *mercureHub) addTopic(x *exchange, text []byte) *refusal.Error {
	h.note(text)
	if string(text) == all || bytes.ContainsAny(text, "{}") {
		return h.addTemplate(x, text)
	}
	return h.addName(x, text)
}

// addName adds what the client may receive of one topic.
func (h *mercureHub) addName(x *exchange, text []byte) *refusal.Error {
	n, err := x.names.Topic(text)
	if err != nil {
		return err
	}
	if err := x.channels.AddName(n); err != nil {
		return err
	}
	if x.grant == nil || !x.grant.Allows(grant.Subscribe, n.Text()) {
		return nil
	}
	return x.channels.AddName(x.names.Private(n))
}

// all is the selector of all topics.
const all = topic.All

// addTemplate adds the matchers of a template, or of all topics, and of what the client is
// granted of it.
func (h *mercureHub) addTemplate(x *exchange, text []byte) *refusal.Error {
	if !h.deps.Mercure.Templates {
		return errTemplate
	}
	if !pattern.IsPrintable(text) {
		return names.ErrTopic
	}
	var granted []string
	switch g := x.grant; {
	case g == nil:
	case g.Selectors(grant.Subscribe) != nil:
		granted = g.Selectors(grant.Subscribe).Texts()
	case g.Kind == grant.Backend && g.Covers(grant.Subscribe, ""): // of a key that allows less, by the names of topics
		granted = []string{all}
	}
	channels, err := topic.Channels([]string{string(text)}, granted)
	if err != nil {
		return &refusal.Error{Status: 400, Code: "bad_topic", Message: "topic: " + err.Error()}
	}
	x.call.Work += templateWork * (1 + len(granted))
	for _, name := range channels {
		n, err := x.names.Topic([]byte(name))
		if name[0] == '$' {
			n, err = x.names.Own(name), nil
		}
		if err != nil {
			return err
		}
		if err := x.channels.AddName(n); err != nil {
			return err
		}
	}
	return nil
}

// templateWork is what parsing a template, and comparing it with a selector of a token,
// costs a loop.
const templateWork = 5

// appendPreceding appends the id of the event before the first one that the client
// receives, or earliest: a client that finds another than its own knows that it has missed
// some.
func (h *mercureHub) appendPreceding(dst []byte, w *subscribe.Wish, cursor []byte) []byte {
	if w.Start.From != fanout.After {
		return append(dst, "earliest"...)
	}
	upto, lost := h.deps.Hub.Head(), uint64(0)
	for _, n := range w.Channels.List() {
		if strings.HasPrefix(n.Text(), fanout.MatcherPrefix) { // what was lost of single topics is in a gap event
			if past, ok := h.deps.Hub.(interface{ Floor() uint64 }); ok {
				lost = max(lost, past.Floor())
			}
			continue
		}
		_, discarded, _ := h.deps.Hub.Read(nil, n.Text(), w.Start.Sequence, upto, 1, 1)
		lost = max(lost, discarded)
	}
	if lost > w.Start.Sequence {
		return h.deps.Log.Lineage().Cursor(lost).Append(dst)
	}
	return append(dst, cursor...) // it is a cursor, without bytes that could end the line
}
