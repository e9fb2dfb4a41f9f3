package httpapi

import (
	"slices"
	"strings"
	"unicode/utf8"

	"peal/loop"
	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/auth"
	"peal/server/log"
	"peal/server/rules"
	"peal/server/share"
	"peal/server/wsproto"
)

// Longest name and text of a client, in bytes.
const (
	maxClient = 200
	maxInfo   = 1 << 10
)

// visitor is who sent the request or command under way: the name it gives itself,
// empty for none, and what it says about itself. Both may alias the request.
type visitor struct{ client, info []byte }

// introduce takes what the request says about who sent it.
func (f *Front) introduce(p *params) error {
	f.visitor = visitor{p.client, p.info}
	if err := f.visitor.check(); err != nil {
		return err
	}
	// This is where a GET does something that others see. No page of another site
	// may have a browser do it, by an image for example.
	if len(p.client) > 0 || p.presence {
		r := auth.Request{Host: f.head.Host, Origin: f.head.Origin, Site: f.header.Peek("Sec-Fetch-Site")}
		if f.deps.Policy.Judge(r, true) != auth.Welcome {
			return errCrossSite
		}
	}
	return f.letIn()
}

func (v visitor) check() error {
	switch {
	case len(v.client) > maxClient || !isPrintable(v.client):
		return errClient
	case len(v.info) > maxInfo || !utf8.Valid(v.info):
		return errInfo
	}
	return nil
}

// arrive lists the visitor of a share, if it has a name, on the picked channels,
// which s subscribes the connection to. It returns on how many there is no room
// for it, or why it cannot take that name beside another of its connection.
func (f *Front) arrive(session uint64, by share.Key, s *loop.Subscription) (unlisted int, err *Error) {
	if len(f.visitor.client) == 0 {
		return 0, nil
	}
	client, info := string(f.visitor.client), string(f.visitor.info)
	g := f.guests[session]
	if g == nil {
		g = f.guestbook.Enter(by, client, info)
		f.guests[session] = g
	}
	f.sitting = f.sitting[:0]
	for _, n := range f.picked {
		f.sitting = append(f.sitting, n.text())
	}
	unlisted, ok := g.Sit(f.sitting, client, info, func(i int) bool { return f.hasPresence(f.picked[i]) })
	clear(f.sitting) // they may be long, and of channels that are gone
	if !ok {
		return 0, errNamesFull
	}
	s.Named = true
	return unlisted, nil
}

// Left implements loop.Front: a connection with a name receives nothing more.
func (f *Front) Left(session uint64) {
	f.guests[session].End()
	delete(f.guests, session)
}

// leave takes the client from the picked channels, where it is listed there.
func (f *Front) leave(session uint64) {
	if g := f.guests[session]; g != nil {
		g.Rise(func(channel string) bool {
			return slices.ContainsFunc(f.picked, func(n *name) bool { return n.text() == channel })
		})
	}
}

// hasPresence reports whether clients are listed on the channel.
func (f *Front) hasPresence(n *name) bool {
	return f.deps.Presence != nil && n.rule.Presence != rules.No
}

// watch has the presence of the picked channels told, and returns the set of
// these and of the server's channels on which it is. Channels without presence
// are passed over beside others: a URL has one word for all of its channels.
func (f *Front) watch(by share.Key, k ring.Encoding) ([]string, error) {
	if !tellsPresence(k) {
		return nil, errPresenceRaw
	}
	if !slices.ContainsFunc(f.picked, f.hasPresence) {
		return nil, errPresenceOff
	}
	for _, n := range f.picked {
		if f.hasPresence(n) && !f.deps.Presence.Watch(by, n.text()) {
			return nil, errPresenceFull
		}
	}
	if len(f.picked) == 1 {
		return f.picked[0].watchedSet(), nil
	}
	var set []string
	for _, n := range f.picked {
		if f.hasPresence(n) {
			set = append(set, n.watchedSet()...)
		} else {
			set = append(set, n.text())
		}
	}
	slices.Sort(set)
	return set, nil
}

// watchedSet is the channel and the one on which its presence is told, sorted.
func (n *name) watchedSet() []string {
	if n.watched == nil {
		n.watched = &[2]string{log.PresencePrefix + n.text(), n.text()}
		slices.Sort(n.watched[:])
	}
	return n.watched[:]
}

// countClients counts the channels of clients among names: beside them may be
// the server's on which their presence is told.
func countClients(names []string) (n int) {
	for _, name := range names {
		if !strings.HasPrefix(name, log.PresencePrefix) {
			n++
		}
	}
	return n
}

// servePresence lists who is on a channel.
func (f *Front) servePresence(c *loop.Call, r *routed) {
	n, p, err := f.queryOf(r)
	var limit int
	if err == nil {
		limit, err = parseLimit(p.limit, presencePage, maxPresencePage)
	}
	if err == nil && !f.hasPresence(n) {
		err = errPresenceOff
	}
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	q := f.questions(c)
	after := string(p.after)
	f.ask(c, &q, presenceCost+limit, func() { q.answer(q.presenceBody(n.text(), after, limit)) })
}

// Found in what is said and asked about presence.
var (
	errClient       = &Error{Status: 400, Code: "bad_client", Message: "client is 1 to 200 bytes of printable UTF-8, percent-encoded in URLs"}
	errInfo         = &Error{Status: 400, Code: "bad_info", Message: "info is at most 1024 bytes of UTF-8: store the rest in your backend, under the client name"}
	errPresenceRaw  = &Error{Status: 400, Code: "bad_presence", Message: "the raw format cannot carry presence events: use format=json, or the subprotocol peal.v1"}
	errPresenceOff  = &Error{Status: 403, Code: "presence_off", Message: "the rule of this channel turns presence off (presence: false)", close: wsproto.CloseForbidden}
	errPresenceFull = &Error{Status: 429, Code: "presence_full", Message: "there is no room for presence events of one more channel (presence-bytes, address-share): try again later, or without presence", close: frame.CloseTryAgainLater}
	errNamesFull    = &Error{Status: 429, Code: "presence_full", Message: "there is no room for another client name on this connection (presence-bytes, address-share): try again later, or use its first name", close: frame.CloseTryAgainLater}
)
