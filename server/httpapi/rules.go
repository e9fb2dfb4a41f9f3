package httpapi

import (
	"fmt"

	"peal/loop/frame"
	"peal/server/rules"
	"peal/server/wsproto"
)

// What the rules of channels refuse. Each is asked where a request or a
// command has picked its channels and before it does anything.

// ruleOf is the rule of a channel that a connection has: remembered, as a rule.
func (f *Front) ruleOf(channel string) *rules.Rule {
	if n := f.names.known[channel]; n != nil {
		return n.rule
	}
	return f.deps.Rules.For(channel)
}

// mayPublish refuses what WebSocket clients publish where only the backend may,
// which does so over HTTP.
func (f *Front) mayPublish(channel string) error {
	if f.ruleOf(channel).ClientPublish == rules.No {
		return errBackendOnly
	}
	return nil
}

// mayPublishPicked is mayPublish for all picked channels.
func (f *Front) mayPublishPicked() error {
	for _, n := range f.picked {
		if n.rule.ClientPublish == rules.No {
			return errBackendOnly
		}
	}
	return nil
}

// fitsPicked refuses data of that many bytes if it is larger than a message on
// one of the picked channels may be.
func (f *Front) fitsPicked(bytes int) error {
	for _, n := range f.picked {
		if err := fits(n.rule, n.text(), bytes); err != nil {
			return err
		}
	}
	return nil
}

// fits is fitsPicked for one channel and its rule. Any goroutine may call it.
func fits(r *rules.Rule, channel string, bytes int) error {
	if r.MessageBytes == 0 || bytes <= r.MessageBytes {
		return nil
	}
	return &Error{
		Status:  errMessageTooLarge.Status,
		Code:    errMessageTooLarge.Code,
		Message: fmt.Sprintf("the data has %d bytes, the limit here is %d (message-bytes): publish a shorter message, or a link to the data (channel %s)", bytes, r.MessageBytes, channel),
		close:   frame.CloseTooBig,
	}
}

// haveRoom refuses one more subscriber where a picked channel has as many as its
// rule allows. Loops do not wait for one another: those who come at the same
// moment may all be let in.
func (f *Front) haveRoom() error {
	for _, n := range f.picked {
		if most := n.rule.MaxSubscribers; most > 0 {
			if info, _ := f.deps.Hub.Channel(n.text()); info.Subscribers >= most {
				return errChannelFull
			}
		}
	}
	return nil
}

// Found by the rules of channels.
var (
	errBackendOnly = &Error{Status: 403, Code: "publish_not_allowed", Message: "clients may not publish on this channel: publish from the backend over HTTP", close: wsproto.CloseForbidden}
	errChannelFull = &Error{Status: 429, Code: "channel_full", Message: "the channel has reached the max-subscribers of its rule: try again later", close: frame.CloseTryAgainLater}
)
