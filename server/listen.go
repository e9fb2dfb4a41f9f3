package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/admin"
	"peal/server/auth"
	"peal/server/credential"
	"peal/server/upgrade"
)

// listen opens all listeners, or none, and tells the layer of TLS which are its own.
func (s *Server) listen(p loop.Permissions) (fds []int, err error) {
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}()
	var inherited []net.Addr
	serve := func(fd int, at net.Addr, plain bool, configured string) {
		s.doors = append(s.doors, newDoor(fd, at, plain, configured))
		secure := s.encryption.layer != nil && !plain && at != nil && at.Network() == "tcp"
		if secure {
			s.encryption.layer.Serve(fd)
		}
		if at != nil {
			s.endpoints = append(s.endpoints, Endpoint{at, secure})
		}
	}
	plain := addressesOf(s.config.ListenPlain)
	for i, fd := range slices.Concat(s.config.Inherit, s.config.InheritPlain) {
		own, err := loop.Inherit(fd)
		if err != nil {
			return fds, err
		}
		unix.CloseOnExec(fd) // a new process has it by an upgrade, and no other child at all
		fds = append(fds, own)
		at := loop.Address(own)
		if err := s.config.checkInherited(fd, at); err != nil {
			return fds, err
		}
		if at != nil {
			inherited = append(inherited, at)
		}
		serve(own, at, i >= len(s.config.Inherit) || slices.ContainsFunc(plain, func(a address) bool { return isAmong(a, []net.Addr{at}) }), s.handed.original(fd))
	}
	from := len(s.endpoints)
	addresses := s.config.addresses()
	for i, a := range slices.Concat(addresses, plain) {
		if isAmong(a, inherited) {
			continue
		}
		purpose := doorClients
		if i >= len(addresses) {
			purpose = doorPlain
		}
		ln, err := s.bind(purpose, a, p, slices.Concat(s.addrs, inherited, s.adminAddrs))
		if a.missing(err) {
			continue
		}
		if err != nil {
			return fds, err
		}
		fd, bound, err := loop.Take(ln)
		ln.Close()
		if err != nil {
			return fds, &listenError{a.text, err}
		}
		fds = append(fds, fd)
		s.addrs = append(s.addrs, bound)
		serve(fd, bound, purpose == doorPlain, a.text)
	}
	s.addrs = append(s.addrs, inherited...)
	s.endpoints = slices.Concat(s.endpoints[from:], s.endpoints[:from])
	return fds, nil
}

// Endpoints are Addrs with what they speak.
func (s *Server) Endpoints() []Endpoint { return s.endpoints }

// Addrs are the addresses of Config.Listen and of Config.ListenPlain as they are, ports
// filled in, and then those of Config.Inherit.
func (s *Server) Addrs() []net.Addr { return s.addrs }

// AdminAddrs are the addresses of Config.Admin as they are, none without.
func (s *Server) AdminAddrs() []net.Addr { return s.adminAddrs }

// adminTimeout bounds a request to the admin listener; a profile takes 30 s.
const adminTimeout = time.Minute

// operator is the operator's listener; nil without Config.Admin.
type operator struct {
	server  *Server
	http    *http.Server
	startup *admin.Startup
}

// serve has it serve all that it can, which is closed before what it is about.
func (o *operator) serve() {
	if o == nil {
		return
	}
	o.startup.Done(o.server)
	o.server.closers.add("close the admin listener", func() error { return o.server.endHTTP(o.http, o.server.adminListeners, adminEnd) })
}

// endHTTP closes a server of package http. If another process has taken over, the requests
// that are under way are answered first, within the limit: one of them may have asked for it. Shutdown would
// drop those that are being read.
func (s *Server) endHTTP(h *http.Server, gates []*gate, limit time.Duration) error {
	select {
	case <-s.left:
		over := time.After(limit)
		for open := true; open; {
			open = slices.ContainsFunc(gates, func(g *gate) bool { return g.Open() > 0 })
			select {
			case <-over:
				open = false
			case <-time.After(endPoll):
			}
		}
	default:
	}
	return h.Close()
}

// endPoll is how often endHTTP looks.
const endPoll = 5 * time.Millisecond

// adminEnd is how long the operator's requests may take when another process has taken over.
const adminEnd = 5 * time.Second

// bindAdmin opens the operator's listeners. Nothing is accepted yet.
func (s *Server) bindAdmin(p loop.Permissions) error {
	if err := s.bindAdminDoors(p); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

func (s *Server) bindAdminDoors(p loop.Permissions) error {
	add := func(ln net.Listener, configured string) error {
		s.adminListeners = append(s.adminListeners, newGate(ln))
		s.closers.add("close an admin listener", func() error {
			if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // by the server of HTTP
				return err
			}
			return nil
		})
		return s.addDoor(ln, doorAdmin, configured)
	}
	var inherited []net.Addr
	for _, fd := range s.config.InheritAdmin {
		ln, err := inheritListener(fd)
		if err != nil {
			return err
		}
		unix.CloseOnExec(fd)
		if err := add(ln, s.handed.original(fd)); err != nil {
			return err
		}
		inherited = append(inherited, ln.Addr())
		if err := s.config.checkInheritedAdmin(fd, ln.Addr()); err != nil {
			return err
		}
	}
	for _, a := range s.config.adminAddresses() {
		if isAmong(a, inherited) {
			continue
		}
		ln, err := s.bind(doorAdmin, a, p, slices.Concat(s.addrs, inherited))
		if a.missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := add(ln, a.text); err != nil {
			return err
		}
		s.adminAddrs = append(s.adminAddrs, ln.Addr())
	}
	s.adminAddrs = append(s.adminAddrs, inherited...)
	return nil
}

// newOperator makes what serves the operator's listeners, nil without any. It says how far the start is
// until serve. Nothing is accepted before accept.
func (s *Server) newOperator() *operator {
	if len(s.adminListeners) == 0 {
		return nil
	}
	s.operators.Store(credential.New(s.config.OperatorKeys))
	startup := admin.NewStartup(&admin.Access{Policy: &auth.Policy{Hosts: s.config.AdminHosts}, Keys: &s.operators, Log: s.config.Log}, s.StartProgress)
	o := &operator{server: s, startup: startup, http: &http.Server{
		Handler:           startup,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      adminTimeout,
		ErrorLog:          log.New(operatorErrors{s.config.Log}, "", 0),
		ConnContext:       asOwner,
	}}
	s.https = append(s.https, o.http)
	s.closers.add("close the admin listener", o.http.Close)
	return o
}

// accept serves the listeners from now on.
func (o *operator) accept() {
	if o == nil {
		return
	}
	for _, g := range o.server.adminListeners {
		ln := net.Listener(g)
		if store := o.server.encryption.admin; store != nil && ln.Addr().Network() == "tcp" {
			ln = tls.NewListener(ln, store.TLS())
		}
		go o.http.Serve(ln) // ends when it is closed
	}
}

// isAmong reports whether a listener of the parent process has the address already, so
// that a configuration serves with and without socket activation.
func isAmong(a address, inherited []net.Addr) bool {
	for _, at := range inherited {
		switch tcp, ok := at.(*net.TCPAddr); {
		case a.text == at.String(), at.Network() == "unix" && a.text == "unix:"+at.String():
			return true
		case ok && tcp.IP.To4() == nil && tcp.IP.IsUnspecified() && a.text == fmt.Sprint(":", tcp.Port):
			return true // ":443" is both families, as [::]:443 is
		}
	}
	return false
}

// listenError is the reason why the server cannot listen on an address. Its text has
// the address once, as it was configured; the wrapped error would repeat it.
type listenError struct {
	address string
	err     error
}

func (e *listenError) Unwrap() error { return e.err }

func (e *listenError) Error() string {
	reason := e.err
	var op *net.OpError
	if errors.As(reason, &op) {
		reason = op.Err
	}
	return fmt.Sprintf("listen on %q: %v", e.address, reason)
}

// listenOn opens a listener. others are those that this server has already.
func listenOn(a address, p loop.Permissions, others []net.Addr) (net.Listener, error) {
	ln, err := loop.Open(a.text, p)
	if err == nil {
		return ln, nil
	}
	if at := includes(others, a, err); at != nil {
		err = fmt.Errorf("this server listens on %s already, which includes it: remove one of the two, or choose another port", at)
	}
	return nil, &listenError{a.text, err}
}

// includes is that of others which has the port of a, where err says that another listener has it.
func includes(others []net.Addr, a address, err error) net.Addr {
	if !errors.Is(err, unix.EADDRINUSE) {
		return nil
	}
	_, port, _ := net.SplitHostPort(a.text) // "" is no address's
	for _, o := range others {
		if at, ok := o.(*net.TCPAddr); ok && strconv.Itoa(at.Port) == port {
			return o
		}
	}
	return nil
}

// missing reports whether err means that the machine has no IPv6 and the address is
// optional.
func (a address) missing(err error) bool {
	return a.optional && (errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT))
}

// operatorErrors writes the errors of the operator's listener. Handshakes that fail may
// be those of strangers, and could fill the log: they are for debugging.
type operatorErrors struct{ log *slog.Logger }

func (e operatorErrors) Write(line []byte) (int, error) {
	level, text := slog.LevelWarn, strings.TrimSpace(string(line))
	if strings.Contains(text, "TLS handshake error") {
		level = slog.LevelDebug
	}
	e.log.Log(context.Background(), level, text)
	return len(line), nil
}

func newDoor(fd int, at net.Addr, plain bool, configured string) door {
	d := door{fd, upgrade.Listener{Purpose: doorClients, Configured: configured}}
	if plain {
		d.Purpose = doorPlain
	}
	if at != nil {
		d.Address = at.String()
	}
	return d
}
