package permit

import (
	"fmt"
	"time"

	"peal/loop/frame"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/rate"
	"peal/server/refusal"
)

// Pace is what clients may do how often: each publication counts once for each of its
// channels, each command of peal.v1 that is decided once.
type Pace struct {
	Buckets *rate.Table          // nil: nothing is limited
	Limits  rate.Limits          // of channels without a rule about it
	Now     func() time.Duration // of a clock that does not go back
}

// rate refuses what the client does more often than it may. A request that is refused
// takes nothing from any bucket.
//
// A backend has the bucket of its key. Every other client has the one of its connection,
// or, of what a trusted proxy forwards, that of its address,
// and, with a token, that of its user, too; on channels whose rule has a rate it has
// one for each channel instead.
func (g *Gate) rate(r *Request) *refusal.Error {
	if g.Pace.Buckets == nil {
		return nil
	}
	if r.Action != Publish {
		if r.From.Transport == WebSocket {
			return g.Pace.spend(&r.Who, 1)
		}
		return nil
	}
	others := 0 // channels without a rate of their own
	for i, n := range r.Channels {
		limit := n.Rule().Rate
		switch {
		case !limit.IsSet() || isBackend(&r.Who):
			others++
		case limit.IsOn():
			if err := g.Pace.take(rate.Channel, g.Pace.on(&r.Who, n), limit, 1); err != nil {
				g.Pace.giveBack(&r.Who, r.Channels[:i])
				return err
			}
		}
	}
	if others == 0 {
		return nil
	}
	err := g.Pace.spend(&r.Who, others)
	if err != nil && others < len(r.Channels) {
		g.Pace.giveBack(&r.Who, r.Channels)
	}
	return err
}

func isBackend(who *Principal) bool { return who.Grant != nil && who.Grant.Kind == grant.Backend }

// on is the key of a client on one channel.
func (p *Pace) on(who *Principal, n *names.Name) rate.Key {
	if user := who.User(); user != "" {
		return p.Buckets.On(p.Buckets.Name(rate.User, user), n.Text())
	}
	return p.Buckets.On(p.Buckets.Number(rate.Connection, who.connection()), n.Text())
}

// giveBack returns what was taken for channels with a rate.
func (p *Pace) giveBack(who *Principal, channels []*names.Name) {
	for _, n := range channels {
		if limit := n.Rule().Rate; limit.IsOn() && !isBackend(who) {
			p.Buckets.Return(p.on(who, n), limit, 1)
		}
	}
}

// spend takes n tokens of a client, on channels without a rate or for a command.
func (p *Pace) spend(who *Principal, n int) *refusal.Error {
	if isBackend(who) {
		if !p.Limits.Key.IsOn() {
			return nil
		}
		return p.take(rate.Backend, p.Buckets.Name(rate.Backend, who.Grant.Subject), p.Limits.Key, n)
	}
	var connection rate.Key
	if p.Limits.Connection.IsOn() {
		connection = p.Buckets.Number(rate.Connection, who.connection())
		if err := p.take(rate.Connection, connection, p.Limits.Connection, n); err != nil {
			return err
		}
	}
	user := who.User()
	if user == "" || !p.Limits.User.IsOn() {
		return nil
	}
	err := p.take(rate.User, p.Buckets.Name(rate.User, user), p.Limits.User, n)
	if err != nil && p.Limits.Connection.IsOn() {
		p.Buckets.Return(connection, p.Limits.Connection, n)
	}
	return err
}

func (p *Pace) take(kind rate.Kind, key rate.Key, limit rate.Limit, n int) *refusal.Error {
	ok, retry := p.Buckets.Take(key, limit, n, p.Now())
	if ok {
		return nil
	}
	p.Buckets.Limited(kind)
	return limited(kind, limit, retry)
}

// limitedBy is where a limit is set, by the kind of what it limits.
var limitedBy = [...]string{
	rate.Connection: "on this connection (rate-connection: %s)",
	rate.Backend:    "with this key (rate-key: %s)",
	rate.User:       "of this user (rate-user: %s)",
	rate.Channel:    "of one client on one channel (rate of its channel rule: %s)",
}

func limited(kind rate.Kind, limit rate.Limit, retry time.Duration) *refusal.Error {
	seconds := int((retry + time.Second - 1) / time.Second)
	return &refusal.Error{
		Status: 429, Code: "rate_limited", Close: frame.CloseRateLimited, Retry: seconds,
		Message: fmt.Sprintf("too many publications or commands "+limitedBy[kind]+": try again in %d s", limit, seconds),
	}
}

// IsRate reports whether a request was refused because the client does too much, so
// that it could be allowed later.
func IsRate(err *refusal.Error) bool { return err != nil && err.Close == frame.CloseRateLimited }
