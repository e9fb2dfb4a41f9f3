package simulation_test

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Bugs of package loop itself are put into its source, by an overlay of the go
// command: this package's tests are built once with all of them in it, and run once
// for each, with the one alone that an environment variable names. The build that
// people use knows nothing of it.

// plantedLoopSeeds is how many schedules a bug of the loop may survive, as many as TestSimulation
// runs: those that need a full socket and a deadline at once take some, and 1592 pass until
// one does not read again from a connection that was slowed.
const plantedLoopSeeds = 2500

// plantedVariable names the bug that is alive in the test binary with bugs.
const plantedVariable = "PEAL_PLANTED"

// loopBug is a bug in package loop, or in another one.
type loopBug struct {
	name  string
	edits []edit
}

// edit replaces text that must be there exactly once, so that a bug cannot rot
// unnoticed. BUG in the new text is whether the bug is alive.
type edit struct{ file, old, new string }

var loopBugs = []loopBug{
	{"cursor ahead of applied is repeated", []edit{
		{"request.go", "position, err := l.fan.Subscribe(slot, &s.Subscription)",
			"if BUG && s.From == fanout.After {\n\t\ts.Sequence = min(s.Sequence, l.fan.Applied())\n\t}\n\tposition, err := l.fan.Subscribe(slot, &s.Subscription)"},
	}},
	{"id that a client presents is not adopted", []edit{
		{"request.go", "	l.fan.Adopt(slot, s.Adopt)\n	head := len(out)", "	if !BUG {\n		l.fan.Adopt(slot, s.Adopt)\n	}\n	head := len(out)"},
	}},
	{"heartbeat of a stream that is behind", []edit{
		{"timers.go", "if !l.fan.CaughtUp(slot) || c.flags&flagFarewell", "if !l.fan.CaughtUp(slot) && !BUG || c.flags&flagFarewell"},
	}},
	{"a further channel takes the others along", []edit{
		{"client.go", "	c.name(s)\n", "	c.name(s)\n	if BUG {\n		all := *s\n		all.Channels = k.loop.fan.Channels(append([]string(nil), s.Channels...), k.slot)\n		slices.Sort(all.Channels)\n		k.loop.fan.Unsubscribe(k.slot)\n		s = &all\n	}\n"},
		{"client.go", "	\"net/netip\"\n", "	\"net/netip\"\n	\"slices\"\n"},
	}},
	{"position before the gap of a cursor that meant nothing", []edit{
		{"request.go", "		var told bool\n", "		var told bool\n		if BUG {\n			out = l.encoder.AppendOpen(out, s.Dialect, fanout.Opening{Sequence: position})\n		}\n"},
	}},
	{"what is written at once overtakes replies", []edit{
		{"cork.go", "	return c.flags&flagCorked != 0 && (", "	return !BUG && c.flags&flagCorked != 0 && ("},
	}},
	{"a second reply of a read replaces the first", []edit{
		{"cork.go", "			l.cork = append(l.cork, b...)\n			l.corked[last].end = len(l.cork)\n", "			if BUG {\n				l.cork = l.cork[:len(l.cork)-len(l.corkedBytes(last))]\n			}\n			l.cork = append(l.cork, b...)\n			l.corked[last].end = len(l.cork)\n"},
	}},
	{"half-closed is closed, whatever is owed", []edit{
		{"halfclose.go", "	switch c.state {\n	case stateHTTP:\n", "	if BUG {\n		l.close(slot, c)\n		return\n	}\n	switch c.state {\n	case stateHTTP:\n"},
	}},
	{"a drain says good-bye before what was published is sent", []edit{
		{"drain.go", "if l.fan.CaughtUp(slot) && !l.owed(c)", "if (BUG || l.fan.CaughtUp(slot)) && !l.owed(c)"},
	}},
	{"a pipelined request does not wait for the response before it", []edit{
		{"read.go", "return c.flags&flagAnswering != 0", "return c.flags&flagAnswering != 0 && !BUG"},
		{"request.go", "	for len(b) > 0 && c.state == stateHTTP && c.flags&(flagAnswering|flagCloseNext) == 0 {", "	for len(b) > 0 && c.state == stateHTTP && (c.flags&(flagAnswering|flagCloseNext) == 0 || BUG && c.flags&flagCloseNext == 0) {"},
	}},
	{"an answer for who had the slot before", []edit{
		{"loop.go", "if c.generation != a.ref.Generation {", "if c.generation != a.ref.Generation && !BUG {"},
	}},
	{"lingering never ends", []edit{
		{"timers.go", "	case stateLinger:\n		l.close(slot, c)", "	case stateLinger:\n		if BUG {\n			l.wait(slot, c, l.idleTicks)\n			return\n		}\n		l.close(slot, c)"},
	}},
	{"the rest of the frames is lost when a connection has used up its part", []edit{
		{"request.go", "			l.backlog(slot, c)\n			return b, n\n", "			l.backlog(slot, c)\n			if BUG {\n				return nil, n\n			}\n			return b, n\n"},
	}},
	{"a full buffer is taken for all there is", []edit{
		{"read.go", "if !full && c.flags&flagEnding == 0 {", "if (BUG || !full) && c.flags&flagEnding == 0 {"},
	}},
	{"accepting ends with a batch", []edit{
		{"accept.go", "			a.again = true\n			a.loop.scheduleTurn()\n", "			if !BUG {\n				a.again = true\n				a.loop.scheduleTurn()\n			}\n"},
	}},
	{"no second attempt after descriptors ran out", []edit{
		{"accept.go", "	a.shed(listener)\n	a.retryLater()\n", "	a.shed(listener)\n	if !BUG {\n		a.retryLater()\n	}\n"},
	}},
	{"a refused connection is not closed", []edit{
		{"accept.go", "	k.CloseSocket(s.Socket)\n", "	if !BUG {\n		k.CloseSocket(s.Socket)\n	}\n"},
	}},
	{"an address is counted for ever", []edit{
		{"admission.go", "	case n.counted:\n		l.admission.Leave(", "	case n.counted && !BUG:\n		l.admission.Leave("},
	}},
	{"a refusal never ends", []edit{
		{"admission.go", "		l.admission.Refusals.End()\n", "		if !BUG {\n			l.admission.Refusals.End()\n		}\n"},
	}},
	{"accepting pauses for good", []edit{
		{"accept.go", "			a.waiting = false\n", "			a.waiting = BUG\n"},
	}},
	{"a connection that is to be refused is served", []edit{
		{"request.go", "if via&viaRefused != 0 {", "if l.via(slot)&viaRefused != 0 && !BUG {"},
	}},
	{"refused connections count as open", []edit{
		{"admission.go", "		return // it was never part of load\n", "		if !BUG {\n			return // it was never part of load\n		}\n"},
	}},
	{"an unfinished request is counted for ever", []edit{
		{"conn.go", "	l.endHead(c)\n", "	if !BUG {\n		l.endHead(c)\n	}\n"},
	}},
	{"a connection that was slowed is not read from again", []edit{
		{"inflow.go", "			l.readAgain(slot, l.conn(slot))\n", "			if !BUG {\n				l.readAgain(slot, l.conn(slot))\n			}\n"},
	}},
	{"a turn does not let itself be woken", []edit{
		{"loop.go", "	l.armed.Store(0) // before the ring is looked at: see Wake\n", "	if !BUG {\n		l.armed.Store(0)\n	}\n"},
	}},
	{"a heartbeat in a farewell", []edit{
		{"timers.go", "|| c.flags&flagFarewell != 0 {", "|| c.flags&flagFarewell != 0 && !BUG {"},
	}},
	{"replies wait in vain for room when the client has ended its side", []edit{
		{"halfclose.go", "		l.farewell(slot, c, 0)\n		if !l.owed(c) {\n			l.part(slot, c)\n		}\n", "		l.farewell(slot, c, 0)\n		if !l.owed(c) {\n			if BUG {\n				l.close(slot, c)\n				return\n			}\n			l.part(slot, c)\n		}\n"},
	}},
	{"a stream for a client that has ended its side", []edit{
		{"read.go", "if c.flags&(flagHalfClosed|flagBacklog) == flagHalfClosed && (", "if !BUG && c.flags&(flagHalfClosed|flagBacklog) == flagHalfClosed && ("},
	}},
	{"a late request is refused, and nothing ends the connection", []edit{
		{"input.go", "	l.wait(slot, c, l.idleTicks) // its timer", "	if !BUG {\n		l.wait(slot, c, l.idleTicks)\n	} // its timer"},
	}},
	{"a drain does not wait for replies", []edit{
		{"drain.go", "&& !l.owed(c) && c.flags", "&& (BUG || !l.owed(c)) && c.flags"},
	}},
	{"ticks are what the last tick said", []edit{
		{"loop.go", "	began = l.kernel.Now()\n	l.tick = uint32(began / tick)\n", "	began = l.kernel.Now()\n	if !BUG {\n		l.tick = uint32(began / tick)\n	}\n"},
	}},
	{"a request that waits is lost when its client has ended its side", []edit{
		{"halfclose.go", "	case stateLater, stateWaiting: // answered", "	case stateWaiting:\n		if BUG {\n			l.close(slot, c)\n			return\n		}\n		l.endReset(slot, c)\n	case stateLater: // answered"},
	}},
	{"a request that waits makes its connection idle", []edit{
		{"timers.go", "	case stateLater, stateWaiting:\n		l.wait(slot, c, l.idleTicks)\n", "	case stateLater, stateWaiting:\n		if BUG && c.state == stateWaiting {\n			l.close(slot, c)\n			return\n		}\n		l.wait(slot, c, l.idleTicks)\n"},
	}},
	{"a connection takes the answer to another one that waited", []edit{
		{"waiting.go", "if c.generation != ref.Generation ||", "if c.generation != ref.Generation && !BUG ||"},
	}},
	{"what comes behind a request that waits is handled at once", []edit{
		{"read.go", "	if !l.waits(c) && c.state == stateHTTP && (len(b)", "	if BUG && c.state == stateWaiting {\n		c.state = stateHTTP\n	}\n	if !l.waits(c) && c.state == stateHTTP && (len(b)"},
	}},
	{"a deadline that is a second early", []edit{
		{"deadline.go", "	return uint32((now + min(d, maxDeadline) + tick - 1) / tick)", "	if BUG {\n		return uint32((now + min(d, maxDeadline)) / tick)\n	}\n	return uint32((now + min(d, maxDeadline) + tick - 1) / tick)"},
	}},
	{"a deadline outlives its connection", []edit{
		{"conn.go", "	l.wheel.Clear(slot)\n	l.deadlines.Clear(slot)\n", "	l.wheel.Clear(slot)\n	if !BUG {\n		l.deadlines.Clear(slot)\n	}\n"},
		{"deadline.go", "	if d == 0 {\n		l.deadlines.Clear(slot)\n", "	if d == 0 {\n		if !BUG {\n			l.deadlines.Clear(slot)\n		}\n"},
	}},
	{"deadlines behind those of one turn wait for the next tick", []edit{
		{"timers.go", "return l.deadlines.Advance(l.tick, turnTimers, l.due) || more", "return l.deadlines.Advance(l.tick, map[bool]int{true: 0, false: turnTimers}[BUG], l.due) && !BUG || more"},
	}},
	{"the front writes behind a good-bye", []edit{
		{"client.go", "	if !c.isOpen() {\n		return // it was closed, by", "	if !c.isOpen() && !BUG {\n		return // it was closed, by"},
	}},
	{"a visit for who had the slot before", []edit{
		{"visit.go", "if c.generation != v.ref.Generation ||", "if c.generation != v.ref.Generation && !BUG ||"},
	}},
	{"input that waits for other loops is not woken", []edit{
		{"work.go", "			o.Wake()\n", "			if !BUG {\n				o.Wake()\n			}\n"},
	}},
	{"dear input waits for good", []edit{
		{"work.go", "if o.ring.Place() < l.mark {", "if o.ring.Place() < l.mark || BUG && l.mark > 0 {"},
	}},
	{"a socket with room again is not written to", []edit{
		{"loop.go", "if e&Writable != 0 && l.fan.Stalled(slot) {", "if e&Writable != 0 && e&Readable == 0 && l.fan.Stalled(slot) || !BUG && e&Writable != 0 && l.fan.Stalled(slot) {"},
	}},
	{"room in a socket is forgotten at a thaw", []edit{
		{"freeze.go", "			f.room[slot] = c.serial()\n", "			if !BUG {\n				f.room[slot] = c.serial()\n			}\n"},
	}},
	{"input that came to a frozen loop is forgotten", []edit{
		{"freeze.go", "		l.queue(slot, c)\n", "		if !BUG {\n			l.queue(slot, c)\n		}\n"},
	}},
	{"what was brought to a frozen loop stays behind the door", []edit{
		{"freeze.go", "len(l.inbox)+len(l.answers)+len(l.waiters)+len(l.visits) > 0 {", "len(l.inbox)+len(l.answers)+len(l.waiters)+len(l.visits) > 0 && !BUG {"},
	}},
	{"connections that came to a frozen loop are not accepted", []edit{
		{"freeze.go", "	if l.acceptor != nil {\n		l.acceptor.acceptAll()\n", "	if l.acceptor != nil && !BUG {\n		l.acceptor.acceptAll()\n"},
	}},
	{"the end of a batch is forgotten", []edit{
		{"loop.go", "	l.after(events)\n", "	if !BUG || events > 1 {\n		l.after(events)\n	}\n"},
	}},
	{"a loop that has read a batch does not let itself be woken", []edit{
		{"loop.go", "	l.armed.Store(0) // before after looks at the ring: see Wake\n", "	if !BUG {\n		l.armed.Store(0)\n	}\n"},
	}},
	{"a response that is kept does not hold back the end of its connection", []edit{
		{"cork.go", "	c.flags |= flagAnswering\n", "	if !BUG {\n		c.flags |= flagAnswering\n	}\n"},
	}},
	{"a kept response leaves, and nothing goes on behind it", []edit{
		{"cork.go", "		l.finished(slot, c)\n	} // else", "		if !BUG {\n			l.finished(slot, c)\n		}\n	} // else"},
	}},
	{"a frozen loop sends what is answered", []edit{
		{"loop.go", "	if l.isStill() {\n		l.stillDoor()", "	if l.isStill() && !BUG {\n		l.stillDoor()"},
	}},
}

// TestSimulationCatchesPlantedBugsOfTheLoop is the test of the test, for the loop.
func TestSimulationCatchesPlantedBugsOfTheLoop(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("it builds the test once more: scripts/test.sh runs it, without the race detector")
	}
	catchAll(t, "../../loop", hunt{"^TestSimulation$", plantedLoopSeeds, loopBugs})
}

// mostClean is how many schedules are run without a bug: the test that has them runs all of them.
const mostClean = 40

// hunt is a test with a name, which must find each of the bugs in so many seeds.
type hunt struct {
	test  string
	seeds int
	bugs  []loopBug
}

// catchAll builds this package's tests with the bugs of all hunts, whose files are in the folder
// source, and has each hunt find its own.
func catchAll(t *testing.T, source string, hunts ...hunt) {
	var all []loopBug
	for _, h := range hunts {
		all = append(all, h.bugs...)
	}
	binary := buildWithBugs(t, source, all)
	for _, h := range hunts {
		if out, err := runWithBug(binary, "", h.test, min(h.seeds, mostClean)); err != nil {
			t.Fatalf("without a bug: %v\n%s", err, out)
		}
		for _, b := range h.bugs {
			t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				out, err := runWithBug(binary, b.name, h.test, h.seeds)
				_, found, ok := strings.Cut(string(out), "seed ")
				if err == nil || !ok {
					t.Errorf("the simulation did not notice in %d seeds: %v\n%s", h.seeds, err, out)
					return
				}
				t.Logf("found by seed %.300s", found)
			})
		}
	}
}

// runWithBug runs the simulation with one of the bugs, or with none.
func runWithBug(binary, name, test string, seeds int) (out []byte, err error) {
	cmd := exec.Command(binary, "-test.run", test)
	cmd.Env = append(os.Environ(), plantedVariable+"="+name, seedVariable+"=1", seedsVariable+"="+strconv.Itoa(seeds))
	return cmd.CombinedOutput()
}

// TestPlantedBugsFitTheLoop is cheap: who changes package loop learns at once which bug has
// lost its place.
func TestPlantedBugsFitTheLoop(t *testing.T) {
	for file, text := range textsWithBugs(t, "../../loop", loopBugs) {
		if _, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution); err != nil {
			t.Errorf("with the bugs: %v", err)
		}
	}
}

// textsWithBugs returns the files in the folder source that have bugs, with all of them.
func textsWithBugs(t *testing.T, source string, bugs []loopBug) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, b := range bugs {
		for _, e := range b.edits {
			if texts[e.file] == "" {
				text, err := os.ReadFile(filepath.Join(source, e.file))
				if err != nil {
					t.Fatal(err)
				}
				texts[e.file] = string(text)
			}
			if n := strings.Count(texts[e.file], e.old); n != 1 {
				t.Errorf("%s: %q is %d times in %s/%s, must be there once", b.name, e.old, n, source, e.file)
				continue
			}
			texts[e.file] = strings.Replace(texts[e.file], e.old, strings.ReplaceAll(e.new, "BUG", "(planted == \""+b.name+"\")"), 1)
		}
	}
	return texts
}

// buildWithBugs builds the tests of this package with all bugs, and returns the file.
func buildWithBugs(t *testing.T, source string, bugs []loopBug) (binary string) {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	texts := textsWithBugs(t, source, bugs)
	if t.Failed() {
		t.FailNow()
	}
	for file, text := range maps.Clone(texts) {
		f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Join(filepath.Dir(file), "planted.go")] = "package " + f.Name.Name + "\n\nimport \"os\"\n\nvar planted = os.Getenv(\"" + plantedVariable + "\")\n"
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range texts {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(source, file)] = to
	}
	j, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, j, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "simulation.test")
	if out, err := exec.Command("go", "test", "-c", "-overlay", list, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build with the bugs: %v\n%s", err, out)
	}
	return binary
}
