package server

import (
	"context"
	"io"
	"log/slog"
	"net"

	"peal/server/log"
	"peal/server/memory"
)

// Policy is what becomes of slow consumers of a channel.
var Policy = policy

// Build is New, with a function that is called behind each step.
var Build = build

// WithLog has the server open that engine, whatever c names.
func WithLog(c Config, open func() (log.Engine, error)) Config {
	c.open = open
	return c
}

// MemoryIs is what the watch of the memory does once a second.
func (s *Server) MemoryIs(level memory.Level) { s.memoryIs(level, 1, 1) }

// WatchMemory is the watch, with another source of what the process has.
func (s *Server) WatchMemory(ctx context.Context, resident func() (int, error)) {
	s.watchMemory(ctx, resident)
}

// IsAmong reports whether an inherited listener has an address of the configuration.
func IsAmong(configured string, inherited net.Addr) bool {
	return isAmong(address{text: configured}, []net.Addr{inherited})
}

// EachLoop runs f on every loop.
func (s *Server) EachLoop(ctx context.Context, f func(loop int)) error { return s.loops.Each(ctx, f) }

// OperatorErrors is where the operator's listener writes its errors.
func OperatorErrors(l *slog.Logger) io.Writer { return operatorErrors{l} }
