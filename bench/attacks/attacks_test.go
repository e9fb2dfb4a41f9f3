package attacks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/hostile"
)

func TestMain(m *testing.M) {
	child.Play(loadtest.Worker, hostile.Role)
	os.Exit(m.Run())
}

func buildPeal(t *testing.T) Build {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "peal")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "peal/cmd/peal").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return Build{Label: "peal", Peal: binary}
}

// mustHold are the bounds of the counted figures that do not depend on the machine, by
// attack.
var mustHold = map[string]struct{ least, most float64 }{
	"unread":          {1, 1},    // the honest stalled client is kept
	"idempotency":     {1, 1},    // the honest key is honoured
	"bans":            {1, 1},    // the honest client is disconnected
	"presence":        {1, 1},    // the honest member is listed
	"channels":        {0, 0},    // no gap is false
	"batch-expansion": {0, 2},    // bytes on disk per byte sent
	"encodings":       {-1, 1.5}, // what is kept, per byte of history-total-bytes
}

// mayKeep is how much memory the server may still use behind an attack that fills its
// tables and histories: they have limits, which other tests hold.
var mayKeep = map[string]uint64{
	"idempotency": 64 << 20, "bans": 32 << 20, "presence": 64 << 20, "channels": 64 << 20, "encodings": 64 << 20,
	"batch-expansion": 64 << 20, "late-replies": 64 << 20, "unread": 4 << 20, "zero-windows": 4 << 20, "tiny-windows": 4 << 20,
}

// liveSlack is for buffers that loops keep, and histories of honest channels.
const liveSlack = 16 << 20

// measureWork is Measure, and longer if the hostile clients had no time to begin.
func measureWork(t *testing.T, build Build, a Attack, size Size) (o Outcome, err error) {
	for ; ; size.Length *= 3 {
		o, err = Measure(t.Context(), build, a, size)
		if err != nil || worked(a, o) || size.Length > 10*time.Second {
			return o, err
		}
	}
}

// worked reports whether the hostile clients did what they are there for.
func worked(a Attack, o Outcome) bool {
	return a.Kind == "heartbeats" || o.Tally.Connections > 0 && (o.Tally.Sent > 0 || a.Kind == "half-open")
}

// Each attack in its small form reaches the server, costs no honest client a
// message or its connection, and its figures are counted.
func TestAttacksCostNoHonestClientAMessage(t *testing.T) {
	if testing.Short() {
		t.Skip("starts forty servers")
	}
	build, size := buildPeal(t), Quick()
	for _, a := range size.All() {
		o, err := measureWork(t, build, a, size)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if !worked(a, o) {
			t.Errorf("%s: the hostile clients did nothing: %+v", a.Name, o.Tally)
		}
		for i, h := range o.Under.Heard {
			if o.Quiet.Heard[i].Expected == 0 || h.Lost > 0 || h.Closed > 0 {
				t.Errorf("%s: %s: quiet %+v, under attack %+v; no message may be lost and no connection closed", a.Name, transports[i], o.Quiet.Heard[i], h)
			}
		}
		if o.After.Descriptors > o.Before.Descriptors+descriptorSlack {
			t.Errorf("%s: %d descriptors before the attack, %d after it", a.Name, o.Before.Descriptors, o.After.Descriptors)
		}
		if o.After.Live > o.Before.Live+mayKeep[a.Name]+liveSlack {
			t.Errorf("%s: %d bytes live before the attack, %d after it", a.Name, o.Before.Live, o.After.Live)
		}
		if (a.Check != nil) != (len(o.Counts) > 0) {
			t.Errorf("%s: figures %v", a.Name, o.Counts)
		}
		if want, ok := mustHold[a.Name]; ok && (o.Counts[0].Value < want.least || o.Counts[0].Value > want.most) {
			t.Errorf("%s: %s is %v, want %v to %v", a.Name, o.Counts[0].Name, o.Counts[0].Value, want.least, want.most)
		}
	}
}

func TestTableHasARowForEachOutcome(t *testing.T) {
	o := Outcome{Attack: "last", Build: "before", Counts: []Figure{{"false gaps of 200", 3, "0"}}}
	o.Under.Heard[2].Refused, o.Under.Peak, o.Tally.Sent = 7, 3<<30, 12_345_678
	after := o
	after.Build = "after"
	var b strings.Builder
	if err := WriteTable(&b, []Outcome{o, after}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want a head, a rule and two rows:\n%s", len(lines), b.String())
	}
	columns := strings.Count(lines[0], "|")
	for i, l := range lines {
		if strings.Count(l, "|") != columns {
			t.Errorf("line %d has %d columns, the head has %d", i, strings.Count(l, "|"), columns)
		}
	}
	for _, want := range []string{"| last | before |", "| 7 |", "3072", "12 MB", "false gaps of 200: 3 (0)"} {
		if !strings.Contains(lines[2], want) {
			t.Errorf("no %q in %s", want, lines[2])
		}
	}
}

// An attack names a kind that there is, and every kind has an attack.
func TestEveryKindHasAnAttack(t *testing.T) {
	used := map[string]bool{}
	for _, a := range Quick().All() {
		used[a.Kind] = true
	}
	for _, k := range hostile.Kinds() {
		if !used[k.Name] {
			t.Errorf("no attack plays the kind %s", k.Name)
		}
		delete(used, k.Name)
	}
	for name := range used {
		t.Errorf("there is no kind %s", name)
	}
}

// docs/security.md has the expected answer to each attack.
func TestAttacksAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range Quick().All() {
		if name, _, _ := strings.Cut(a.Name, "/"); !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/security.md lacks %s", name)
		}
	}
}
