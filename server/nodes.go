package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"peal/server/cluster"
	"peal/server/control"
	"peal/server/engine"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/pattern"
)

// openLog opens the engine of the log.
func (c Config) openLog() (log.Engine, error) {
	if c.succeeds != nil {
		return engine.Succeed(c.Engine, c.Settings, time.Now, *c.succeeds)
	}
	if c.open != nil {
		return c.open()
	}
	return engine.Open(c.Engine, c.Settings, time.Now)
}

// checkNode reports what is wrong with the settings of nodes.
func (c Config) checkNode() error {
	if len(c.NodeName) > cluster.MaxNameBytes || !pattern.IsPrintable([]byte(c.NodeName)) {
		return fmt.Errorf("config: node-name %q: must be at most %d bytes of printable text, as in peal-1", c.NodeName, cluster.MaxNameBytes)
	}
	if d := c.NodeLease; d != 0 && (d < cluster.MinLease || d > cluster.MaxLease) {
		return fmt.Errorf("config: node-lease %s: must be from %s to %s", d, cluster.MinLease, cluster.MaxLease)
	}
	return nil
}

// shareLog prepares the server to be one of several nodes, if other nodes append to its
// log, too. Before the log is started.
func (s *Server) shareLog(orders *control.Control) {
	l, ok := s.log.(log.Distributed)
	if !ok {
		return
	}
	c := s.config
	s.cluster = cluster.New(l, cluster.Config{Name: c.nodeName(), Version: c.Version, Lease: c.NodeLease, Connections: s.connections, Groups: s.connectionsOfApps, Now: time.Now, Log: c.Log})
	s.sharePresence(l.Node(), s.cluster)
	if t, ok := l.(log.Timed); ok {
		t.OnTiming(s.cluster.Time)
	}
	s.partings = newPartings(s)
	s.freshness = &freshness{server: s, log: l, signal: make(chan struct{}, 1)}
	orders.Share(s.partings.endClients, s.partings.endTokens)
}

// nodeName is the name of this node: that of the configuration, or the host and the first
// port that is fixed.
func (c Config) nodeName() string {
	if c.NodeName != "" {
		return c.NodeName
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	host = host[:min(len(host), 64)]
	for _, a := range c.addresses() {
		if _, port, err := net.SplitHostPort(a.text); err == nil && port != "0" {
			return net.JoinHostPort(host, port)
		}
	}
	return host
}

const (
	// enterLimit is how long the start waits for the first entry of this node, and
	// leaveLimit the end for its last one. The log has its own limit, which is shorter.
	enterLimit = 10 * time.Second
	leaveLimit = 3 * time.Second

	// askLimit is how long loops may take to say how many connections there are.
	askLimit = 200 * time.Millisecond
)

// enter tells the other nodes that this one begins, and has the end of the server tell them that it
// has left. It does not fail: the node repeats it until the log has it.
func (s *Server) enter() {
	if s.cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), enterLimit)
	defer cancel()
	if err := s.cluster.Hello(ctx); err != nil {
		s.config.Log.Warn("the other nodes do not know of this one yet: its first entry is not in the log; the server repeats it", "error", err)
	}
	s.leaveAtEnd()
}

// continueNode has this process be the node that another process was: the other nodes do not notice.
func (s *Server) continueNode() {
	if s.cluster == nil {
		return
	}
	s.orders.EndMissed()
	s.leaveAtEnd()
}

// leaveAtEnd has the end of the server tell the other nodes, unless another process goes on as this node.
func (s *Server) leaveAtEnd() {
	s.closers.add("leave the other nodes", func() error {
		select {
		case <-s.left:
			return nil
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), leaveLimit)
		defer cancel()
		if err := s.cluster.Leave(ctx); err != nil {
			s.config.Log.Warn("the other nodes take this one for dead when its lease has ended (node-lease): its last entry is not in the log", "error", err)
		}
		return nil
	})
}

// connections is how many there are, 0 if a loop does not answer.
func (s *Server) connections() (n int) {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	loops, err := s.loops.Stats(ctx)
	if err != nil {
		return 0
	}
	for i := range loops {
		n += loops[i].Connections
	}
	return n
}

// ClusterStatus is what this node knows of itself, of the log, and of the other nodes. It asks no
// loop: connections are as of the last heartbeat.
func (s *Server) ClusterStatus() cluster.Status {
	scheme, _, _ := strings.Cut(s.config.Engine, ":") // the rest may have a password
	l := cluster.Log{Engine: scheme, Epoch: s.log.Lineage().Epoch().String(), Oldest: s.log.Oldest(), Head: s.log.Head()}
	if err := s.log.Failing(); err != nil {
		l.Failing = strings.ReplaceAll(err.Error(), "\n", ": ")
	}
	if s.cluster == nil {
		return cluster.Alone(l, cluster.Node{Name: s.config.nodeName(), Version: s.config.Version, Started: s.started.UnixMilli()})
	}
	return s.cluster.Status(l)
}

// learner is the tail that brings the idempotency keys of other nodes into the table of this one:
// a repeat is answered with the first cursor on every node.
type learner struct{ keys *idempotency.Table }

// Room is always there.
func (l learner) Room(int, int) bool { return true }

// Apply reads the data of messages with a key that is new here, under the append lock: 1 to 2 ms
// for each megabyte.
func (l learner) Apply(batch []*log.Entry) {
	for _, e := range batch {
		l.keys.Learn(e)
	}
}

// Wake does nothing: it has no readers.
func (l learner) Wake() {}
