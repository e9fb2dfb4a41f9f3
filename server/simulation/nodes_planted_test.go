package simulation_test

import (
	"slices"
	"strings"
	"testing"

	"peal/server/log"
)

// plantedNodesSeeds is how many schedules a bug between nodes may survive.
const plantedNodesSeeds = 300

// TestSimulationOfNodesCatchesPlantedBugs is the test of the test, for several nodes.
func TestSimulationOfNodesCatchesPlantedBugs(t *testing.T) {
	if raceEnabled {
		t.Skip("scripts/test.sh runs it without the race detector, which would take minutes")
	}
	for _, p := range []struct {
		name string
		bug  nodesBug
	}{
		{"ban applied on one node only", nodesBug{tails: func(n *node, _ log.Tails) log.Tails { return log.Tails{n.hub} }}},
		{"idempotency per node", nodesBug{keyless: true}},
		{"cursor ahead answered with a gap", nodesBug{known: true}},
		{"subscribers do not hear of a lost tail", nodesBug{mute: true}},
		{"the members of a dead node are kept", nodesBug{members: true, deaf: true}},
	} {
		t.Run(strings.ReplaceAll(p.name, " ", "-"), func(t *testing.T) {
			if p.bug.mute && !hubLoses {
				t.Skip("the hub cannot lose anything")
			}
			t.Parallel()
			for seed := uint64(1); seed <= plantedNodesSeeds; seed++ {
				if w := simulateNodes(t, seed, p.bug); w.failure != "" {
					t.Logf("found by %.300s", w.failure)
					return
				}
			}
			t.Errorf("the simulation did not notice in %d seeds", plantedNodesSeeds)
		})
	}
}

// engineBugs are those of what a node is made of, in the folder server.
var engineBugs = []loopBug{
	{"tail resumed one late", []edit{
		{"log/distributed/recover.go", "	applied := l.position.Sequence\n	before, err", "	applied := l.position.Sequence\n	if BUG && applied > 0 {\n		applied++\n	}\n	before, err"},
	}},
	{"entry applied twice after reconnect", []edit{
		{"log/distributed/recover.go", "	l.position, l.verified, l.named = f.position, true, [3]uint64{m.Oldest, m.Newest.Sequence, m.Head + 1}\n", "	l.position, l.verified, l.named = f.position, true, [3]uint64{m.Oldest, m.Newest.Sequence, m.Head + 1}\n	if BUG && applied > 0 {\n		l.position.Sequence--\n	}\n"},
	}},
	{"a call that was cut off is sent as another one", []edit{
		{"log/distributed/append.go", "	c := l.call\n	c.Epoch", "	c := l.call\n	if BUG {\n		l.number++\n		c.Number = l.number\n	}\n	c.Epoch"},
	}},
	{"what Flush appends while the store is looked at counts as lost", []edit{
		{"log/distributed/recover.go", "	m, ready, err := l.store.Look(ctx, false)\n	if err != nil {\n		return err\n	}\n	seen", "	if BUG {\n		<-l.calling\n		defer func() { l.calling <- struct{}{} }()\n	}\n	m, ready, err := l.store.Look(ctx, false)\n	if err != nil {\n		return err\n	}\n	seen"},
	}},
	{"a node skips its own orders", []edit{
		{"control/apart.go", "	if !c.isPendingLocked(client) {\n		c.bans", "	if BUG || !c.isPendingLocked(client) {\n		c.bans"},
	}},
	{"a checkpoint has a ban that the log has not taken", []edit{
		{"control/apart.go", "	for client, a := range c.apart {\n		delete(all, client)\n", "	for client, a := range c.apart {\n		if BUG {\n			continue\n		}\n		delete(all, client)\n"},
	}},
}

// lossBugs are those that matter where the store loses something.
var lossBugs = []loopBug{
	{"checks of what was seen are not compared with those that are left", []edit{
		{"log/distributed/recover.go", "	lost := common < seen\n", "	if BUG {\n		common = seen\n	}\n	lost := common < seen\n"},
	}},
	{"lost tail not told to the other nodes", []edit{
		{"log/distributed/recover.go", "	if common < seen {\n		l.report(", "	if common < seen && !BUG {\n		l.report("},
	}},
}

// memberBugs are those of nodes that share members.
var memberBugs = []loopBug{
	{"nobody says that the members of a dead node leave", []edit{
		{"presence/sweep.go", "		case p.gone && p.count > 0:\n", "		case p.gone && p.count > 0 && !BUG:\n"},
	}},
	{"a silent node is not taken for dead", []edit{
		{"cluster/cluster.go", "		if c.said && !c.leaving && m.state == Live && m.id != c.self", "		if c.said && !BUG && !c.leaving && m.state == Live && m.id != c.self"},
	}},
}

// plantedMemberSeeds is how many schedules a bug of members may survive.
const plantedMemberSeeds = 100

// TestSimulationCatchesPlantedBugsOfTheServer is the test of the test, for the engine of several
// nodes and for other protocols: one build has the bugs of both.
func TestSimulationCatchesPlantedBugsOfTheServer(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("it builds the test once more: scripts/test.sh runs it, without the race detector")
	}
	bugs := engineBugs
	if hubLoses {
		bugs = slices.Concat(bugs, lossBugs)
	}
	catchAll(t, "..", hunt{"^TestSimulationOfNodes$", plantedNodesSeeds, bugs}, hunt{"^TestSimulationOfNodesWithMembers$", plantedMemberSeeds, memberBugs},
		hunt{"^TestSimulationOfDialects$", plantedDialectSeeds, dialectBugs})
}

// TestPlantedBugsFitTheServer is cheap: who changes the engine, or these protocols, learns at once
// which bug has lost its place.
func TestPlantedBugsFitTheServer(t *testing.T) {
	textsWithBugs(t, "..", slices.Concat(engineBugs, lossBugs, memberBugs, dialectBugs))
}
