package simulation_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"peal/server/cluster"
	"peal/server/log"
	"peal/server/presence"
)

// Worlds of nodes whose guests have names, and are members of their channels: each node says that it
// lives, takes others for dead that are silent, and lists the members of all.

const (
	leaseOfNodes = time.Second
	graceOfNodes = 500 * time.Millisecond
)

// useMembers prepares a node to share its members, before its log is started.
func (n *node) useMembers() {
	quiet := slog.New(slog.DiscardHandler)
	n.cluster = cluster.New(n.log, cluster.Config{Name: fmt.Sprint("site ", n.site), Lease: leaseOfNodes, Now: time.Now, Log: quiet})
	watched := func(string) bool { return false }
	c := presence.Config{Grace: graceOfNodes, Share: 100}
	n.presence = presence.New(c, watched, time.Now)
	n.members = presence.NewCluster(c, n.log.Node(), watched, n.cluster.Nodes)
	n.presence.UseCluster(n.members)
	n.cluster.OnHello(n.members.OnHello)
	n.cluster.OnGone(func(id uint64) {
		n.w.counts[departed]++
		if !n.w.bug.deaf {
			n.members.OnGone(id)
		}
	})
}

// memberTails are the tails of a node with members.
func (n *node) memberTails() log.Tails {
	feed := n.members.Feed(n.hub, func(e *log.Entry, err error) { n.w.fail("%s cannot read entry %d: %v", n, e.Sequence, err) })
	return log.Tails{n.cluster, feed, n.control, learnerOfNode{n.keys}}
}

// sayHello says that the node lives, and does not wait.
func (n *node) sayHello() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.cluster.Hello(ctx) // it says it again
}

// tell has a node say what it has to say. In the end nodes are quiet once all have the same.
func (n *node) tell() {
	if !n.w.finishing || n.w.membersUnrest() != "" {
		n.cluster.Step()
	}
	if n.presence.Report(n.log.Append) {
		n.w.quiet = 0
	}
}

// nameOn is the name of a guest on a node: another one in each life, so that nobody is taken
// for the one before.
func (g *guest) nameOn(n *node) string { return fmt.Sprintf("%s on %d", g.name, n.life) }

// membersAtRest is membersUnrest in worlds with members.
func (w *nodes) membersAtRest() string {
	if !w.bug.members {
		return ""
	}
	return w.membersUnrest()
}

// membersUnrest is what a node lists wrongly, "" for nothing.
func (w *nodes) membersUnrest() string {
	for _, name := range w.plan.channels {
		var want []string
		for _, g := range w.guests {
			if g.node != nil && slices.Contains(g.channels, name) {
				want = append(want, g.nameOn(g.node))
			}
		}
		slices.Sort(want)
		for _, n := range w.sites {
			if n == nil || !n.ready {
				return "a node is not ready"
			}
			var got []string
			page := n.presence.List(name, "", 1000)
			for _, m := range page.Members {
				got = append(got, m.Client)
			}
			if page.Incomplete || !slices.Equal(got, want) {
				return fmt.Sprintf("%s lists %q on %s (incomplete: %v), and there are %q", n, got, name, page.Incomplete, want)
			}
		}
	}
	w.counts[agreed]++
	return ""
}

// TestSimulationOfNodesWithMembers runs seeded schedules of several servers that share a log and
// the members of channels. PEAL_SEED, PEAL_SEEDS and PEAL_STEPS are as in TestSimulationOfNodes.
func TestSimulationOfNodesWithMembers(t *testing.T) {
	seeds := uint64(plantedMemberSeeds)
	if raceEnabled || testing.Short() {
		seeds = 20
	}
	first, seeds := seedsFromEnv(t, seeds)
	sum := simulateSeedsOfNodes(t, first, seeds, nodesBug{members: true})
	t.Logf("%d times a node heard that another was gone, %d lists of all nodes the same", sum[departed], sum[agreed])
	if sum[departed] == 0 && seeds >= 20 && !t.Failed() {
		t.Error("no node was gone: the schedules met too little to prove anything")
	}
}

// foundWithMembers are seeds that have found something once, beyond those that are always run.
var foundWithMembers = []uint64{415, 1365, 1723, 4366}

func TestSeedsThatFoundSomethingWithMembers(t *testing.T) {
	for _, seed := range foundWithMembers {
		simulateSeedsOfNodes(t, seed, 1, nodesBug{members: true})
	}
}
