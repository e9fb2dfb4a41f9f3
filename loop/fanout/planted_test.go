package fanout_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// plantedSeeds is how many schedules a planted bug may survive. Each of them is
// found within a few.
const plantedSeeds = "700"

// TestSimulationCatchesPlantedBugs is the test of the test: it builds the
// package with one deliberate bug at a time, and the simulation must fail. A
// patch that no longer matches fails too, so that none is lost unnoticed.
func TestSimulationCatchesPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once for each bug")
	}
	if numberFromEnv(t, "PEAL_SEED") != 0 {
		t.Skip("one seed is being replayed")
	}
	for _, bug := range planted {
		t.Run(strings.ReplaceAll(bug.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			out, err := simulateWith(t, bug.file, bug.apply(t))
			if err == nil {
				t.Fatalf("the simulation did not notice in %s seeds:\n%s", plantedSeeds, out)
			}
			found := regexp.MustCompile(`seed \d+: .*`).FindString(out)
			if found == "" {
				t.Fatalf("failed, but not with a seed (%v):\n%.2000s", err, out)
			}
			t.Logf("%.200s", found)
		})
	}
}

// simulateWith runs TestSimulation on this package with one file replaced.
func simulateWith(t *testing.T, file, text string) (out string, err error) {
	dir := t.TempDir()
	here, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	patched := filepath.Join(dir, file)
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {here: patched}})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	for name, b := range map[string][]byte{patched: []byte(text), overlayFile: overlay} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-overlay", overlayFile, "-vet=off", "-count=1", "-run", "^TestSimulation$", ".")
	cmd.Env = append(os.Environ(), "PEAL_SEEDS="+plantedSeeds, "PEAL_SEED=")
	b, err := cmd.CombinedOutput()
	return string(b), err
}

type patch struct{ old, new string }

type plantedBug struct {
	name    string
	file    string
	patches []patch
}

// planted are the bugs that the simulation must find.
var planted = []plantedBug{
	{"flush channel by channel", "merge.go", []patch{{
		"return g.head(g.heap[a]).Sequence < g.head(g.heap[b]).Sequence",
		"return g.heap[a] < g.heap[b]",
	}}},
	{"start one sequence late", "strip.go", []patch{{
		"return s.index[i].sequence > position })",
		"return s.index[i].sequence > position+1 })",
	}}},
	{"switch strips in mid-message", "flush.go", []patch{{
		"f.holdRest(l.slot, m, rest)",
		"_ = rest",
	}}},
	{"private lane overtakes a half-sent message", "lane.go", []patch{
		{"b := l.half\n\tif len(b) == 0 {\n\t\tb = l.buf\n\t}", "b := l.buf\n\tif len(b) == 0 {\n\t\tb = l.half\n\t}"},
		{"if len(l.half) > 0 {", "if len(l.buf) == 0 {"},
	}},
	{"gap is not told", "history.go", []patch{{
		"f.addGap(i, ring.Gap{Channel: c.name(), From: at, To: discarded})",
		"_ = ring.Gap{}",
	}}},
	{"what waits is sent in place of the gap for a loss", "flush.go", []patch{{
		"if m.position >= f.lost {",
		"if true {",
	}}},
	{"poll is answered from what waits in place of the gap for a loss", "answer.go", []patch{{
		"m.flags&flagForeign == 0 && m.position >= f.lost",
		"m.flags&flagForeign == 0",
	}}},
	{"members of idle channels are not told of a loss", "fan.go", []patch{{
		"v.head = max(v.head, upto)",
		"_ = v.head",
	}}},
	{"gap is sent twice", "flight.go", []patch{{
		"f.noteTold(l.slot, m, told)",
		"_ = f.noteTold",
	}}},
	{"excluded session is sent it", "flush.go", []patch{{
		"if s.excludes || m.flags&flagMarks != 0 {",
		"if m.flags&flagMarks != 0 {",
	}}},
	{"id that was adopted is not left out", "exclude.go", []patch{{
		"if m.flags&flagAdopted != 0 {",
		"if false {",
	}}},
	{"id that was adopted is left out after it was given up", "exclude.go", []patch{{
		"m.flags &^= flagAdopted",
		"_ = m",
	}}},
	{"id of a session is left out though another was adopted", "exclude.go", []patch{{
		"return f.adopted[",
		"return m.session == x.Session || f.adopted[",
	}}},
	{"gap for what a session was left out of", "exclude.go", []patch{{
		"return upto\n",
		"return max(upto, discarded)\n",
	}}},
	{"no gap for who had the same position as one that was left out", "exclude.go", []patch{{
		"f.scratch.own = f.scratch.own || !whole",
		"_ = whole",
	}}},
	{"response to a poll is shared though somebody is left out", "answer.go", []patch{{
		"case v.pass == nil || v.pass.live.excludes:",
		"case v.pass == nil:",
	}}},
	{"leaving in mid-pass passes over a member", "view.go", []patch{{
		"v.pass.left = len(v.members) // the one that moved",
		"v.pass.left = min(v.pass.left, len(v.members)) // the one that moved",
	}}},
	{"cursor ahead of applied is repeated", "fan.go", []patch{{
		"return m.position, nil",
		"p := m.position\n\tm.position = min(p, f.applied)\n\treturn p, nil",
	}}},
	{"channel read in part does not hold back the others", "merge.go", []patch{{
		"b.next++; b.next < b.end || !b.more {",
		"b.next++; true {",
	}}},
	{"strip is used again while the sender has it", "pool.go", []patch{{
		"if s.flights > 0 {",
		"if s.flights < 0 {",
	}}},
	{"report for the connection that had the slot before is taken for the next one's", "flight.go", []patch{{
		"m.flight == ticket+1 {",
		"m.flags&flagAttached != 0 {",
	}}},
	{"private item overtakes what is with the sender", "lane.go", []patch{{
		"return m.lane == 0 && m.flight == 0 && m.flags&flagFull == 0 }",
		"return m.lane == 0 && m.flags&flagFull == 0 }",
	}}},
	{"what comes while a member's bytes are with the sender is not kept", "bundle.go", []patch{{
		"f.keep(v, position, 0, l.wave+1)",
		"_, _ = l, position",
	}}},
	{"what comes while a view's own strip is with the sender is not kept", "bundle.go", []patch{{
		"if l.strip != nil && !v.shares {",
		"if l == nil {",
	}}},
	{"what is not in a send is not kept until its report", "flush.go", []patch{{
		"f.keep(v, s.reaches(to), 0, f.waves.now+1)",
		"_ = f.waves.now",
	}}},
	{"what comes while a lane is with the sender is not kept", "lane.go", []patch{{
		"f.keepFor(m, f.views[m.view]) // its turn",
		"_ = f.keepFor // its turn",
	}}},
	{"what is with the sender is sent again after a change", "flight.go", []patch{{
		"k.had[i] = max(k.had[i], reached)",
		"k.had[i] = max(k.had[i], 0)",
	}}},
	{"what is with the sender counts for a channel that begins anew", "flight.go", []patch{{
		"names[i] = \"\"",
		"_ = i",
	}}},
	{"what is with the sender counts for the next subscription", "flight.go", []patch{{
		"f.flights[m.flight-1].stale = true",
		"f.flights[m.flight-1].stale = false",
	}}},
	{"stream ends while its last messages are with the sender", "member.go", []patch{{
		"return m.lane == 0 && (m.flight == 0 || m.view != 0)",
		"return m.lane == 0",
	}}},
	{"stream ends while the sender keeps the rest of a sealed record", "flush.go", []patch{{
		"f.laneOf(l.slot, m) // empty",
		"_ = f.laneOf // empty",
	}}},
	{"loop is not told that the last messages have left", "flush.go", []patch{{
		"\t\tif l.stale {\n\t\t\tf.quiet(l.slot, m)\n\t\t}\n\t\treturn",
		"\t\treturn",
	}}},
	{"poll whose time is up while a response is with the sender is forgotten", "flush.go", []patch{{
		"m.flags&(flagForeign|flagExpired) != 0)",
		"m.flags&flagForeign != 0)",
	}}},
	{"socket that is full although it took all is written to", "flush.go", []patch{{
		"\t\tif full {\n",
		"\t\tif full && n < len(l.bytes) {\n",
	}}},
	{"another channel is repeated after a change", "change.go", []patch{{
		"k.had[at] = base\n",
		"_ = base\n",
	}}},
	{"channel added from further back loses its past", "change.go", []patch{{
		"m.position = min(base, start)",
		"m.position = base",
	}}},
	{"messages before an added channel's start are sent", "change.go", []patch{{
		"wanted = wanted || k.skip[i] < m.Sequence",
		"wanted = true",
	}, {
		"return max(position, k.had[i], k.skip[i])",
		"return max(position, k.had[i])",
	}}},
	{"slow consumer is not told what was passed over", "history.go", []patch{{
		"f.addGap(i, g)",
		"_ = g",
	}}},
	{"channels are merged in the wrong order", "gather.go", []patch{{
		"k.cursors[j].sequence < k.cursors[least].sequence",
		"k.cursors[j].sequence > k.cursors[least].sequence",
	}}},
	{"another view's merged strip has a channel that this one has not", "gather.go", []patch{{
		"f.gathered.view == v && ",
		"f.gathered.view != nil && ",
	}}},
	{"strip that was merged of other channels serves a view that has not all of them", "gather.go", []patch{{
		"m.position == position && slices.Equal(m.bundles, bundles)",
		"m.position == position && (slices.Equal(m.bundles, bundles) || len(m.bundles) == len(bundles))",
	}, {
		"if fresh == allChannels || n < 2 {",
		"if true || n < 2 {",
	}}},
	{"strip that was merged of other channels serves a view that need not look at its own", "gather.go", []patch{{
		"if b != v.several.bundles[bits.TrailingZeros64(left)] {",
		"if b.encoding != v.encoding {",
	}}},
	{"strip that was merged for another position serves a view", "gather.go", []patch{{
		"m.position != position || len",
		"len",
	}}},
	{"merged strip lacks a channel that has something", "gather.go", []patch{{
		"ok = ok && k.add(bundles[bits.TrailingZeros64(fresh)], position)",
		"ok = ok && k.add(bundles[bits.TrailingZeros64(fresh)], position)\n\t\t\tif len(k.bundles) == 2 {\n\t\t\t\tbreak\n\t\t\t}",
	}}},
	{"channel that has something is not noted in a view", "bundle.go", []patch{{
		"if v.several.fresh.add(l.part) {",
		"if l.part != 1 && v.several.fresh.add(l.part) {",
	}}},
	{"view that joins in mid-pass is taken to have what came before", "view.go", []patch{{
		"fresh: news{since: v.head}",
		"fresh: news{}",
	}}},
	{"view that was visited in parts is taken to have what came meanwhile", "bundle.go", []patch{{
		"case whole:",
		"case whole || true:",
	}}},
	{"view that was visited in part is taken to have been visited", "bundle.go", []patch{{
		"case p.within < len(v.members):",
		"case p.within < len(v.members) && !whole:",
	}}},
	{"view that begins to share keeps its old news", "bundle.go", []patch{{
		"	f.seen(v)\n	for i, b",
		"	for i, b",
	}}},
	{"view that was visited in parts is counted again", "news.go", []patch{{
		"return !v.parted && len",
		"return len",
	}}},
	{"round ends before the last view with news", "bundle.go", []patch{{
		"if p.unseen == 0 && !p.uncounted {",
		"if p.unseen <= 1 && !p.uncounted {",
	}}},
	{"who is behind is taken to have what its view was sent", "news.go", []patch{{
		"if position >= n.since {",
		"if position >= 0 {",
	}}},
	{"one channel of several is sent when others have something too", "gather.go", []patch{{
		"case n == 1:",
		"case n >= 1:",
	}}},
	{"what has left the strips of a channel is not read from history", "gather.go", []patch{{
		"if position < b.covers {",
		"if position < b.covers && b.pass() != nil {",
	}}},
	{"waiting messages go before members that were behind had their turn", "bundle.go", []patch{{
		"if f.behind.popped() < s.stamp || ",
		"if ",
	}}},
	{"waiting messages go before all views were visited", "bundle.go", []patch{{
		"if p.left > 0 && int32(p.visits-s.until) < 0 {",
		"if p.left > b.size()/2 {",
	}}},
	{"a view that left in mid-pass has another passed over", "bundle.go", []patch{{
		"p.left = p.round(end)\n",
		"p.left = min(p.left, p.round(end))\n",
	}}},
	{"a view that was visited in part counts as visited", "bundle.go", []patch{{
		"if p.within > 0 {",
		"if p.within < 0 {",
	}}},
	{"leaving a view that was visited in part passes over a member", "view.go", []patch{{
		"f.revisit(v)",
		"_ = f.revisit",
	}}},
	{"view that begins to share is sent nothing of what waits", "bundle.go", []patch{{
		"b.covers = min(b.covers, v.head)",
		"b.covers = max(b.covers, f.applied)",
	}}},
	{"earliest of a matcher is the newest if one look finds nothing", "past.go", []patch{{
		"return covered\n\t}\n\tcovered = msgs",
		"return f.source.Head()\n\t}\n\tcovered = msgs",
	}}},
	{"matcher with two names of a message has it twice", "likes.go", []patch{{
		"if l.last != m.Sequence && l.pattern",
		"if l.pattern",
	}}},
	{"view with two matchers of a message has it twice", "view.go", []patch{{
		"if v.head >= m.Sequence {",
		"if v.head > m.Sequence {",
	}}},
	{"history of two matchers has a message twice", "merge.go", []patch{{
		"if msg.Sequence != last || seen == 0 {",
		"if true {",
	}}},
	{"history of a matcher is that of a channel of its name", "merge.go", []patch{{
		"if p := f.channels.pattern(b.channel.name()); p != nil {",
		"if p := f.channels.pattern(b.channel.name()); p != nil && p == nil {",
	}}},
	{"matcher that was read in part does not hold back the others", "past.go", []patch{{
		"g.limit = min(g.limit, max(covered, b.at))",
		"_ = covered",
	}}},
	{"gap of a matcher is hidden", "exclude.go", []patch{{
		"return discarded // it is not known",
		"return 0 // it is not known",
	}}},
	{"messages of matchers are not those that were asked for", "matcher.go", []patch{{
		"return p.Match(m.Channel) || slices.ContainsFunc(m.Also, p.Match)",
		"return p.Match(m.Channel)",
	}}},
	{"last few messages of a matcher are counted beyond what was looked at", "merge.go", []patch{{
		"if n == 0 || e.sequence <= floor {",
		"if n == 0 {",
	}}},
	{"matcher is sought after its last member has left", "matcher.go", []patch{{
		"x.likes.remove(l)",
		"_ = x.likes.remove",
	}}},
	{"matcher is not sought while others of its kind are", "likes.go", []patch{{
		"b.likes[l.place], moved.place = moved, l.place",
		"b.likes[l.place] = moved",
	}}},
	{"member is handed over at a position one too far", "export.go", []patch{{
		"s.Position, s.Full = f.Position(slot), ",
		"s.Position, s.Full = f.Position(slot)+1, ",
	}}},
	{"rest of a half-sent message is not handed over", "import.go", []patch{{
		"l.half = rest[len(rest)-s.Missing:]",
		"l.half = rest[:0]",
	}}},
	{"marks are not handed over", "export.go", []patch{{
		"s.Told, s.Had, s.Skip = k.told, k.had, k.skip",
		"_ = k",
	}}},
	{"adopted id is not handed over", "import.go", []patch{{
		"f.Adopt(slot, s.Adopted)",
		"f.Adopt(slot, nil)",
	}}},
	{"lane without bytes is not handed over", "import.go", []patch{{
		"	if s.Waits {",
		"	if s.Rest > 0 || len(s.Private) > 0 {",
	}}},
	{"who is behind waits for the next message after a hand-over", "import.go", []patch{{
		"} else if m.lane != 0 || f.owed(m) {",
		"} else if m.lane != 0 {",
	}}},
	{"poll whose time is up waits on after a hand-over", "export.go", []patch{{
		", {&s.Expired, flagExpired},",
		",",
	}, {
		"[10]flagOf",
		"[9]flagOf",
	}}},
	{"who made progress is not queued again", "flush.go", []patch{{
		"func (f *Fan) queueBehind(slot uint32, m *member) {\n\tif ",
		"func (f *Fan) queueBehind(slot uint32, m *member) {\n\tif m.lane == 0 && m.flags&flagFull == 0 && f.outstanding > 0 || ",
	}}},
}

// apply returns the source of the file with the bug.
func (b *plantedBug) apply(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, p := range b.patches {
		if n := strings.Count(text, p.old); n != 1 {
			t.Fatalf("%s contains %q %d times, want once: adapt the patch", b.file, p.old, n)
		}
		text = strings.Replace(text, p.old, p.new, 1)
	}
	return text
}

// TestPlantedBugsFit needs a moment, and the simulation minutes.
func TestPlantedBugsFit(t *testing.T) {
	for i := range planted {
		t.Run(strings.ReplaceAll(planted[i].name, " ", "-"), func(t *testing.T) { planted[i].apply(t) })
	}
}
