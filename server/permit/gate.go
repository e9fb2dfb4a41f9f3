package permit

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"peal/loop/frame"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/auth"
	"peal/server/ban"
	"peal/server/hub"
	"peal/server/names"
	"peal/server/presence"
	"peal/server/publication"
	"peal/server/refusal"
	"peal/server/rules"
)

// Directory knows how many subscribers a channel has: a hub.Hub.
type Directory interface {
	Channel(name string) (hub.Info, bool)
}

// Gate decides. Its tables may be nil, except for Policy and Hub: then they
// refuse nothing, and there is no presence.
type Gate struct {
	Policy   *auth.Policy
	Bans     *ban.Table
	Hub      Directory
	Presence *presence.Table

	// Apps are those of the Pusher protocol, some of whose channels are protected. nil: none.
	Apps *app.Table

	// Ask asks the backend. nil: it is not asked.
	Ask *ask.Client

	// Revocations are the tokens that no longer hold. nil: all hold.
	Revocations Revocations

	// Stale is set while the node may not know of revocations, because it has not read the
	// log for a while. nil: never.
	Stale *atomic.Bool

	// NeedsToken: nothing is allowed that no rule, token or key grants. Then the rules of
	// all channels need a token where they do not say otherwise.
	NeedsToken bool

	// AnonymousTopics: subscribers of the Mercure protocol need no token for public updates.
	AnonymousTopics bool

	// Pace is what clients may do how often.
	Pace Pace

	// AddressFull reports whether an address has as many connections as it may. It is asked
	// about clients behind trusted proxies only; others are counted by their connections.
	// nil: none has. Any goroutine may call it.
	AddressFull func(netip.Addr) bool

	// Users are the streams, polls and WebSockets of users, of which each may have UserLimit;
	// 0, or nil: nothing is limited.
	Users     *Users
	UserLimit int

	// NoMemory is set while nothing more may be published for want of memory. nil: never.
	NoMemory *atomic.Bool

	// Refused hears of subscriptions that are refused, on the goroutine that decides. nil: nobody does.
	Refused func(r *Request, err *refusal.Error)

	ChannelLimit int // channels of one connection
	MessageBytes int // of one publication
	WireBytes    int // of one publication as it is sent
}

// Decide returns nil if the client may do what it asks for, else why not: see the
// table in the documentation of the package. A subscription with presence has
// taken its room there when Decide returns nil.
func (g *Gate) Decide(r *Request) *refusal.Error {
	if err := g.origin(r); err != nil || r.Action == Arrive {
		return err
	}
	if err := g.revoked(r); err != nil {
		return err
	}
	if err := g.stale(r); err != nil {
		return err
	}
	if err := g.client(r); err != nil {
		return err
	}
	if err := g.ban(r); err != nil {
		return err
	}
	if err := g.grant(r); err != nil {
		return err
	}
	if err := g.rule(r); err != nil {
		return err
	}
	if err := g.room(r); err != nil {
		return err
	}
	if r.Answers == nil { // else it was counted when it came
		if err := g.rate(r); err != nil {
			return err
		}
	}
	if err := g.size(r); err != nil {
		return err
	}
	if err := g.ask(r); err != nil {
		return err
	}
	return g.presence(r)
}

// Found by where a request comes from.
var (
	ErrForeignHost   = &refusal.Error{Status: 403, Code: "host_not_allowed", Message: "this server accepts only an IP address or localhost in the Host header: use one of these, or start the server with --open"}
	ErrForeignOrigin = &refusal.Error{Status: 403, Code: "origin_not_allowed", Message: "the Origin header names a site whose web pages may not use this server: start the server with --allow-origin and that origin (allow-origin also takes https://*.example.org), or use a page from localhost"}
	ErrCrossSite     = &refusal.Error{Status: 403, Code: "cross_site", Message: "a page of another site caused this request without a script (Sec-Fetch-Site), and the request has an effect (POST, client or presence): use fetch, EventSource or WebSocket, which send an Origin header", Close: frame.CloseForbidden}
)

// Site decides by where a request comes from alone: for a batch, whose messages are
// decided one by one after the request has ended.
func (g *Gate) Site(r *Request) *refusal.Error { return g.origin(r) }

func (g *Gate) origin(r *Request) *refusal.Error {
	from := auth.Request{Host: r.From.Host, Origin: r.From.Origin, Site: r.From.Site, HTTPS: r.From.HTTPS}
	switch r.Action {
	case Arrive:
		switch g.Policy.Judge(from, r.Effect) {
		case auth.ForeignHost:
			return ErrForeignHost
		case auth.ForeignOrigin:
			return ErrForeignOrigin
		case auth.CrossSite:
			return ErrCrossSite
		}
	case Subscribe:
		// This is where a GET does something that others see. No page of another site
		// may have a browser do it, by an image for example.
		if (len(r.Who.Client) > 0 || r.Presence) && g.Policy.Judge(from, true) != auth.Welcome {
			return ErrCrossSite
		}
	case Publish:
		// Where tokens are needed, a rule may let anyone publish; but no page of another
		// site may make its visitors do it.
		if g.NeedsToken && r.Who.Grant == nil && g.Policy.IsCrossSite(from) {
			return ErrForeignPublish
		}
	}
	return nil
}

// ErrForeignPublish refuses what a page of another site publishes without a token.
var ErrForeignPublish = &refusal.Error{Status: 403, Code: "cross_site", Message: "a page of another site sent this request without a token: send a token, or start the server with --allow-origin and the origin of that page", Close: frame.CloseForbidden}

// ErrDisconnected refuses a client that the backend has disconnected.
var ErrDisconnected = &refusal.Error{Status: 410, Code: "disconnected", Message: "the backend has disconnected this client: do not reconnect unchanged", Close: frame.CloseDisconnected}

func (g *Gate) ban(r *Request) *refusal.Error {
	if r.Action != Subscribe || g.Bans == nil {
		return nil
	}
	if len(r.Who.Client) > 0 && g.Bans.Has(r.Who.Client) || r.Who.User() != "" && g.Bans.HasText(r.Who.User()) {
		return ErrDisconnected
	}
	return nil
}

// Found by the rules of channels.
var (
	ErrBackendOnly = &refusal.Error{Status: 403, Code: "publish_not_allowed", Message: "clients may not publish on this channel: publish from the backend over HTTP", Close: frame.CloseForbidden}
	ErrPresenceOff = &refusal.Error{Status: 403, Code: "presence_off", Message: "the rule of this channel turns presence off (presence: false)", Close: frame.CloseForbidden}
)

func (g *Gate) rule(r *Request) *refusal.Error {
	switch {
	case r.Topics: // who may publish needs a token for it
	case r.Action == Publish && (r.From.Transport == WebSocket || g.isClient(&r.Who)):
		for _, n := range r.Channels {
			if n.Rule().ClientPublish == rules.No {
				return ErrBackendOnly
			}
		}
	case r.Action == Presence, r.Action == Subscribe && r.Presence:
		// Channels without presence are passed over beside others: a URL has one word
		// for all of its channels.
		for _, n := range r.Channels {
			if g.HasPresence(n) {
				return nil
			}
		}
		return ErrPresenceOff
	}
	return nil
}

// isClient reports whether it is no backend that asks over HTTP: without access control
// nobody can tell.
func (g *Gate) isClient(who *Principal) bool {
	return who.User() != "" || who.Grant == nil && g.NeedsToken
}

// HasPresence reports whether clients are listed on the channel.
func (g *Gate) HasPresence(n *names.Name) bool {
	return g.Presence != nil && n.Rule().Presence != rules.No
}

// Found where there is no room for one more subscriber.
var (
	ErrAddressFull  = &refusal.Error{Status: 429, Code: "too_many_connections", Message: "your address has too many streams and WebSockets (max-connections-per-address): close one, or try again later", Close: frame.CloseRateLimited}
	ErrChannelFull  = &refusal.Error{Status: 429, Code: "channel_full", Message: "the channel has reached the max-subscribers of its rule: try again later", Close: frame.CloseTryAgainLater}
	ErrPresenceFull = &refusal.Error{Status: 429, Code: "presence_full", Message: "there is no room for presence events of one more channel (presence-bytes, address-share): try again later, or without presence", Close: frame.CloseTryAgainLater}
)

// room finds out whether there is room for one more subscriber. Loops do not wait
// for one another: those that come at the same moment may all be let in.
func (g *Gate) room(r *Request) *refusal.Error {
	if r.Action == Publish && g.NoMemory != nil && g.NoMemory.Load() {
		return refusal.ErrNoMemory
	}
	if r.Behind {
		return refusal.ErrNodeBehind
	}
	if r.Action != Subscribe {
		return nil
	}
	if r.Draining {
		return refusal.ErrDraining
	}
	if r.Has+len(r.Channels) > g.ChannelLimit {
		return names.ErrTooMany
	}
	if r.From.Transport == HTTP && r.Who.Behind && g.AddressFull != nil && g.AddressFull(r.From.Peer.Addr()) {
		return ErrAddressFull
	}
	if r.From.Transport == HTTP && g.UserLimit > 0 && g.Users != nil { // a WebSocket was counted when it opened
		if user := r.Who.User(); user != "" && g.Users.full(user, g.UserLimit) {
			return ErrUserFull
		}
	}
	for _, n := range r.Channels {
		if most := n.Rule().MaxSubscribers; most > 0 {
			if info, _ := g.Hub.Channel(n.Text()); info.Subscribers >= most {
				return ErrChannelFull
			}
		}
	}
	return nil
}

func (g *Gate) presence(r *Request) *refusal.Error {
	if r.Action != Subscribe || !r.Presence {
		return nil
	}
	for _, n := range r.Channels {
		if g.HasPresence(n) && !g.Presence.Watch(r.Who.Share, n.Text()) {
			return ErrPresenceFull
		}
	}
	return nil
}

// ErrTooLarge refuses a message beyond the limit of the server.
var ErrTooLarge = &refusal.Error{Status: 413, Code: "message_too_large", Message: "the data exceeds message-bytes (64 KiB by default): publish a shorter message, or a link to the data", Close: frame.CloseTooBig}

// size refuses a message that is larger than the server or one of its channels
// allows, or longer than the server can hold as it is sent to some subscriber: it
// would be cut off in the middle of it.
func (g *Gate) size(r *Request) *refusal.Error {
	if r.Action != Publish {
		return nil
	}
	if len(r.Data) > g.MessageBytes {
		return ErrTooLarge
	}
	for _, n := range r.Channels {
		if most := n.Rule().MessageBytes; most > 0 && len(r.Data) > most {
			return tooLarge(fmt.Sprintf("the data has %d bytes, the limit here is %d (message-bytes): publish a shorter message, or a link to the data (channel %s)", len(r.Data), most, n.Text()))
		}
	}
	copies, also := 1, 0 // of the data in the longest form: that of Pusher has one for each of several topics
	if r.Topics {
		for _, n := range r.Channels[1:] {
			also += publication.AlsoBytes(n.Text())
		}
		if g.Apps.Len() > 0 {
			copies = len(r.Channels)
		}
	}
	if publication.FitsAnyway(len(r.Data), (g.WireBytes-also)/copies) {
		return nil
	}
	if most := also + copies*publication.MostBytes(r.Data, r.Binary); most > g.WireBytes {
		return tooLarge(fmt.Sprintf("the encoded message may take %d bytes, and the server can hold at most %d for one subscriber (half of held-bytes): publish a shorter message, or a link to the data", most, g.WireBytes))
	}
	return nil
}

func tooLarge(message string) *refusal.Error {
	return &refusal.Error{Status: ErrTooLarge.Status, Code: ErrTooLarge.Code, Message: message, Close: ErrTooLarge.Close}
}
