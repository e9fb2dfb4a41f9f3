package permit

import (
	"slices"

	"peal/loop/frame"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/grant"
	"peal/server/mercure"
	"peal/server/names"
	"peal/server/refusal"
	"peal/server/rules"
)

// Found in requests of the Mercure protocol.
var (
	ErrNoSubscriber = &refusal.Error{Status: 401, Code: "token_missing", Message: "subscribing needs a token (mercure-anonymous is off): send it as Authorization: Bearer, as the cookie of mercure-cookie, or as authorization= in the URL", Close: frame.CloseUnauthorized}
	ErrNoPublisher  = &refusal.Error{Status: 401, Code: "token_missing", Message: "publishing needs a token with mercure.publish: send it as Authorization: Bearer", Close: frame.CloseUnauthorized}
	ErrNoTopic      = &refusal.Error{Status: 403, Code: "not_allowed", Message: "the token does not grant one of the topics: mercure.publish must select all topics of an update, and mercure.subscribe those whose private updates are read", Close: frame.CloseForbidden}
	ErrTopicOfHub   = &refusal.Error{Status: 403, Code: "reserved_channel", Message: "channels and topics with the path " + mercure.Path + " are for updates of the server itself: publish on another one", Close: frame.CloseForbidden}
	ErrAlone        = &refusal.Error{Status: 403, Code: "channel_protected", Message: "a private or presence channel of an app of the Pusher protocol cannot be one of several topics of a public update, because all who receive it see their names: publish on it by itself", Close: frame.CloseForbidden}
	ErrSeveralApps  = &refusal.Error{Status: 403, Code: "channel_protected", Message: "the topics of an update belong to several apps of the Pusher protocol, and the clients of each would take the channels of the others for their own: publish on each by itself", Close: frame.CloseForbidden}
	ErrTopicKey     = &refusal.Error{Status: 403, Code: "backend_only", Message: "the rule of the channel allows only keys of backends: send a key that allows it as Authorization: Bearer, or change its rule", Close: frame.CloseForbidden}
)

// hasSelector reports whether the token has the selector, or that of all topics; so does a
// key that allows all channels.
func hasSelector(who *grant.Grant, selector string) bool {
	if of := who.Selectors(grant.Subscribe); of != nil {
		return slices.Contains(of.Texts(), selector) || slices.Contains(of.Texts(), "*")
	}
	return who.Kind == grant.Backend && who.Covers(grant.Subscribe, "")
}

// IsOpen reports whether every client may subscribe to the channel, with a token or without.
func (g *Gate) IsOpen(n *names.Name) bool {
	topic, private := n.Topic()
	switch {
	case private || topic == "" || topic[0] == '$' || n.Rule().RestrictsSubscribers() || g.Apps.Protects(topic) || g.Ask.Covers(ask.Subscribe, topic):
		return false
	}
	return n.Rule().Subscribe == rules.Anyone || g.AnonymousTopics
}

// topics decides about a request of the Mercure protocol, in place of grant. Public updates
// are for all subscribers: those with any valid token and, with AnonymousTopics, all others.
// A rule of the channel that itself says who may subscribe restricts that. What is private,
// or is published, needs a token or key that grants the topic.
func (g *Gate) topics(r *Request) *refusal.Error {
	who := r.Who.Grant
	var one *app.App // of which a topic is a channel
	for _, n := range r.Channels {
		topic, private := n.Topic()
		need, granted := n.Rule().Subscribe, private
		if selector, ok := n.Granted(); ok && (who == nil || !hasSelector(who, selector)) {
			return ErrNoTopic
		}
		protected := g.Apps.Protects(topic)
		switch {
		case r.Action == Publish:
			need, granted = n.Rule().Publish, true
		case protected || n.Rule().RestrictsSubscribers():
			granted = true
		}
		switch {
		case who == nil && r.Action == Publish:
			return ErrNoPublisher
		case who == nil && protected:
			return ErrProtected
		case who == nil && (granted || !g.AnonymousTopics):
			return ErrNoSubscriber
		case who == nil:
		case who.Kind != grant.Backend && (need == rules.Backend || protected && app.IsUser(app.Name(topic))): // no pattern of a token covers the channel of a user
			return ErrTopicKey
		case granted && !who.Allows(r.Action, topic):
			return ErrNoTopic
		case r.Action == Publish && protected && !private && len(r.Channels) > 1:
			return ErrAlone
		}
		if r.Action != Publish || private || !app.IsName([]byte(app.Name(topic))) {
			continue
		}
		if of := g.Apps.Of(topic); of != nil && one != nil && of != one {
			return ErrSeveralApps
		} else if of != nil {
			one = of
		}
	}
	return nil
}
