package httpapi

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"peal/loop"
	"peal/server/grant"
	"peal/server/log"
	"peal/server/mercure/subscription"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/response"
)

// Found in requests for the subscriptions of the Mercure protocol.
var (
	errNoSubscriptions  = &refusal.Error{Status: 404, Code: "not_found", Message: "this server does not list subscriptions: set mercure-subscriptions to the number that it may have"}
	errNoSubscription   = &refusal.Error{Status: 404, Code: "not_found", Message: "there is no such subscription: it has ended, was one too many (mercure-subscriptions), or is on another node and without events so far"}
	errSubscriptionPath = &refusal.Error{Status: 400, Code: "bad_topic", Message: "the path of a subscription is the topic and the subscriber, each percent-encoded, as in its id"}
)

// subscribed notes the subscriptions of a client whose event stream begins. topics are those
// of the request.
func (h *mercureHub) subscribed(x *exchange, sub *loop.Subscription, topics []string) {
	if x.call.Verdict != loop.Stream {
		return
	}
	payload := ""
	if x.grant != nil && x.grant.Kind == grant.User && x.grant.Topics {
		payload = x.grant.Info
	}
	x.call.Work += subscriptionWork * len(topics)
	if h.deps.Subscriptions.Begin(x.call.Session, x.by, topics, payload) {
		sub.Named = true // so that Left is called
	}
}

// subscriptionWork is what noting a subscription, and its events, cost a loop.
const subscriptionWork = 3

// note keeps a topic of the request, if subscriptions are listed.
func (h *mercureHub) note(topic []byte) {
	if h.deps.Subscriptions == nil {
		return
	}
	for _, known := range h.topics {
		if known == string(topic) {
			return
		}
	}
	h.topics = append(h.topics, string(topic))
}

// subscriptions serves the list of all subscriptions, those to one topic, or one of them, for a
// path with so many names.
func (h *mercureHub) subscriptions(names int) func(x *exchange) {
	return func(x *exchange) { h.listSubscriptions(x, x.segments[:names]) }
}

func (h *mercureHub) listSubscriptions(x *exchange, path [][]byte) {
	table := h.deps.Subscriptions
	if table == nil {
		x.refuse(errNoSubscriptions)
		return
	}
	var texts [2]string
	for i, part := range path {
		text, ok := pathText(part)
		if !ok {
			x.refuse(errSubscriptionPath)
			return
		}
		texts[i] = text
	}
	topic, subscriber, id := texts[0], texts[1], subscription.Path
	if topic != "" {
		id = subscription.ID(topic, subscriber)
	}
	x.channels.Reset(x.names, x.deps.ChannelLimit)
	if err := x.channels.AddName(names.Of(log.PrivatePrefix+id, x.deps.Rules)); err != nil {
		x.refuse(err)
		return
	}
	q := x.request()
	q.Action, q.Topics = permit.History, true
	if !x.permits(q) {
		return
	}
	after := ""
	x.args.ParseBytes(x.head.Query)
	if v := x.args.Peek("after"); len(v) > 0 {
		after = string(v)
	}
	last := string(h.deps.Log.Lineage().Cursor(h.deps.Hub.Head()).Append(nil)) // before the table is read
	reply := x.pendingReply()
	write := func(dst []byte) []byte {
		if subscriber == "" {
			return reply.shape.append(dst, reply.clock.Date(), 200, subscription.Type, response.NoStore, table.AppendList(nil, topic, after, last))
		}
		body, ok := table.AppendOne(nil, topic, subscriber, last)
		if !ok {
			return reply.AppendError(dst, errNoSubscription)
		}
		return reply.shape.append(dst, reply.clock.Date(), 200, subscription.Type, response.NoStore, body)
	}
	if err := h.desk.AskWhole(q.Who, x.call.Conn, &reply, table.Cost(), write); err != nil {
		x.refuse(err)
		return
	}
	x.later()
}

// pathText decodes a part of a path.
func pathText(part []byte) (text string, ok bool) {
	text, err := url.PathUnescape(string(part))
	return text, err == nil && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}
