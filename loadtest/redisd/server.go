package redisd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"peal/loadtest/child"
)

// Options say how a Server is started. The zero value is a server without persistence,
// password and limits on a free port.
type Options struct {
	Program string // redis-server if empty; found on PATH
	Dir     string // where its files are; "" for one that Close removes
	Port    int    // 0 for a free one

	AppendOnly  bool
	AppendFsync string // always, everysec, no; "" for the server's default
	Save        string // as "60 1"; "" for no snapshots
	MaxMemory   string // as "10mb"; "" for no limit
	Policy      string // maxmemory-policy; "" for the server's default, noeviction

	Password string   // of the default user; "" for none
	Users    []string // further users, as in ACL SETUSER: "peal on >secret ~peal:* +@all"

	TLS *TLS // nil for a plain port

	ReplicaOf *Server // nil for a primary

	Config []string // further lines of the configuration
}

// TLS are files in PEM form. Clients need no certificate.
type TLS struct{ Cert, Key, CA string }

// Server is one Redis server. New makes it; the caller closes it.
type Server struct {
	options Options // fixed but for Config and ReplicaOf, which Promote and Follow change
	temp    bool    // Close removes the directory
	program *child.Program

	primary atomic.Pointer[Server] // whose replica it is, nil for none
}

// ErrMissing means that the program is not installed.
var ErrMissing = errors.New("not installed")

// New prepares a server and starts nothing. The error is ErrMissing if the program is
// not on PATH.
func New(o Options) (*Server, error) {
	if o.Program == "" {
		o.Program = "redis-server"
	}
	binary, err := exec.LookPath(o.Program)
	if err != nil {
		return nil, fmt.Errorf("%s is %w", o.Program, ErrMissing)
	}
	s := &Server{options: o}
	if s.options.Port == 0 {
		if s.options.Port, err = child.FreePort(); err != nil {
			return nil, err
		}
	}
	if s.temp = o.Dir == ""; s.temp {
		// Short, for the path of a Unix socket has at most 108 bytes.
		if s.options.Dir, err = os.MkdirTemp("", "redisd-"); err != nil {
			return nil, err
		}
	}
	s.primary.Store(o.ReplicaOf)
	s.program = &child.Program{
		Name: o.Program, Addrs: []string{s.Addr()}, Accept: acceptWait, Grace: endWait,
		Args: []string{binary, s.configPath()},
	}
	return s, nil
}

// A loaded machine and much data may need that long.
const (
	acceptWait = 60 * time.Second
	endWait    = 60 * time.Second
)

// Start starts the server, on the data that it has, and returns when it answers commands.
func (s *Server) Start(ctx context.Context) error {
	if err := os.WriteFile(s.configPath(), []byte(s.config()), 0o600); err != nil {
		return err
	}
	if err := s.program.Start(ctx); err != nil {
		return err
	}
	if err := s.Ready(ctx); err != nil {
		_, _ = s.program.Stop(syscall.SIGKILL) // it may have ended
		return err
	}
	return nil
}

// Ready waits until the server answers commands: it loads its data before.
func (s *Server) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, acceptWait)
	defer cancel()
	return until(ctx, "it answers PING", func() error {
		if err := s.program.Alive(); err != nil {
			return fatalError{err}
		}
		_, err := s.Do(ctx, "PING")
		return err
	})
}

// Kill ends the server with SIGKILL; what it has not written is lost.
func (s *Server) Kill() error {
	_, err := s.program.Stop(syscall.SIGKILL)
	return err
}

// Shutdown ends the server with SIGTERM: it writes what it is set to write.
func (s *Server) Shutdown() error {
	_, err := s.program.Stop(syscall.SIGTERM)
	return err
}

// Restart kills the server, if it runs, and starts it on the same data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil && !errors.Is(err, child.ErrEnded) {
		return err
	}
	return s.Start(ctx)
}

// Pause stops the process with SIGSTOP: connections stay, and nothing is answered.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (s *Server) Continue() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	pid := s.PID()
	if pid == 0 {
		return fmt.Errorf("send %v to %s: %w", signal, s.options.Program, child.ErrEnded)
	}
	return syscall.Kill(pid, signal)
}

// PID is the server's process, 0 while it does not run.
func (s *Server) PID() int {
	pid, _ := s.program.Usage()
	return pid
}

// Close ends the server and removes its directory if New made it.
func (s *Server) Close() error {
	err := s.Kill()
	if errors.Is(err, child.ErrEnded) {
		err = nil
	}
	if s.temp {
		err = errors.Join(err, os.RemoveAll(s.options.Dir))
	}
	return err
}

// Addr is host and port of the server.
func (s *Server) Addr() string { return child.Loopback(s.options.Port) }

// Port is the port of the server.
func (s *Server) Port() int { return s.options.Port }

// Socket is the path of the server's Unix socket.
func (s *Server) Socket() string { return filepath.Join(s.options.Dir, "s") }

// Dir is where the server's files are.
func (s *Server) Dir() string { return s.options.Dir }

// URL is the address of the server as a URL, with the password of the default user.
func (s *Server) URL() string { return s.URLVia(s.Addr()) }

// URLVia is URL with another host and port, of a Proxy for example.
func (s *Server) URLVia(addr string) string {
	u := url.URL{Scheme: "redis", Host: addr}
	if s.options.TLS != nil {
		u.Scheme = "rediss"
	}
	if s.options.Password != "" {
		u.User = url.UserPassword("", s.options.Password)
	}
	return u.String()
}

// Do sends one command on a connection of its own and returns the answer: a string, an
// int64, a []any of them, or nil. An error of the server is a ReplyError.
func (s *Server) Do(ctx context.Context, args ...string) (any, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	return doOn(ctx, conn, s.options.Password, args)
}

func (s *Server) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", s.Addr())
	if err != nil || s.options.TLS == nil {
		return conn, err
	}
	pem, err := os.ReadFile(s.options.TLS.CA)
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}), nil
}

// Info is one field of INFO, "" where it is not there.
func (s *Server) Info(ctx context.Context, field string) (string, error) {
	reply, err := s.Do(ctx, "INFO", "everything")
	if err != nil {
		return "", err
	}
	text, _ := reply.(string)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value, nil
		}
	}
	return "", nil
}

func (s *Server) configPath() string { return filepath.Join(s.options.Dir, "redis.conf") }

func (s *Server) config() string {
	o := s.options
	var b strings.Builder
	line := func(words ...string) { fmt.Fprintln(&b, strings.Join(words, " ")) }
	given := func(name, value string) {
		if value != "" {
			line(name, value)
		}
	}
	line("bind 127.0.0.1")
	line("dir", quote(o.Dir))
	line("unixsocket", quote(s.Socket()))
	line("daemonize no")
	line("enable-debug-command yes") // DEBUG RESTART and its sisters
	line("repl-diskless-sync-delay 0")
	line("repl-timeout 10")
	line("save", quote(o.Save))
	line("appendonly", map[bool]string{true: "yes", false: "no"}[o.AppendOnly])
	given("appendfsync", o.AppendFsync)
	given("maxmemory", o.MaxMemory)
	given("maxmemory-policy", o.Policy)
	port := strconv.Itoa(o.Port)
	if o.TLS == nil {
		line("port", port)
	} else {
		line("port 0")
		line("tls-port", port)
		line("tls-auth-clients no")
		line("tls-replication yes")
		line("tls-cert-file", quote(o.TLS.Cert))
		line("tls-key-file", quote(o.TLS.Key))
		line("tls-ca-cert-file", quote(o.TLS.CA))
	}
	if o.Password != "" {
		line("requirepass", quote(o.Password))
	}
	for _, user := range o.Users {
		line("user", user)
	}
	if p := s.primary.Load(); p != nil {
		line("replicaof 127.0.0.1", strconv.Itoa(p.Port()))
		if p.options.Password != "" {
			line("masterauth", quote(p.options.Password))
		}
	} else if o.Password != "" {
		line("masterauth", quote(o.Password)) // it may become a replica
	}
	for _, l := range o.Config {
		line(l)
	}
	return b.String()
}

func quote(s string) string { return strconv.Quote(s) }
