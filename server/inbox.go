package server

import (
	"context"

	"peal/server/grant"
	"peal/server/inbox"
	"peal/server/log"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/rules"
	"peal/server/tally"
)

// newMover returns what moves publications of other programs into the log; nil for a log
// without an inbox. A publication from there is that of a backend: writing there needs the
// rights of the store.
func (s *Server) newMover() (*inbox.Mover, error) {
	from, ok := s.log.(log.Inboxed)
	if !ok {
		return nil, nil
	}
	everything, err := grant.NewScope(map[grant.Action][]string{grant.Publish: {"*"}})
	if err != nil {
		return nil, err
	}
	c := &s.config
	gate := permit.Gate{
		Policy: c.policy(), Hub: s.hub, NeedsToken: true, NoMemory: &s.noMemory,
		ChannelLimit: c.HTTP.ChannelLimit, MessageBytes: c.Loop.MessageBytes, WireBytes: c.wireLimit(),
	}
	backend := permit.Principal{Grant: &grant.Grant{Kind: grant.Backend, Subject: "inbox", Scope: everything}}
	return inbox.New(inbox.Config{
		From: from.Inbox(), To: s.log, Channels: c.HTTP.ChannelLimit,
		Check: func(d *publish.Draft, channels []*names.Name) *refusal.Error {
			return gate.Decide(&permit.Request{Action: permit.Publish, Who: backend, Channels: channels, Data: d.Data, Binary: d.Binary})
		},
		Rules:  func() *rules.Table { return s.table.Load() },
		Accept: func(publications int) { s.workers.Tally().Accept(tally.Inbox, publications) },
		Report: c.Log,
	}), nil
}

// moveInbox moves until ctx ends.
func (s *Server) moveInbox(ctx context.Context) {
	if s.mover != nil {
		s.mover.Run(ctx)
	}
}

// InboxStats is what was moved from the inbox of the log. ok is false for a log without one.
func (s *Server) InboxStats() (stats inbox.Stats, ok bool) {
	if s.mover == nil {
		return inbox.Stats{}, false
	}
	return s.mover.Stats(), true
}
