package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"peal/loadtest/child"
	"peal/loadtest/redisd"
)

// Options say what a cluster is. Peal and Nodes must be set.
type Options struct {
	Peal    string   // the binary
	Nodes   int      // how many
	Args    []string // further arguments of 'peal serve'
	Proxies bool     // between nodes and Redis
	Redis   redisd.Options
	Output  io.Writer // of the nodes; nil: only the end is kept, for error messages
}

// Durable is a Redis that loses nothing that it has acknowledged.
func Durable() redisd.Options { return redisd.Options{AppendOnly: true, AppendFsync: "always"} }

// Cluster is a Redis server and its nodes. New makes it; the caller closes it.
type Cluster struct {
	Redis *redisd.Server
	Nodes []*Node
}

// Node is one 'peal serve'.
type Node struct {
	child.Program
	Addr  string // of its clients
	Admin string
	Proxy *redisd.Proxy // to Redis; nil: none

}

// New prepares a cluster and starts nothing but its proxies.
func New(o Options) (*Cluster, error) {
	redis, err := redisd.New(o.Redis)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Redis: redis}
	for i := range o.Nodes {
		n, err := newNode(&o, redis, i)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}

func newNode(o *Options, redis *redisd.Server, number int) (*Node, error) {
	ports, err := child.FreePorts()
	if err != nil {
		return nil, err
	}
	n := &Node{Addr: child.Loopback(ports.Port), Admin: child.Loopback(ports.Admin)}
	url := redis.URL()
	if o.Proxies {
		if n.Proxy, err = redisd.NewProxy(redis.Addr()); err != nil {
			return nil, err
		}
		url = redis.URLVia(n.Proxy.Addr())
	}
	n.Program = child.Program{Name: "node " + strconv.Itoa(number), Addrs: []string{n.Addr, n.Admin}, Accept: startWait, Output: o.Output,
		Args: append([]string{o.Peal, "serve", "--listen", n.Addr, "--admin", n.Admin, "--log", url}, o.Args...)}
	return n, nil
}

// startWait is for a node that reads a long log on a busy machine.
const startWait = 120 * time.Second

// Start starts Redis, and then the nodes, and returns when all are ready.
func (c *Cluster) Start(ctx context.Context) error {
	if err := c.Redis.Start(ctx); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if err := n.Start(ctx); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Addrs are where the nodes accept clients.
func (c *Cluster) Addrs() (all []string) {
	for _, n := range c.Nodes {
		all = append(all, n.Addr)
	}
	return all
}

// Close kills everything, and removes what Redis has written unless Options said where.
func (c *Cluster) Close() error {
	var faults []error
	for _, n := range c.Nodes {
		if _, err := n.Program.Stop(syscall.SIGKILL); err != nil && !errors.Is(err, child.ErrEnded) {
			faults = append(faults, err)
		}
		if n.Proxy != nil {
			faults = append(faults, n.Proxy.Close())
		}
	}
	return errors.Join(append(faults, c.Redis.Close())...)
}

// Ready returns when the node is ready, as its readiness says. The error is that of ctx
// with the node's last answer, or that of a process that has ended.
func (n *Node) Ready(ctx context.Context) error {
	for {
		said := n.readiness(ctx)
		if said == "" {
			return nil
		}
		if err := n.Alive(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %s: %w", n.Name, said, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// readiness is "" if the node is ready, or why it is not.
func (n *Node) readiness(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+n.Admin+"/readyz", nil)
	if err != nil {
		return err.Error()
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil || answer.StatusCode == http.StatusOK {
		return ""
	}
	return string(body)
}

// Freeze stops the process: its connections stay, and nothing is answered.
func (n *Node) Freeze() error { return n.signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (n *Node) Thaw() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(signal syscall.Signal) error {
	pid, _ := n.Usage()
	if pid == 0 {
		return n.Alive()
	}
	return syscall.Kill(pid, signal)
}
