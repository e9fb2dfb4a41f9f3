package forwarded

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
)

// Proxies are the trusted ones of a running server, which a reload replaces, and what
// was ignored of others. A nil one trusts nobody. Any goroutine may call its methods.
type Proxies struct {
	log     *slog.Logger
	trusted atomic.Pointer[Trusted]
	ignored atomic.Uint64
	warned  atomic.Bool
}

// NewProxies trusts t. Lines go to log.
func NewProxies(t *Trusted, log *slog.Logger) *Proxies {
	p := &Proxies{log: log}
	p.trusted.Store(t)
	return p
}

// Use replaces the trusted ones. Then the next header that is ignored has a line again.
func (p *Proxies) Use(t *Trusted) {
	p.trusted.Store(t)
	p.warned.Store(false)
}

// Has reports whether the word of that peer counts: Trusted.Has.
func (p *Proxies) Has(peer netip.Addr) bool { return p != nil && p.trusted.Load().Has(peer) }

// Read returns the client behind a trusted peer: see the function.
func (p *Proxies) Read(head []byte) (Client, error) {
	if p == nil {
		return Client{}, nil
	}
	return Read(head, p.trusted.Load())
}

// Ignore notes that a peer that is not trusted has named a client, in headers of HTTP or
// in one of the PROXY protocol. The first has a line of the log: anybody can send more.
func (p *Proxies) Ignore(peer netip.Addr, header string) {
	if p == nil {
		return
	}
	p.ignored.Add(1)
	if p.warned.Swap(true) {
		return
	}
	who, entry := "unix socket", Unix
	if peer.IsValid() {
		who = peer.String()
		entry = who
	}
	p.log.Warn("a client that is not in trusted-proxies names another client; Peal ignores that, and writes no further line about it. If it is your proxy, add it to trusted-proxies; otherwise there is nothing to do",
		"client", who, "header", header, "entry", entry)
}

// Ignored is how often Ignore was called.
func (p *Proxies) Ignored() uint64 { return p.ignored.Load() }
