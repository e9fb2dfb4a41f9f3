package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"peal/loop"
	"peal/server/grant"
	"peal/server/httpapi"
	"peal/server/inspect"
	"peal/server/log"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/publish"
)

// EndConnection ends the connection of a session, which may come back at once.
func (s *Server) EndConnection(ctx context.Context, text string) error {
	found, _, err := s.find(ctx, text)
	if err != nil {
		return err
	}
	if found != nil {
		ended, err := s.loops.End(ctx, found.Session, endedByOperator)
		if err != nil || ended {
			return walkError(err)
		}
	}
	return &inspect.Error{Status: 404, Code: "no_connection", Message: "no connection of that session is open"}
}

// endedByOperator is how the operator ends one connection.
var endedByOperator = httpapi.NewEnding(permit.ErrDisconnected, "the operator has ended this connection")

// DisconnectClient ends the connections of a client on all nodes, and keeps it away.
func (s *Server) DisconnectClient(ctx context.Context, o inspect.Order) (d inspect.Disconnected, err error) {
	if o.Client == "" {
		return d, &inspect.Error{Status: 400, Code: "no_client", Message: `name the client: {"client":"ann"}`}
	}
	window := max(0, s.config.HTTP.DisconnectWindow)
	if o.Seconds != nil {
		if *o.Seconds < 0 || *o.Seconds > int(httpapi.MaxDisconnectWindow/time.Second) {
			return d, &inspect.Error{Status: 400, Code: "bad_for", Message: "for_s must be from 0 (the client may come back at once) to 86400"}
		}
		window = time.Duration(*o.Seconds) * time.Second
	}
	stored, done := make(chan error, 1), make(chan int, 1)
	refused := s.orders.KeepAway(0, []string{o.Client}, window, func(err error) { stored <- err })
	d.KeptAway = window > 0 && len(refused) == 0
	clients := httpapi.Clients{o.Client: {}}
	if !s.dismisser.Dismiss(0, func(front *httpapi.Front, session uint64) *loop.Ending {
		if front.Dismiss(session, clients) {
			return httpapi.Disconnected
		}
		return nil
	}, func(n int) { done <- n }) {
		return d, &inspect.Error{Status: 429, Code: "busy", Message: "too many clients are being disconnected at the moment: try again; the client is kept away already"}
	}
	for range 2 {
		select {
		case d.Disconnected = <-done:
		case err := <-stored:
			d.Stored = err == nil
		case <-ctx.Done():
			return d, walkError(ctx.Err())
		}
	}
	return d, nil
}

// SendTest publishes a message of the operator, which may publish to any channel.
func (s *Server) SendTest(ctx context.Context, m inspect.Message) (inspect.Sent, error) {
	everything, err := grant.NewScope(map[grant.Action][]string{grant.Publish: {"*"}})
	if err != nil {
		return inspect.Sent{}, err
	}
	c := &s.config
	gate := permit.Gate{
		Policy: c.policy(), Hub: s.hub, NeedsToken: true, NoMemory: &s.noMemory,
		ChannelLimit: c.HTTP.ChannelLimit, MessageBytes: c.Loop.MessageBytes, WireBytes: c.wireLimit(),
	}
	name, refused := names.NewCache(s.table.Load()).Get([]byte(m.Channel))
	if refused != nil {
		return inspect.Sent{}, &inspect.Error{Status: refused.Status, Code: refused.Code, Message: refused.Message}
	}
	channels := []*names.Name{name}
	d := publish.Draft{Data: []byte(m.Data), Event: []byte(m.Event)}
	refused = d.Check()
	if refused == nil {
		operator := permit.Principal{Grant: &grant.Grant{Kind: grant.Backend, Subject: "operator", Scope: everything}}
		refused = gate.Decide(&permit.Request{Action: permit.Publish, Who: operator, Channels: channels, Data: d.Data, Binary: d.Binary})
	}
	if refused != nil {
		return inspect.Sent{}, &inspect.Error{Status: refused.Status, Code: refused.Code, Message: refused.Message}
	}
	info, _ := s.hub.Channel(name.Text())
	done := make(chan error, 1)
	entries := d.AppendEntries(nil, channels)
	if err := s.log.Append(entries, func(err error) { done <- err }); err != nil {
		return inspect.Sent{}, refusedByLog(err)
	}
	select {
	case err := <-done:
		if err != nil {
			return inspect.Sent{}, refusedByLog(err)
		}
	case <-ctx.Done():
		return inspect.Sent{}, &inspect.Error{Status: 503, Code: "unanswered", Message: "the log has not answered in time: the message may be published, or may not"}
	}
	return inspect.Sent{Cursor: s.log.Lineage().Cursor(entries[0].Sequence).String(), Subscribers: info.Subscribers}, nil
}

func refusedByLog(err error) error {
	text := strings.ReplaceAll(err.Error(), "\n", ": ")
	if errors.Is(err, log.ErrFull) {
		text = "subscribers cannot keep up with what is published (overloaded): try again"
	}
	return &inspect.Error{Status: 503, Code: "not_published", Message: "the log has not taken the message: " + text}
}
