package httpapi

import (
	"bytes"
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
	if a = deflate.Negotiate(x.socket().Extensions); a.Agreed {
		sub.Deflate = w.Dialects.Recode(sub, dialect.DeflateOf(a))
	}
	return a
}

// gzip has the response compressed if the client accepts that and some of its channels'
// messages are. It returns the lines of the head about it, and what follows the head.
func (s *subscribing) gzip(x *exchange, w *subscribe.Wish, sub *loop.Subscription) (lines, begin string) {
	switch {
	case sub == nil || !slices.ContainsFunc(w.Channels.List(), deflates):
		return "", ""
	case !acceptsGzip(x.lines().PeekAll("Accept-Encoding")) || !w.Dialects.Recode(sub, dialect.Gzip):
		return varyCoding, ""
	}
	return varyCoding + "Content-Encoding: gzip\r\n", deflate.GzipHeader
}

// gzipBody has the response to a poll compressed if the client accepts that and the
// messages of all its channels may be: they are compressed together.
func (s *subscribing) gzipBody(x *exchange, w *subscribe.Wish, sub *loop.Subscription) {
	if !s.deps.Rules.DeflatesAny() {
		return
	}
	for _, n := range w.Channels.List() {
		if !deflates(n) {
			return
		}
	}
	if acceptsGzip(x.lines().PeekAll("Accept-Encoding")) {
		w.Dialects.Recode(sub, dialect.GzipBody)
	}
}

// varyCoding keeps caches from giving a compressed response to who cannot read it.
const varyCoding = "Vary: Accept-Encoding\r\n"

// deflates reports whether messages of the channel are compressed.
func deflates(n *names.Name) bool { return n.Rule().Deflate == rules.Yes }

// acceptsGzip reports whether a client wants gzip, by Accept-Encoding (RFC 9110 §12.5.3):
// it is named, or everything is, and neither is its weight 0 nor that of identity greater.
// Without the header nobody is sent what might not be understood.
func acceptsGzip(values [][]byte) bool {
	gzip, identity, any := -1, 0, 0
	for _, value := range values {
		for item := range bytes.SplitSeq(value, []byte{','}) {
			coding, parameter, _ := bytes.Cut(item, []byte{';'})
			coding = bytes.TrimSpace(coding)
			switch w := weight(parameter); {
			case bytes.EqualFold(coding, []byte("gzip")), bytes.EqualFold(coding, []byte("x-gzip")):
				gzip = max(gzip, w)
			case bytes.EqualFold(coding, []byte("identity")):
				identity = w
			case string(coding) == "*":
				any = w
			}
		}
	}
	if gzip < 0 {
		gzip = any
	}
	return gzip > 0 && gzip >= identity
}

// weight reads q=0.5 in thousandths (RFC 9110 §12.4.2): 1000 without one, 0 if it is none.
func weight(parameter []byte) int {
	if len(bytes.TrimSpace(parameter)) == 0 {
		return 1000
	}
	name, value, _ := bytes.Cut(parameter, []byte{'='})
	if !bytes.EqualFold(bytes.TrimSpace(name), []byte("q")) {
		return 0
	}
	whole, fraction, _ := bytes.Cut(bytes.TrimSpace(value), []byte{'.'})
	if len(whole) != 1 || whole[0] != '0' && whole[0] != '1' || len(fraction) > 3 {
		return 0
	}
	w, unit := 1000*int(whole[0]-'0'), 100
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return 0
		}
		w += unit * int(c-'0')
		unit /= 10
	}
	return min(w, 1000)
}
