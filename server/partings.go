package server

import (
	"context"
	"sync"
	"time"

	"peal/loop"
	"peal/server/httpapi"
)

// partings ends the connections of this node that orders of other nodes are about:
// control has brought them into the tables, so nobody comes back meanwhile.
type partings struct {
	// Fixed.
	server *Server
	signal chan struct{} // there is something to do

	mu      sync.Mutex
	clients httpapi.Clients // whose connections are to be ended, at most mostParting
	banned  bool            // there were more: all that are banned
	tokens  bool            // connections whose token is revoked are to be ended
}

// mostParting is how many names of clients wait while connections are looked at.
const mostParting = 100_000

func newPartings(s *Server) *partings {
	return &partings{server: s, signal: make(chan struct{}, 1), clients: httpapi.Clients{}}
}

// endClients has the connections of clients ended. Under the append lock.
func (p *partings) endClients(clients []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, client := range clients {
		if len(p.clients) >= mostParting {
			p.banned = true // those that were disconnected and may come back at once stay
			break
		}
		p.clients[client] = struct{}{}
	}
	p.wake()
}

// endTokens has the connections ended whose token is revoked. Under the append lock.
func (p *partings) endTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = true
	p.wake()
}

func (p *partings) wake() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// run ends connections until ctx ends. What is ordered while it looks at them waits, and is
// looked for together.
func (p *partings) run(ctx context.Context) {
	for {
		select {
		case <-p.signal:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		clients, banned, tokens := p.clients, p.banned, p.tokens
		p.clients, p.banned, p.tokens = httpapi.Clients{}, false, false
		p.mu.Unlock()
		p.end(ctx, clients, banned, tokens)
	}
}

func (p *partings) end(ctx context.Context, clients httpapi.Clients, banned, tokens bool) {
	s := p.server
	if banned {
		s.config.Log.Warn("more clients were disconnected on other nodes at a time than this one can look for: it ends the connections of all that are kept away", "names", len(clients))
	}
	among := func(client string) bool {
		if _, ok := clients[client]; ok {
			return true
		}
		return banned && s.bans.HasText(client)
	}
	pick := func(f loop.Front, session uint64) *loop.Ending {
		front := f.(*httpapi.Front)
		switch {
		case tokens && front.RevokeAmong(session, s.revoked.Has):
			return httpapi.Revoked
		case (len(clients) > 0 || banned) && front.DismissAmong(session, among):
			return httpapi.Disconnected
		}
		return nil
	}
	done := make(chan struct{})
	for !s.loops.Dismiss(pick, func(int) { close(done) }) { // many requests of this node are under way
		select {
		case <-time.After(retryDismiss):
		case <-ctx.Done():
			return
		}
	}
	if tokens {
		s.tokens.Drop(s.revoked.Has)
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}
