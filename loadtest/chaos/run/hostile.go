package main

import (
	"context"
	"math/rand/v2"
	"time"

	"peal/loadtest/hostile"
)

// notHere are kinds that have no sense in chaos: what they publish to, or wait for,
// needs a crowd of connections; or they need TLS.
var notHere = map[string]bool{"heartbeats": true, "room": true, "slow-tls": true, "tls-handshakes": true}

// The hostile clients' address. The honest ones have 127.0.0.1 to 127.0.0.101.
const hostileSource = "127.0.0.201"

// How fast they go: the server retains everything, so that a gap is always wrong, and
// what they publish must leave room for that.
const (
	hostilePause        = 10 * time.Millisecond
	hostilePublishPause = 2 * time.Second
	hostileConnections  = 400 // of all clients of a kind that needs many
)

// neighbours starts the hostile clients. stop ends them and returns what they did.
func (o *options) neighbours(ctx context.Context) (stop func() (hostile.Tally, error), err error) {
	if o.hostile == 0 {
		return func() (t hostile.Tally, err error) { return t, nil }, nil
	}
	s := hostile.Spec{Addr: o.Addr, Clients: o.hostile, Source: hostileSource, Pause: hostilePause, PublishPause: hostilePublishPause}
	for _, k := range hostile.Kinds() {
		if !notHere[k.Name] {
			s.Kinds = append(s.Kinds, k.Name)
		}
	}
	// There are more kinds than clients: another selection in each run.
	rand.New(rand.NewPCG(o.Seed, 0)).Shuffle(len(s.Kinds), func(i, j int) { s.Kinds[i], s.Kinds[j] = s.Kinds[j], s.Kinds[i] })
	s.Kinds = s.Kinds[:min(len(s.Kinds), o.hostile)]
	s.Connections = hostileConnections * o.hostile / len(s.Kinds)
	n, err := hostile.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return n.Stop, nil
}
