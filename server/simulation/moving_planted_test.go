package simulation_test

import (
	"go/parser"
	"go/token"
	"testing"
)

// plantedUpgradeSeeds is how many schedules a bug of a hand-over may survive.
const plantedUpgradeSeeds = 300

// upgradeBugs are those of hand-overs to another process, in all folders.
var upgradeBugs = []loopBug{
	{"the rest of what is half sent is dropped", []edit{
		{"loop/fanout/import.go", "	if s.Rest > 0 {\n		rest := ", "	if s.Rest > 0 && !BUG {\n		rest := "},
	}},
	{"private bytes that wait are dropped", []edit{
		{"loop/fanout/import.go", "	l.buf, l.answers = slices.Clip(s.Private), s.Answers\n", "	if !BUG {\n		l.buf, l.answers = slices.Clip(s.Private), s.Answers\n	}\n"},
	}},
	{"the position is one too small", []edit{
		{"loop/fanout/import.go", "	m.position, m.origin = s.Position, origin\n", "	m.position, m.origin = s.Position, origin\n	if BUG && m.position > 0 {\n		m.position--\n	}\n"},
	}},
	{"the position is one too large", []edit{
		{"loop/fanout/export.go", "	s.Position, s.Full = f.Position(slot), m.flags&flagFull != 0\n", "	s.Position, s.Full = f.Position(slot), m.flags&flagFull != 0\n	if BUG && m.view != 0 && s.Position < f.Applied() {\n		s.Position++\n	}\n"},
	}},
	{"marks of subscriptions are lost", []edit{
		{"loop/fanout/import.go", "	if m.view != 0 {\n		i.marks(", "	if m.view != 0 && !BUG {\n		i.marks("},
	}},
	{"an id that a client has presented is lost", []edit{
		{"loop/fanout/import.go", "	f.Adopt(slot, s.Adopted)\n", "	if !BUG {\n		f.Adopt(slot, s.Adopted)\n	}\n"},
	}},
	{"nobody looks at a member that can receive", []edit{
		{"loop/fanout/import.go", "	} else if m.lane != 0 || f.owed(m) {\n", "	} else if (m.lane != 0 || f.owed(m)) && !BUG {\n"},
	}},
	{"unread input is lost", []edit{
		{"loop/import.go", "	if len(h.Input) == 0 {\n", "	if len(h.Input) == 0 || BUG {\n"},
	}},
	{"unread input waits for more", []edit{
		{"loop/import.go", "	if !l.waits(c) {\n		l.backlog(slot, c)\n", "	if !l.waits(c) && !BUG {\n		l.backlog(slot, c)\n"},
	}},
	{"the time of a poll is lost", []edit{
		{"loop/import.go", "		if timer.left > 0 {\n", "		if timer.left > 0 && !(BUG && timer.wheel == l.wheel) {\n"},
	}},
	{"the deadline of a stream is lost", []edit{
		{"loop/export.go", "Deadline: l.remaining(l.deadlines, slot),", "Deadline: l.leftUnless(BUG, slot),"},
		{"loop/export.go", "// exportInput adds", "func (l *Loop) leftUnless(lost bool, slot uint32) time.Duration {\n	if lost {\n		return 0\n	}\n	return l.remaining(l.deadlines, slot)\n}\n\n// exportInput adds"},
	}},
	{"session numbers are given again", []edit{
		{"loop/import.go", "		l.sessions = max(l.sessions, counter)\n", "		l.sessions = max(l.sessions, counter)\n		if BUG {\n			l.sessions = counter >> 16 << 16\n		}\n"},
		{"loop/import.go", "	l.sessions = max(l.sessions, h.Session>>8)\n", "	if !BUG {\n		l.sessions = max(l.sessions, h.Session>>8)\n	}\n"},
	}},
	{"a connection that is to end goes on", []edit{
		{"loop/import.go", "{h.CloseNext, flagCloseNext}", "{h.CloseNext && !BUG, flagCloseNext}"},
	}},
	{"the epoch before ends one too low", []edit{
		{"server/log/handover.go", "Predecessor{s.epoch, head})", "Predecessor{s.epoch, head - oneIf(BUG)})"},
		{"server/log/handover.go", "// Packed are entries for encoding/gob", "func oneIf(b bool) uint64 {\n	if b {\n		return 1\n	}\n	return 0\n}\n\n// Packed are entries for encoding/gob"},
	}},
	{"what was dropped from channels is forgotten", []edit{
		{"server/hub/handover.go", "	discarded := k.Discarded\n", "	discarded := k.Discarded\n	if BUG {\n		discarded = 0\n	}\n"},
	}},
	{"what a client has subscribed to over the Pusher protocol is forgotten", []edit{
		{"server/httpapi/carry.go", "	if k.Pusher != nil {\n", "	if k.Pusher != nil && !BUG {\n"},
	}},
	{"the position of a connection that was described ahead is what it was then", []edit{
		{"loop/change.go", "	r.Position = unsigned()\n", "	if p := unsigned(); !BUG {\n		r.Position = p\n	}\n"},
	}},
	{"entries since the offer are not read from the files", []edit{
		{"server/log/file/handover.go", "	if err := l.replayOn(h.Head, restore); err != nil {\n", "	if err := l.replayOn(h.Head, restore); err != nil && !BUG {\n"},
		{"server/log/file/handover.go", "		if len(batch) > 0 {\n			restore(batch)\n", "		if BUG && upto > l.head.Load() {\n			batch = batch[:0]\n		}\n		if len(batch) > 0 {\n			restore(batch)\n"},
	}},
}

// TestSimulationCatchesPlantedBugsOfUpgrades is the test of the test, for hand-overs to another process.
func TestSimulationCatchesPlantedBugsOfUpgrades(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("it builds the test once more: scripts/test.sh runs it, without the race detector")
	}
	catchAll(t, "../..", hunt{"^TestSimulationOfUpgrades$", plantedUpgradeSeeds, upgradeBugs})
}

// TestPlantedBugsFitUpgrades is cheap: a change that a bug loses its place by is noticed at once.
func TestPlantedBugsFitUpgrades(t *testing.T) {
	for file, text := range textsWithBugs(t, "../..", upgradeBugs) {
		if _, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution); err != nil {
			t.Errorf("with the bugs: %v", err)
		}
	}
}
