package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"peal/loop"
	"peal/server/auth"
)

// Limits of the listener that redirects to https.
const (
	redirectConnections = 256 // at a time; further ones wait in the kernel's backlog
	redirectTimeout     = 5 * time.Second
	redirectHead        = 8 << 10
	redirectEnd         = time.Second // for requests that are under way when another process has taken over
)

// bindRedirect opens the listeners of Config.HTTPRedirect. Nothing is accepted before serveRedirect.
func (s *Server) bindRedirect() error {
	for _, a := range s.config.redirectAddresses() {
		ln, err := s.bind(doorRedirect, a, loop.Permissions{}, s.addrs)
		if a.missing(err) {
			continue
		}
		if err == nil {
			s.closers.add("close the listener that redirects to https", func() error {
				if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // by the server of HTTP
					return err
				}
				return nil
			})
			s.redirectListeners = append(s.redirectListeners, newGate(ln))
			s.redirectAddrs = append(s.redirectAddrs, ln.Addr())
			err = s.addDoor(ln, doorRedirect, a.text)
		}
		if err != nil {
			return fmt.Errorf("http-redirect: %w", err)
		}
	}
	return nil
}

// serveRedirect serves Config.HTTPRedirect until the end.
func (s *Server) serveRedirect() {
	if len(s.redirectListeners) == 0 {
		return
	}
	to := &redirect{port: s.securePort(), has: s.encryption.certificates.Has}
	server := &http.Server{
		Handler:                      s.encryption.certificates.HTTP(to),
		ReadTimeout:                  redirectTimeout,
		WriteTimeout:                 redirectTimeout,
		MaxHeaderBytes:               redirectHead,
		DisableGeneralOptionsHandler: true,                                                       // it would answer without the handler
		ErrorLog:                     slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug), // what strangers send
	}
	server.SetKeepAlivesEnabled(false)
	room := make(chan struct{}, redirectConnections)
	for _, ln := range s.redirectListeners {
		go server.Serve(&limitedListener{ln, room}) // ends when it is closed
	}
	s.https = append(s.https, server)
	s.closers.add("close the server that redirects to https", func() error { return s.endHTTP(server, s.redirectListeners, redirectEnd) })
}

// RedirectAddrs are the addresses of Config.HTTPRedirect as they are, none without.
func (s *Server) RedirectAddrs() []net.Addr { return s.redirectAddrs }

// redirect sends clients to https.
type redirect struct {
	port int
	has  func(name string) bool // whether there is a certificate for a name
}

func (to *redirect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, ok := to.host(r.Host)
	switch {
	case !ok:
		http.Error(w, "this server has no certificate for the host of the request: use a name that it has one for, with https", http.StatusMisdirectedRequest)
	case !strings.HasPrefix(r.URL.RequestURI(), "/"): // OPTIONS *, CONNECT
		http.Error(w, "this listener redirects to https only", http.StatusBadRequest)
	default:
		w.Header().Set("Location", "https://"+host+r.URL.RequestURI())
		w.WriteHeader(http.StatusPermanentRedirect)
	}
}

// host is the host to redirect to: that of the request if it is an IP address, a name
// of this machine, or one that has a certificate.
func (to *redirect) host(asked string) (host string, ok bool) {
	name, _, err := net.SplitHostPort(asked)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(asked, "["), "]")
	}
	if !to.has(name) && !auth.HostAllowed([]byte(asked)) {
		return "", false
	}
	if to.port != 443 {
		return net.JoinHostPort(name, strconv.Itoa(to.port)), true
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	return name, true
}

// limitedListener has at most as many connections as room has places.
type limitedListener struct {
	net.Listener
	room chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	l.room <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &limitedConn{Conn: c, room: l.room}, nil
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() { <-c.room })
	return c.Conn.Close()
}
