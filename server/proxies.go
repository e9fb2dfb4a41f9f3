package server

import (
	"fmt"

	"peal/loop"
	"peal/loop/proxied"
	"peal/server/forwarded"
)

// trustProxies reads Config.TrustedProxies.
func (c Config) trustProxies() (*forwarded.Trusted, error) {
	t, err := forwarded.Parse(c.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("config: trusted-proxies: %w", err)
	}
	return t, nil
}

// openKernel is the kernel of the loops: that of the machine, and on it the PROXY
// protocol if there are proxies to trust. Others do not pay for it.
func (s *Server) openKernel(c Config, t *forwarded.Trusted) loop.OpenKernel {
	machine := loop.OpenKernel(loop.OpenMachine)
	if c.IOUring {
		machine = loop.OpenGathering(c.Log)
	}
	s.proxies = forwarded.NewProxies(t, c.Log)
	if !t.Any() {
		return machine
	}
	s.proxied = proxied.New(proxied.Config{Trusted: s.proxies.Has, Timeout: c.Loop.HeadTimeout, Log: c.Log})
	return s.proxied.Open(machine)
}

// useProxies replaces the trusted proxies. Connections that are open keep what they
// are.
func (s *Server) useProxies(t *forwarded.Trusted) {
	s.proxies.Use(t)
	if t.Any() && s.proxied == nil {
		s.config.Log.Warn("trusted-proxies: the server started without any, so it takes X-Forwarded-For and Forwarded from them, and no headers of the PROXY protocol; restart it for these")
	}
}

// UsersRefused is how often a user had too many streams, polls and WebSockets.
func (s *Server) UsersRefused() uint64 { return s.users.Refused() }

// ForwardingIgnored is how often a peer that is not trusted named a client.
func (s *Server) ForwardingIgnored() uint64 { return s.proxies.Ignored() }

// ProxyHeaders counts headers of the PROXY protocol.
func (s *Server) ProxyHeaders() (stats proxied.Stats) {
	if s.proxied != nil {
		stats = s.proxied.Stats()
	}
	return stats
}
