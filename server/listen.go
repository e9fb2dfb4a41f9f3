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
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/admin"
	"peal/server/auth"
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
	serve := func(fd int, at net.Addr, plain bool) {
		s.doors = append(s.doors, newDoor(fd, at, plain))
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
		fds = append(fds, own)
		at := loop.Address(own)
		if err := s.config.checkInherited(fd, at); err != nil {
			return fds, err
		}
		if at != nil {
			inherited = append(inherited, at)
		}
		serve(own, at, i >= len(s.config.Inherit) || slices.ContainsFunc(plain, func(a address) bool { return isAmong(a, []net.Addr{at}) }))
	}
	from := len(s.endpoints)
	addresses := s.config.addresses()
	for i, a := range slices.Concat(addresses, plain) {
		if isAmong(a, inherited) {
			continue
		}
		ln, err := listenOn(a, p, slices.Concat(s.addrs, inherited, s.adminAddrs))
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
		serve(fd, bound, i >= len(addresses))
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
	o.server.closers.add("close the admin listener", func() error {
		select {
		case <-o.server.left: // who has asked for it is answered
			ctx, cancel := context.WithTimeout(context.Background(), adminEnd)
			defer cancel()
			if o.http.Shutdown(ctx) == nil {
				return nil
			}
		default:
		}
		return o.http.Close()
	})
}

// adminEnd is how long the operator's requests may take when another process has taken over.
const adminEnd = 5 * time.Second

// listenAdmin opens the operator's listener, which says how far the start is until serve;
// nil without Config.Admin.
func (s *Server) listenAdmin(p loop.Permissions) (*operator, error) {
	listeners, err := s.adminListeners(p)
	if err != nil {
		for _, ln := range listeners {
			ln.Close()
		}
		return nil, fmt.Errorf("admin: %w", err)
	}
	if len(listeners) == 0 {
		return nil, nil
	}
	startup := admin.NewStartup(&auth.Policy{Hosts: s.config.AdminHosts}, s.StartProgress)
	o := &operator{server: s, startup: startup, http: &http.Server{
		Handler:           startup,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      adminTimeout,
		ErrorLog:          log.New(operatorErrors{s.config.Log}, "", 0),
	}}
	s.closers.add("close the admin listener", o.http.Close)
	for _, ln := range listeners {
		d, err := adminDoor(ln)
		if err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
		s.doors = append(s.doors, d)
		s.closers.add("close the copy of the admin listener", func() error { return unix.Close(d.fd) })
		if store := s.encryption.admin; store != nil && ln.Addr().Network() == "tcp" {
			ln = tls.NewListener(ln, store.TLS())
		}
		go o.http.Serve(ln) // ends when it is closed
	}
	return o, nil
}

// adminListeners opens the operator's listeners. Those that it returns with an error are
// to be closed.
func (s *Server) adminListeners(p loop.Permissions) (all []net.Listener, err error) {
	var inherited []net.Addr
	for _, fd := range s.config.InheritAdmin {
		ln, err := inheritListener(fd)
		if err != nil {
			return all, err
		}
		all = append(all, ln)
		inherited = append(inherited, ln.Addr())
		if err := s.config.checkInheritedAdmin(fd, ln.Addr()); err != nil {
			return all, err
		}
	}
	for _, a := range s.config.adminAddresses() {
		if isAmong(a, inherited) {
			continue
		}
		ln, err := listenOn(a, p, slices.Concat(s.addrs, inherited))
		if a.missing(err) {
			continue
		}
		if err != nil {
			return all, err
		}
		all = append(all, ln)
		s.adminAddrs = append(s.adminAddrs, ln.Addr())
	}
	s.adminAddrs = append(s.adminAddrs, inherited...)
	return all, nil
}

// inheritListener is loop.Inherit for a listener of package net.
func inheritListener(fd int) (net.Listener, error) {
	own, err := loop.Inherit(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "")
	defer f.Close() // FileListener copies it
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("inherit descriptor %d: %w", fd, err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the parent process has made the file
	}
	return ln, nil
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
	if errors.Is(err, unix.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(a.text) // "" is no address's
		for _, o := range others {
			if at, ok := o.(*net.TCPAddr); ok && strconv.Itoa(at.Port) == port {
				err = fmt.Errorf("this server listens on %s already, which includes it: remove one of the two, or choose another port", o)
			}
		}
	}
	return nil, &listenError{a.text, err}
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

// door is a listener, for the process that goes on for this one.
type door struct {
	fd      int
	purpose string
	address string
}

// adminDoor is the door of a listener of package net, of whose descriptor it has a copy.
func adminDoor(ln net.Listener) (d door, err error) {
	own, ok := ln.(syscall.Conn)
	if !ok {
		return d, fmt.Errorf("a listener of type %T", ln)
	}
	raw, err := own.SyscallConn()
	if err != nil {
		return d, err
	}
	d = door{purpose: doorAdmin, address: ln.Addr().String()}
	if e := raw.Control(func(fd uintptr) { d.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); e != nil {
		return d, e
	}
	return d, err
}

// What a door is for.
const (
	doorClients = "clients"
	doorPlain   = "plain"
	doorAdmin   = "admin"
)

func newDoor(fd int, at net.Addr, plain bool) door {
	d := door{fd: fd, purpose: doorClients}
	if plain {
		d.purpose = doorPlain
	}
	if at != nil {
		d.address = at.String()
	}
	return d
}
