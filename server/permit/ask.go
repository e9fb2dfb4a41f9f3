package permit

import (
	"strings"

	"peal/loop/frame"
	"peal/server/ask"
	"peal/server/names"
	"peal/server/refusal"
)

// Answers are those of the backend to the questions about one request.
type Answers map[ask.Key]*ask.Answer

// Given is what the backend says about a client.
type Given struct {
	User    string // its name, "" for none
	Info    string // what presence shows of it
	HasInfo bool
}

// ErrAsk means that the backend must be asked (Request.Call) before the request can be
// decided. Its receiver lets the client wait, and has the same request decided again with
// the answer. It is a refusal by itself: where nobody waits, nothing is allowed.
var ErrAsk = &refusal.Error{Status: 503, Code: "ask_unavailable", Message: "the backend decides about this, and it is not asked here: use another transport", Close: frame.CloseTryAgainLater}

// ask finds out what the backend says. Its word only takes away: what was refused before is
// not asked about. Backends themselves, with a key or by the signature of an app, are not
// asked about.
func (g *Gate) ask(r *Request) *refusal.Error {
	if g.Ask == nil || isBackend(&r.Who) {
		return nil
	}
	r.Given, r.Call = Given{}, nil // of an earlier decision
	switch r.Action {
	case Subscribe:
		if r.Opens && g.Ask.IsOn(ask.Connect) {
			if err := g.answer(r, ask.Connect, asked(nil, ask.Connect, r.Channels)); err != nil {
				return err
			}
		}
		return g.askAbout(r, ask.Subscribe)
	case History, Presence: // a subscriber has both
		return g.askAbout(r, ask.Subscribe)
	case Publish:
		return g.askAbout(r, ask.Publish)
	}
	return nil
}

// askAbout asks about those channels of the request that the configuration names.
func (g *Gate) askAbout(r *Request, a ask.Action) *refusal.Error {
	if !g.Ask.IsOn(a) {
		return nil
	}
	if channels := asked(g.Ask, a, r.Channels); len(channels) > 0 {
		return g.answer(r, a, channels)
	}
	return nil
}

// asked are the names of channels that c asks about, all if it is nil. A topic has one name,
// whether its updates are private or not. Matchers are none: they match no channel that is
// asked about.
func asked(c *ask.Client, a ask.Action, channels []*names.Name) (texts []string) {
	for _, n := range channels {
		topic, _ := n.Topic()
		if strings.HasPrefix(topic, matcherPrefix) || len(texts) > 0 && texts[len(texts)-1] == topic {
			continue
		}
		if c == nil || c.Covers(a, topic) {
			texts = append(texts, topic)
		}
	}
	return texts
}

// matcherPrefix begins the names of matchers: fanout.MatcherPrefix.
const matcherPrefix = "$like"

// answer takes the answer to a question, or says that it must be asked.
func (g *Gate) answer(r *Request, a ask.Action, channels []string) *refusal.Error {
	q := ask.Question{
		Action: a, Transport: r.Via, Channels: channels, User: r.Who.User(), Client: string(r.Who.Client), Headers: r.Headers,
		Event: string(r.Event), Data: r.Data, Binary: r.Binary, By: r.Who.Share,
	}
	if q.User == "" {
		q.User = r.Proven
	}
	if r.Given.User != "" { // by the answer about the connection
		q.User = r.Given.User
	}
	if r.From.Peer.IsValid() {
		q.Address = r.From.Peer.Addr().Unmap().String()
	}
	call := g.Ask.NewCall(&q)
	if call == nil { // a reload came between
		return nil
	}
	answer := r.Answers[call.Key]
	if answer == nil {
		answer = g.Ask.Known(call)
	}
	if answer == nil {
		r.Call = call
		return ErrAsk
	}
	if answer.Refusal != nil {
		return answer.Refusal
	}
	return g.take(r, answer)
}

// errGivenUser: the backend contradicts the token that it has signed.
var errGivenUser = &refusal.Error{Status: 403, Code: "ask_denied", Message: "the backend names another user than the token: let its answer name the same user, or none", Close: frame.CloseForbidden}

// take makes the answer a part of the request.
func (g *Gate) take(r *Request, a *ask.Answer) *refusal.Error {
	if a.User != "" {
		if user := r.Who.User(); user != "" && user != a.User || r.Given.User != "" && r.Given.User != a.User {
			return errGivenUser
		}
		if g.Bans != nil && g.Bans.HasText(a.User) {
			return ErrDisconnected
		}
		r.Given.User = a.User
	}
	if a.HasInfo {
		r.Given.Info, r.Given.HasInfo = a.Info, true
	}
	if a.Rewrite {
		r.Data, r.Binary = a.Data, a.Binary
		return g.size(r)
	}
	return nil
}
