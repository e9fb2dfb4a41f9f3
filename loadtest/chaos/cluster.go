package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Cluster is several nodes over one log in a store. The nodes accept on the addresses of
// Config.Nodes. Its methods may be called by several goroutines, except that what
// happens to one node, or to the store, takes turns.
type Cluster interface {
	// Start starts the store and all nodes.
	Start(ctx context.Context) error
	// Stop ends everything at once.
	Stop() error
	// Ready returns when the node serves and has read the log.
	Ready(ctx context.Context, node int) error
	// Faults are what may happen to it.
	Faults() []Fault
}

// Fault is one thing that may happen to a cluster.
type Fault struct {
	Name    string
	Store   bool          // to its store, otherwise to one node
	Ends    bool          // it may end connections of clients
	Longest time.Duration // that it lasts

	// Begin and End get the number of the node; it has no meaning for the store.
	Begin func(ctx context.Context, node int) error
	End   func(ctx context.Context, node int) error

	// Lose, of a fault of the store instead of Begin and End, has it lose its newest
	// entries, all of which some node has read, and returns the last sequence before and
	// after. All nodes serve meanwhile, and nothing is being published.
	Lose func(ctx context.Context, rnd *rand.Rand) (before, after uint64, err error)
}

const (
	restartGrace = 2 * time.Second  // in which a node that has just started may still refuse clients
	lossGrace    = 20 * time.Second // in which nodes end their streams after a loss, one after another
	healWait     = 60 * time.Second // until a node is ready after a fault
	lossPause    = 3 * time.Second  // without another fault before a loss: nothing is under way then
)

// RunCluster is Run for a cluster, whose log keeps everything that was acknowledged,
// but for what a fault loses, of which each client has a gap.
func RunCluster(ctx context.Context, c Config, cluster Cluster) (report Report, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.Keeps = All
	r, err := newRun(c)
	if err != nil {
		return report, err
	}
	r.figures.Disturbed = map[string]int{}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if err := cluster.Start(ctx); err != nil {
		return report, err
	}
	if _, err := r.announce(ctx); err != nil {
		return report, err
	}
	for node := range r.peace {
		r.peace[node].restore(restartGrace)
	}
	return r.play(ctx, cancel, func() error { return r.disturb(ctx, cluster) })
}

// disturb lets faults of the nodes, and of the store, happen one after another and both at
// once, until Length is over. Then it waits until all nodes are ready.
func (r *run) disturb(ctx context.Context, cluster Cluster) error {
	over, stop := context.WithTimeout(ctx, r.Length)
	defer stop()
	d := disturber{run: r, cluster: cluster, over: over}
	var lanes sync.WaitGroup
	failed := make([]error, 2)
	for lane, store := range []bool{false, true} {
		lanes.Go(func() {
			if failed[lane] = d.lane(ctx, store); failed[lane] != nil {
				stop()
			}
		})
	}
	lanes.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	for node := range r.Nodes {
		if err := d.ready(ctx, node); err != nil {
			return err
		}
	}
	return ctx.Err()
}

type disturber struct {
	*run
	cluster Cluster
	over    context.Context // ends when Length is over

	// alone is held for reading while anything happens to a node.
	alone sync.RWMutex
}

// lane is what happens to nodes, or to the store.
func (d *disturber) lane(ctx context.Context, store bool) error {
	var faults []Fault
	for _, f := range d.cluster.Faults() {
		if f.Store == store {
			faults = append(faults, f)
		}
	}
	seed := uint64(1 << 32)
	if store {
		seed++
	}
	rnd := rand.New(rand.NewPCG(d.Seed, seed))
	if d.Restart == 0 || len(faults) == 0 {
		<-d.over.Done()
		return nil
	}
	for {
		pause(d.over, time.Duration((0.6+0.8*rnd.Float64())*float64(d.Restart)))
		if d.over.Err() != nil {
			return nil
		}
		f, node := faults[rnd.IntN(len(faults))], rnd.IntN(len(d.Nodes))
		happen := d.happen
		if f.Lose != nil {
			happen = d.lose
		}
		if err := happen(ctx, f, node, rnd); err != nil {
			return fmt.Errorf("%s, node %d: %w", f.Name, node, err)
		}
	}
}

// happen is one fault from its begin to the time when the node, or all, have recovered.
func (d *disturber) happen(ctx context.Context, f Fault, node int, rnd *rand.Rand) error {
	nodes := []int{node}
	if f.Store {
		nodes = nil
		for i := range d.Nodes {
			nodes = append(nodes, i)
		}
	} else {
		d.alone.RLock()
		defer d.alone.RUnlock()
	}
	d.happened(f, nodes)
	err := f.Begin(ctx, node)
	if err == nil {
		pause(d.over, time.Duration(rnd.Float64()*float64(f.Longest)))
		err = f.End(ctx, node)
	}
	if err == nil && !f.Store { // the nodes recover from the other one, too
		err = d.ready(ctx, node)
	}
	d.restored(f, nodes, restartGrace)
	return err
}

func (d *disturber) happened(f Fault, nodes []int) {
	d.say("%s, nodes %v", f.Name, nodes)
	d.mu.Lock()
	d.figures.Disturbed[f.Name]++
	d.mu.Unlock()
	for _, n := range nodes {
		if f.Ends {
			d.peace[n].disturb()
		}
	}
}

func (d *disturber) restored(f Fault, nodes []int, grace time.Duration) {
	for _, n := range nodes {
		if f.Ends {
			d.peace[n].restore(grace)
		}
	}
	d.say("%s is over", f.Name)
}

// lose has the store lose entries while nothing else happens and nothing is being
// published. No message that was sent before is sent again afterwards: what its first
// sending has left is not known.
func (d *disturber) lose(ctx context.Context, f Fault, _ int, rnd *rand.Rand) error {
	d.alone.Lock()
	defer d.alone.Unlock()
	var nodes []int
	for n := range d.Nodes {
		if err := d.ready(ctx, n); err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	pause(ctx, lossPause)
	d.branchMu.Lock()
	d.happened(f, nodes)
	before, after, err := f.Lose(ctx, rnd)
	d.branch++
	d.branchMu.Unlock()
	if err != nil {
		return err
	}
	id, err := d.announce(ctx)
	if err == nil && after < before {
		d.losses = append(d.losses, span{after, d.ledger.at(id).sequence})
	}
	d.restored(f, nodes, lossGrace)
	return err
}

// ready waits until a node is ready.
func (d *disturber) ready(ctx context.Context, node int) error {
	ctx, cancel := context.WithTimeout(ctx, healWait)
	defer cancel()
	if err := d.cluster.Ready(ctx, node); err != nil {
		return fmt.Errorf("node %d is not ready %v after a fault: %w", node, healWait, err)
	}
	return nil
}

func (r *run) say(format string, args ...any) {
	if r.Log != nil {
		fmt.Fprintf(r.Log, time.Now().Format("15:04:05.000")+" chaos: "+format+"\n", args...)
	}
}
