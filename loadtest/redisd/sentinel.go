package redisd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"peal/loadtest/child"
)

// SentinelOptions say what a Sentinel watches.
type SentinelOptions struct {
	Name      string        // of the primary in Sentinel; "primary" if empty
	Primary   *Server       // its replicas are found through it
	DownAfter time.Duration // how long it may be silent; 0 for 1 s
	Quorum    int           // how many must agree; 0 for 1
	Password  string        // of the Sentinel itself; "" for none
}

// Sentinel is a process of Redis Sentinel. NewSentinel makes it; the caller closes it.
type Sentinel struct {
	name     string
	dir      string
	port     int
	password string
	program  *child.Program
}

// NewSentinel prepares a Sentinel and starts nothing. The error is ErrMissing if
// redis-sentinel is not on PATH.
func NewSentinel(o SentinelOptions) (*Sentinel, error) {
	binary, err := exec.LookPath("redis-sentinel")
	if err != nil {
		return nil, fmt.Errorf("redis-sentinel is %w", ErrMissing)
	}
	s := &Sentinel{name: o.Name, password: o.Password}
	if s.name == "" {
		s.name = "primary"
	}
	if s.port, err = child.FreePort(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "sentinel-"); err != nil {
		return nil, err
	}
	downAfter := o.DownAfter
	if downAfter == 0 {
		downAfter = time.Second
	}
	config := []string{
		"bind 127.0.0.1", "port " + strconv.Itoa(s.port), "dir " + quote(s.dir), "daemonize no",
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d %d", s.name, o.Primary.Port(), max(1, o.Quorum)),
		fmt.Sprintf("sentinel down-after-milliseconds %s %d", s.name, downAfter.Milliseconds()),
		fmt.Sprintf("sentinel failover-timeout %s 5000", s.name),
	}
	if o.Primary.options.Password != "" {
		config = append(config, fmt.Sprintf("sentinel auth-pass %s %s", s.name, quote(o.Primary.options.Password)))
	}
	if o.Password != "" {
		config = append(config, "requirepass "+quote(o.Password))
	}
	path := filepath.Join(s.dir, "sentinel.conf") // Sentinel writes its state there, too
	if err := os.WriteFile(path, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	s.program = &child.Program{
		Name: "redis-sentinel", Addrs: []string{s.Addr()}, Accept: acceptWait, Grace: endWait,
		Args: []string{binary, path},
	}
	return s, nil
}

// Start starts the process and returns when it answers commands.
func (s *Sentinel) Start(ctx context.Context) error { return s.program.Start(ctx) }

// Close ends the process and removes its files.
func (s *Sentinel) Close() error {
	_, err := s.program.Stop(syscall.SIGKILL)
	if errors.Is(err, child.ErrEnded) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Addr is host and port of the Sentinel.
func (s *Sentinel) Addr() string { return child.Loopback(s.port) }

// Do sends one command; see Server.Do.
func (s *Sentinel) Do(ctx context.Context, args ...string) (any, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", s.Addr())
	if err != nil {
		return nil, err
	}
	return doOn(ctx, conn, s.password, args)
}

// Primary is the address of the server that Sentinel takes for the primary.
func (s *Sentinel) Primary(ctx context.Context) (addr string, err error) {
	reply, err := s.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.name)
	if err != nil {
		return "", err
	}
	parts, _ := reply.([]any)
	if len(parts) != 2 {
		return "", fmt.Errorf("no address of %s: %v", s.name, reply)
	}
	return net.JoinHostPort(fmt.Sprint(parts[0]), fmt.Sprint(parts[1])), nil
}

// Knows waits until Sentinel knows that many replicas, without which it cannot fail over.
func (s *Sentinel) Knows(ctx context.Context, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, acceptWait)
	defer cancel()
	return until(ctx, "Sentinel knows the replicas", func() error {
		reply, err := s.Do(ctx, "SENTINEL", "REPLICAS", s.name)
		if known, _ := reply.([]any); err == nil && len(known) < replicas {
			err = fmt.Errorf("it knows %d of %d", len(known), replicas)
		}
		return err
	})
}

// Takes waits until Sentinel takes server for the primary, and it is one.
func (s *Sentinel) Takes(ctx context.Context, server *Server) error {
	ctx, cancel := context.WithTimeout(ctx, acceptWait)
	defer cancel()
	return until(ctx, "Sentinel has failed over", func() error {
		addr, err := s.Primary(ctx)
		if err == nil && addr != server.Addr() {
			err = fmt.Errorf("the primary is %s, not %s", addr, server.Addr())
		}
		if err != nil {
			return err
		}
		role, err := server.Info(ctx, "role")
		if err == nil && role != "master" {
			err = fmt.Errorf("its role is %s", role)
		}
		if err == nil {
			server.primary.Store(nil)
		}
		return err
	})
}
