package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"

	"peal/loadtest/chaos"
	"peal/loadtest/cluster"
	"peal/loadtest/redisd"
)

// nodes makes the nodes of --nodes, over a Redis that loses nothing unless it is asked to.
func (o *options) nodes(args []string) (*nodes, error) {
	c, err := cluster.New(cluster.Options{Peal: o.peal, Nodes: o.count, Args: args, Proxies: true, Redis: cluster.Durable(), Output: o.Log})
	if err != nil {
		return nil, err
	}
	o.Nodes = c.Addrs()
	return &nodes{c, o.loses}, nil
}

// nodes is a cluster as chaos wants it.
type nodes struct {
	*cluster.Cluster
	loses bool
}

func (n *nodes) Stop() error { return n.Close() }

func (n *nodes) Ready(ctx context.Context, node int) error { return n.Nodes[node].Ready(ctx) }

// How long faults last. A node whose lease of 5 s has ended is dead for the others.
const (
	restartLongest = 2 * time.Second
	freezeLongest  = 8 * time.Second
	cutLongest     = 6 * time.Second
	tailMost       = 32 << 10 // bytes
)

// Faults implements chaos.Cluster.
func (n *nodes) Faults() []chaos.Fault {
	end := func(signal syscall.Signal) func(context.Context, int) error {
		return func(_ context.Context, node int) error {
			killed, err := n.Nodes[node].Program.Stop(signal)
			if err == nil && killed && signal == syscall.SIGTERM {
				err = errors.New("it did not end after SIGTERM and was killed")
			}
			return err
		}
	}
	proxy := func(f func(*redisd.Proxy)) func(context.Context, int) error {
		return func(_ context.Context, node int) error { f(n.Nodes[node].Proxy); return nil }
	}
	reconnect := func(_ context.Context, node int) error { return n.Nodes[node].Proxy.Go() }
	all := []chaos.Fault{
		{Name: "node killed", Ends: true, Longest: restartLongest, Begin: end(syscall.SIGKILL), End: n.start},
		{Name: "node restarted", Ends: true, Longest: restartLongest, Begin: end(syscall.SIGTERM), End: n.start},
		{Name: "node stopped for a while", Ends: true, Longest: freezeLongest,
			Begin: func(_ context.Context, node int) error { return n.Nodes[node].Freeze() },
			End:   func(_ context.Context, node int) error { return n.Nodes[node].Thaw() }},
		{Name: "node cut off", Longest: cutLongest, Begin: proxy((*redisd.Proxy).Refuse), End: reconnect},
		{Name: "node's connections cut", Begin: proxy((*redisd.Proxy).Cut), End: reconnect},
		{Name: "node does not reach Redis", Longest: cutLongest, Begin: proxy(func(p *redisd.Proxy) { p.Stall(redisd.ToServer) }), End: reconnect},
		{Name: "node hears nothing of Redis", Longest: cutLongest, Begin: proxy(func(p *redisd.Proxy) { p.Stall(redisd.ToClient) }), End: reconnect},

		{Name: "Redis killed", Store: true, Longest: restartLongest,
			Begin: func(context.Context, int) error { return n.Redis.Kill() },
			End:   func(ctx context.Context, _ int) error { return n.Redis.Start(ctx) }},
		{Name: "Redis restarted", Store: true, Longest: restartLongest,
			Begin: func(context.Context, int) error { return n.Redis.Shutdown() },
			End:   func(ctx context.Context, _ int) error { return n.Redis.Start(ctx) }},
		{Name: "Redis stopped for a while", Store: true, Longest: freezeLongest,
			Begin: func(context.Context, int) error { return n.Redis.Pause() },
			End:   func(context.Context, int) error { return n.Redis.Continue() }},
	}
	if n.loses {
		all = append(all, chaos.Fault{Name: "Redis lost its tail", Store: true, Ends: true,
			Lose: func(ctx context.Context, rnd *rand.Rand) (before, after uint64, err error) {
				return n.LoseTail(ctx, rnd, tailMost)
			}})
	}
	return all
}

// start starts a node again. Redis may be away just then, so it may need several attempts.
func (n *nodes) start(ctx context.Context, node int) (err error) {
	for end := time.Now().Add(startWait); ; {
		if err = n.Nodes[node].Start(ctx); err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		time.Sleep(startPause)
	}
}

const (
	startWait  = time.Minute
	startPause = 100 * time.Millisecond // as systemd does
)
