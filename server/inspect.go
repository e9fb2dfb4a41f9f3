package server

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"peal/loop"
	"peal/server/httpapi"
	"peal/server/inspect"
	"peal/server/session"
)

// What the admin listener shows of connections and channels. All of it may be called by any
// goroutine but those of the loops.

// errWalks is there while too many others look at the connections.
var errWalks = &inspect.Error{Status: 429, Code: "too_many_walks", Message: "8 other requests are looking at the connections, which is the limit: try again when one of them is done"}

func walkError(err error) error {
	switch {
	case errors.Is(err, loop.ErrWalks):
		return errWalks
	case errors.Is(err, context.DeadlineExceeded):
		return &inspect.Error{Status: 503, Code: "busy", Message: "the event loops have not looked at all connections in time: ask for fewer (limit), or try again"}
	}
	return err
}

// Inspect returns connections: see loop.Group.Walk for what a page may miss.
func (s *Server) Inspect(ctx context.Context, q inspect.Query) (inspect.Page, error) {
	w := loop.Walk{
		From: loop.Place{Loop: uint16(min(q.Loop, math.MaxUint16)), Slot: q.Slot}, Limit: q.Limit, Names: inspect.ListedNames,
		Channel: q.Channel, Behind: q.Behind, Address: q.Address(), Tell: tellAbout,
	}
	if q.User != "" {
		w.Pick = func(front loop.Front, session uint64) bool { return front.(*httpapi.Front).Goes(session, q.User) }
	}
	found, next, more, err := s.loops.Walk(ctx, w)
	if err != nil {
		return inspect.Page{}, walkError(err)
	}
	page := inspect.Page{Connections: make([]inspect.Connection, 0, len(found))}
	for i := range found {
		page.Connections = append(page.Connections, s.shown(&found[i]))
	}
	if more {
		page.Next = inspect.Next(int(next.Loop), next.Slot)
	}
	return page, nil
}

func tellAbout(front loop.Front, c *loop.Seen) { c.About = front.(*httpapi.Front).About(c.Session) }

// errSession: a text is no name of a session.
var errSession = &inspect.Error{Status: 400, Code: "bad_session", Message: "a session is named by its id, 22 characters of base64url (Peal-Session, or session in the first message to the client), or by its number in the server's log"}

// sessionNumber reads the name of a session: its id, or its number.
func (s *Server) sessionNumber(text string) (number uint64, id *[16]byte, err error) {
	if one, ok := session.Parse([]byte(text)); ok {
		number, _ = s.sessions.Session(one)
		return number, (*[16]byte)(&one), nil
	}
	if number, err = strconv.ParseUint(text, 10, 64); err != nil || number == 0 {
		return 0, nil, errSession
	}
	return number, nil, nil
}

// find looks for the connection of a session; nil if it is not open. number is 0 for an id
// that is none of this process and of which no connection is known.
func (s *Server) find(ctx context.Context, text string) (found *loop.Seen, number uint64, err error) {
	number, id, err := s.sessionNumber(text)
	if err != nil {
		return nil, 0, err
	}
	w := loop.Walk{Session: number, Limit: 1, Names: math.MaxInt, Tell: tellAbout}
	for {
		if w.Session != 0 || w.Adopted != nil {
			all, _, _, err := s.loops.Walk(ctx, w)
			if err != nil {
				return nil, number, walkError(err)
			}
			if len(all) > 0 {
				return &all[0], all[0].Session, nil
			}
		}
		if id == nil || w.Adopted != nil {
			return nil, number, nil
		}
		w.Session, w.Adopted = 0, id // of an earlier session, under which a client has come back
	}
}

// InspectOne returns a connection by its session's id or number, or how it has ended if it
// is not open.
func (s *Server) InspectOne(ctx context.Context, text string) (c *inspect.Connection, gone *inspect.Gone, err error) {
	found, number, err := s.find(ctx, text)
	if err != nil {
		return nil, nil, err
	}
	if found == nil {
		gone = &inspect.Gone{Session: text}
		ends, err := s.loops.Ends(ctx, func(e *loop.Ended) bool { return e.Session == number && number != 0 })
		if err == nil && len(ends) > 0 {
			e := s.shownEnd(&ends[0])
			gone.End = &e
		}
		return nil, gone, walkError(err)
	}
	one := s.shown(found)
	ends, err := s.loops.Ends(ctx, func(e *loop.Ended) bool {
		if one.Client != "" {
			return e.Name == one.Client
		}
		return e.Name == "" && e.Peer.Addr() == found.Peer.Addr()
	})
	if err != nil {
		return nil, nil, walkError(err)
	}
	if len(ends) > 0 {
		e := s.shownEnd(newestEnd(ends))
		one.End = &e
	}
	return &one, nil, nil
}

func newestEnd(ends []loop.Ended) *loop.Ended {
	newest := &ends[0]
	for i := range ends {
		if ends[i].Ago < newest.Ago {
			newest = &ends[i]
		}
	}
	return newest
}

// Ends returns the newest streams and polls that have ended, of a client or an address if q has one.
func (s *Server) Ends(ctx context.Context, q inspect.Query) (inspect.Ends, error) {
	address := q.Address()
	ends, err := s.loops.Ends(ctx, func(e *loop.Ended) bool {
		return (q.User == "" || e.Name == q.User) && (address == nil || address(e.Peer.Addr()))
	})
	if err != nil {
		return inspect.Ends{}, walkError(err)
	}
	slices.SortStableFunc(ends, func(a, b loop.Ended) int { return int(a.Ago/time.Second) - int(b.Ago/time.Second) })
	all := inspect.Ends{Ends: []inspect.End{}}
	for i := range ends[:min(len(ends), q.Limit)] {
		all.Ends = append(all.Ends, s.shownEnd(&ends[i]))
	}
	return all, nil
}

func addressText(a netip.AddrPort) string {
	if !a.IsValid() {
		return "unix socket"
	}
	return a.String()
}

// dialectName is the name of the dialect of a stream or poll.
func (s *Server) dialectName(transport string, c *loop.Seen) string {
	if transport == loop.OverHTTP {
		return ""
	}
	return s.dialects.At(c.Dialect).Name
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (s *Server) shown(c *loop.Seen) inspect.Connection {
	at := &c.Standing
	v := inspect.Connection{
		Session: s.sessions.Of(c.Session).String(), Number: strconv.FormatUint(c.Session, 10), Loop: int(c.Place.Loop),
		Transport: c.Transport, State: c.State, Dialect: s.dialectName(c.Transport, c), Address: addressText(c.Peer),
		TLS: c.Secure, Trusted: c.Trusted,
		Silent: seconds(c.Silent), Missed: c.Missed, Replies: c.Replies,
		Channels: c.Channels, Width: c.Width,
		CaughtUp: at.CaughtUp, Stalled: at.Stalled, Slow: at.Slow, Waiting: at.Half + at.Private, Input: c.Input,
	}
	if v.Channels == nil {
		v.Channels = []string{}
	}
	if c.Adopted != nil {
		v.Earlier = session.ID(*c.Adopted).String()
	}
	if c.Proxy.IsValid() {
		v.Proxy = c.Proxy.String()
	}
	if c.Age >= 0 {
		age := seconds(c.Age)
		v.Age = &age
	}
	if c.Width > 0 {
		v.Cursor, v.Sequence, v.Newest = s.log.Lineage().Cursor(at.Position).String(), at.Position, at.Newest
		if at.Newest > at.Position {
			v.Behind = at.Newest - at.Position
		}
	}
	if t := &c.Traffic; t.Known {
		v.Traffic = &inspect.Traffic{
			Sent: t.Sent, Acknowledged: t.Acknowledged, Received: t.Received, Unsent: t.Unsent, Retransmitted: t.Retransmitted,
			RoundTrip: t.RoundTrip.Microseconds(), Blocked: t.Blocked.Milliseconds(),
		}
	}
	if g := c.Gap; g != nil {
		v.Gap = &inspect.Gap{Ago: seconds(g.Ago), Reason: g.Reason, Cursor: s.log.Lineage().Cursor(g.To).String()}
	}
	who, _ := c.About.(httpapi.About)
	v.Kind, v.Client, v.Info, v.Token, v.Expires, v.Backend = who.Kind.String(), who.Name, who.Info, who.Token, who.Expires*1000, who.Backend
	return v
}

func (s *Server) shownEnd(e *loop.Ended) inspect.End {
	return inspect.End{
		Session: s.sessions.Of(e.Session).String(), Number: strconv.FormatUint(e.Session, 10), Transport: e.Transport,
		Dialect: s.dialects.At(e.Dialect).Name, Address: addressText(e.Peer), Client: e.Name, Ago: seconds(e.Ago), Code: int(e.Code), Reason: e.Reason,
	}
}

// InspectChannel returns what this node knows of a channel.
func (s *Server) InspectChannel(name string) (inspect.Channel, error) {
	if name == "" {
		return inspect.Channel{}, &inspect.Error{Status: 400, Code: "bad_channel", Message: "name the channel: /channel?name=news"}
	}
	info, _ := s.hub.Channel(name)
	c := inspect.Channel{Channel: name, Subscribers: info.Subscribers, Messages: info.Messages, Bytes: info.Bytes, Members: s.presence.List(name, "", 1).Count, Rule: s.table.Load().For(name).Match}
	if info.Messages > 0 {
		c.Oldest, c.Newest = s.log.Lineage().Cursor(info.Oldest).String(), s.log.Lineage().Cursor(info.Newest).String()
	}
	return c, nil
}

// Left is closed when another process has taken over.
func (s *Server) Left() <-chan struct{} { return s.left }

// MemoryLimit is memory-limit, 0 for none.
func (s *Server) MemoryLimit() int { return max(0, s.config.MemoryLimit) }
