package redisd

import (
	"context"
	"errors"
	"os"
)

// TB is what For needs of a testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Skip(args ...any)
	Fatal(args ...any)
	Error(args ...any)
}

// For starts a server that ends with the test.
func For(t TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	check(t, err)
	t.Cleanup(func() { closeOf(t, s.Close) })
	check(t, s.Start(t.Context()))
	return s
}

// ReplicaFor starts a replica of primary that ends with the test, and waits until it has
// everything.
func ReplicaFor(t TB, primary *Server, o Options) *Server {
	t.Helper()
	o.ReplicaOf = primary
	s := For(t, o)
	check(t, s.Synced(t.Context()))
	return s
}

// SentinelFor starts a Sentinel that ends with the test.
func SentinelFor(t TB, o SentinelOptions) *Sentinel {
	t.Helper()
	s, err := NewSentinel(o)
	check(t, err)
	t.Cleanup(func() { closeOf(t, s.Close) })
	check(t, s.Start(t.Context()))
	return s
}

// ProxyFor starts a proxy that ends with the test.
func ProxyFor(t TB, target string) *Proxy {
	t.Helper()
	p, err := NewProxy(target)
	check(t, err)
	t.Cleanup(func() { closeOf(t, p.Close) })
	return p
}

// check ends the test where there is an error: skipped where the program is missing, but
// for PEAL_E2E=require.
func check(t TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("PEAL_E2E") != "require":
		t.Skip(err.Error())
	case errors.Is(err, ErrMissing):
		t.Fatal(err.Error() + "; PEAL_E2E=require says that it must be here")
	default:
		t.Fatal(err)
	}
}

func closeOf(t TB, end func() error) {
	t.Helper()
	if err := end(); err != nil {
		t.Error(err)
	}
}
