package server

import (
	"context"
	"errors"
	"net"
	"sync"

	"peal/loop"
	"peal/loop/secure"
	"peal/server/admin"
	"peal/server/certificate"
)

// encryption is what listeners need that speak TLS; a zero value is for a server without.
type encryption struct {
	certificates *certificate.Store // of the listeners for clients; nil without TLS
	layer        *secure.Layer      // nil without TLS
	admin        *certificate.Store // of the operator's listener; nil if that is cleartext
}

// openEncryption reads the certificates of c, which has its defaults.
func openEncryption(c Config) (e encryption, err error) {
	if c.TLS.On() {
		if e.certificates, err = certificate.Open(c.certificates()); err != nil {
			return e, err
		}
		e.layer = secure.New(c.layer(e.certificates))
	}
	if c.AdminTLS.On() {
		e.admin, err = certificate.Open(c.adminCertificates())
	}
	return e, err
}

// layer is how the layer of the loops is made.
func (c Config) layer(from *certificate.Store) secure.Config {
	return secure.Config{TLS: from.TLS(), Handshakes: c.TLS.Handshakes, HandshakeTimeout: c.TLS.HandshakeTimeout, RecordTimeout: c.TLS.RecordTimeout, Log: c.Log}
}

// open puts TLS on a kernel.
func (e *encryption) open(below loop.OpenKernel) loop.OpenKernel {
	if e.layer == nil {
		return below
	}
	return e.layer.Open(below)
}

// run looks after certificates until ctx ends.
func (e *encryption) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range []*certificate.Store{e.certificates, e.admin} {
		if s != nil {
			all.Go(func() { s.Run(ctx) })
		}
	}
	all.Wait()
}

var (
	errTurnTLS      = errors.New("tls-cert: TLS cannot be turned on or off while the server runs: restart it")
	errTurnAdminTLS = errors.New("admin-tls-cert: TLS of the admin listener cannot be turned on or off while the server runs: restart it")
)

// prepare reads certificates again. use has both listeners take them; before it, and on an
// error, those that there are stay.
func (e *encryption) prepare(c Config) (use func(), err error) {
	if c.TLS.On() != (e.certificates != nil) {
		return nil, errTurnTLS
	}
	if c.AdminTLS.On() != (e.admin != nil) {
		return nil, errTurnAdminTLS
	}
	var all []func()
	for _, one := range []struct {
		store *certificate.Store
		now   certificate.Config
	}{{e.certificates, c.certificates()}, {e.admin, c.adminCertificates()}} {
		if one.store == nil {
			continue
		}
		use, err := one.store.Prepare(one.now.Pairs, one.now.ClientCA)
		if err != nil {
			return nil, err
		}
		all = append(all, use)
	}
	return func() {
		for _, use := range all {
			use()
		}
	}, nil
}

// stats are those of both listeners.
func (e *encryption) stats() (st admin.TLSStats) {
	if e.layer != nil {
		st.Connections = e.layer.Stats()
	}
	for _, s := range []*certificate.Store{e.certificates, e.admin} {
		if s != nil {
			st.Certificates.Add(s.Stats())
		}
	}
	return st
}

// TLSStats implements admin.Source.
func (s *Server) TLSStats() admin.TLSStats { return s.encryption.stats() }

// Endpoint is an address on which the server listens for clients.
type Endpoint struct {
	Addr   net.Addr
	Secure bool // it speaks TLS
}

// securePort is the port of the first address that speaks TLS, 0 if there is none.
func (s *Server) securePort() int {
	for _, e := range s.endpoints {
		if at, ok := e.Addr.(*net.TCPAddr); ok && e.Secure {
			return at.Port
		}
	}
	return 0
}
