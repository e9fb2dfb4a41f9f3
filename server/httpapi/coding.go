package httpapi

import (
	"slices"

	"peal/loop"
	"peal/loop/deflate"
	"peal/server/dialect"
	"peal/server/names"
	"peal/server/rules"
	"peal/server/subscribe"
)

// extensionBytes is the length of the longest line of deflate.Agreement.
const extensionBytes = 160

// deflate negotiates the compression of a WebSocket, if messages that it may receive are
// compressed at all: those of its channels, or with commands of any. Which messages are
// is decided for each of them by the rule of its channel.
func (s *subscribing) deflate(x *exchange, w *subscribe.Wish, sub *loop.Subscription) (a deflate.Agreement) {
	if !s.deps.Rules.DeflatesAny() || !sub.Commands && !slices.ContainsFunc(w.Channels.List(), deflates) {
		return a
	}
	if a = deflate.Negotiate(x.joined("Sec-WebSocket-Extensions")); a.Agreed {
		sub.Deflate = w.Dialects.Recode(sub, dialect.DeflateOf(a))
	}
	return a
}

// deflates reports whether messages of the channel are compressed.
func deflates(n *names.Name) bool { return n.Rule().Deflate == rules.Yes }
