package document_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"peal/bench/document"
	"peal/bench/record"
)

const root = "../.."

func TestDocumentsAreWhatTheRecordsGive(t *testing.T) {
	made, err := document.Update(root)
	if err != nil {
		t.Error(err)
	}
	for name, want := range made {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != string(want) {
			t.Errorf("%s differs from the records in %s: scripts/benchmarks.sh --check shows how; without --check it rewrites the tables", name, document.Results)
		}
	}
}

// Records are small and contain no paths of the measuring machine.
func TestRecordsAreSmallAndNameNoPlaces(t *testing.T) {
	places := regexp.MustCompile(`(/tmp|/home|/root|/work|/var|/usr)/`)
	sum := int64(0)
	err := filepath.WalkDir(filepath.Join(root, document.Results), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(file)
		sum += int64(len(b))
		if found := places.Find(b); found != nil {
			t.Errorf("%s names a place: %s", file, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if sum == 0 || sum > 2<<20 {
		t.Errorf("%d bytes in %s, want some and at most 2 MiB", sum, document.Results)
	}
}

// row is a record's with a target of at least limit.
func row(key string, limit float64, a ...float64) record.Row {
	return record.Row{Key: key, What: "rate of " + key, Unit: "1/s", Target: record.AtLeast(record.Value, limit), A: a}
}

func named(name string, rows ...record.Row) map[string]*record.Record {
	return map[string]*record.Record{name: {Schema: 1, Name: name, Command: "measure " + name, Rows: rows}}
}

// render makes a document of one region.
func render(text string, records map[string]*record.Record) (string, error) {
	made, err := document.Render(map[string][]byte{"D": []byte(text)}, records)
	return string(made["D"]), err
}

func region(name string) string {
	return fmt.Sprintf("before\n<!-- table: %s -->\nold\n<!-- end: %s -->\nafter\n", name, name)
}

func TestARegionIsMadeAnewAndNothingElse(t *testing.T) {
	records := named("ceiling", row("poll", 5, 7, 9, 8))
	made, err := render(region("ceiling"), records)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made, "before\n<!-- table: ceiling -->\n\n`measure ceiling`: n = 3, medians [smallest–greatest]") ||
		!strings.HasSuffix(made, "\n\n<!-- end: ceiling -->\nafter\n") || strings.Contains(made, "old") ||
		!strings.Contains(made, "| rate of poll | 8 1/s [7–9] | ≥ 5.00 1/s | met |") {
		t.Error(made)
	}
	if again, err := render(made, records); again != made || err != nil {
		t.Errorf("made anew it differs: %v\n%s", err, again)
	}
	records["ceiling"].Rows[0].A[2] = 8.1
	if changed, _ := render(made, records); changed == made {
		t.Error("a changed sample changes nothing")
	}
}

func TestRowsOfTwoSidesAreCompared(t *testing.T) {
	made, err := document.Table(&record.Record{Name: "ceiling", Rows: []record.Row{
		{What: "deliveries", Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.97), A: []float64{240_000, 250_000}, B: []float64{250_000, 250_000}},
		{What: "idle", Unit: "bytes", Target: record.AtMost(record.Value, 640), A: []float64{120.4}},
		{What: "channel", Unit: "bytes", Target: record.AtMost(record.Difference, 500), A: []float64{806}, B: []float64{350}},
		{What: "broken", A: []float64{}, Error: "because\nof that"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| deliveries | 245 k 1/s [240 k–250 k] | 250 k 1/s [250 k–250 k] | × 0.98 [0.96–1] | ≥ × 0.97 | met |",
		"| idle | 120 bytes |  |  | ≤ 640 bytes | met |", "| + 456 bytes | ≤ 500 bytes | met |", "| broken | failed: because |  |  |  |  |"} {
		if !strings.Contains(made, want) {
			t.Errorf("no %q in\n%s", want, made)
		}
	}
}

func TestTransportsHaveALineEach(t *testing.T) {
	rows := []record.Row{{Key: "SSE, raw", What: "idle", A: []float64{100, 100}}, {Key: "SSE, raw", What: "p99", A: []float64{3.456, 120.4, 1.5}},
		{Key: "SSE, json", What: "idle", A: []float64{7}}, {Key: "SSE, json", What: "p99", A: []float64{8}}}
	made, err := document.Table(&record.Record{Name: "transports", Rows: rows})
	if err != nil || !strings.Contains(made, "|  | idle | p99 |\n| --- | --- | --- |\n| SSE, raw | 100 [100–100] | 3.46 [1.50–120] |\n| SSE, json | 7 | 8 |\n") {
		t.Errorf("%v\n%s", err, made)
	}
	if made, err = document.Table(&record.Record{Name: "transports", Rows: rows[:3]}); err == nil {
		t.Errorf("a figure is missing in\n%s", made)
	}
}

func TestRenderFindsFaults(t *testing.T) {
	for _, c := range []struct {
		what, text string
		records    map[string]*record.Record
		says       string
	}{
		{"a record that is in no document", "nothing", named("memory", row("idle-ws", 1, 2)), "record memory is in no document"},
		{"a region without a record", region("memory"), nil, "has no record"},
		{"an unknown region", region("weather"), nil, "not known"},
		{"a region without an end", "<!-- table: losses -->\n", nil, "has no end"},
		{"an end without a region", "<!-- end: losses -->\n", nil, "within"},
		{"a region in another", "<!-- table: losses -->\n<!-- table: memory -->\n", nil, "within"},
		{"a region twice", region("losses") + region("losses"), nil, "twice"},
		{"a loss without a reason", region("ceiling"), named("ceiling", row("weather", 5, 4)), "no reason"},
		{"a load's report of another schema", region("peers"), map[string]*record.Record{"peers": {Name: "peers",
			Runs: []record.Run{{Label: "l", Program: record.Load, Report: []byte(`{"schema":9}`)}}}}, "schema 9"},
		{"a chaos' summary of another schema", region("correctness"), map[string]*record.Record{"correctness": {Name: "correctness",
			Runs: []record.Run{{Label: "l", Program: record.Chaos, Report: []byte(`{"schema":9}`)}}}}, "schema 9"},
	} {
		made, err := render(c.text, c.records)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", c.what, err, c.says)
		}
		if c.says != "no reason" && made != c.text && !strings.Contains(made, "old") {
			t.Errorf("%s: what cannot be made must stay, but is now\n%s", c.what, made)
		}
	}
}

func TestLosses(t *testing.T) {
	records := named("ceiling", row("publish", 5, 4, 4.5), row("accept", 5, 4, 5.5, 4), row("poll", 5, 6))
	made, err := render(region("losses")+region("ceiling"), records)
	if err != nil {
		t.Fatal(err)
	}
	made, _, _ = strings.Cut(made, "<!-- end: losses")
	for _, want := range []string{"**rate of publish: 4.25 1/s [4–4.50], target ≥ 5.00 1/s.** Each publication costs two sends", "**rate of accept: 4 1/s [4–5.50], target ≥ 5.00 1/s.** In a profile, system calls take 70 %", "These samples do not decide it"} {
		if strings.Count(made, want) != 1 {
			t.Errorf("want once %q in\n%s", want, made)
		}
	}
	if strings.Contains(made, "rate of poll") {
		t.Errorf("a target that was met is among the losses:\n%s", made)
	}
	records["ceiling"].Quick = true
	records["ceiling"].Rows = append(records["ceiling"].Rows, row("weather", 5, 4))
	if made, err = render(region("losses")+region("ceiling"), records); err != nil || !strings.Contains(made, "quick pass") {
		t.Errorf("of a quick record no reasons are asked: %v\n%s", err, made)
	}
}

// load is a report of peal load with a p99 in ms; below zero: of a lost message.
func load(p99 float64, perCPU float64) []byte {
	value := fmt.Sprint(p99)
	if p99 < 0 {
		value = "null"
	}
	return fmt.Appendf(nil, `{"schema":1,"settings":{"connections":10,"rate_per_s":3,"duration_s":2},"messages":{"lost":1,"delivered_per_s":30},
		"latency":{"p50_ms":1,"p99_ms":%s},"server":{"cpu_s":1,"deliveries_per_cpu_s":%v,"bytes_per_connection":300},"generator":{},"validity":{"valid":%t,"reasons":["it rained"]}}`,
		value, perCPU, p99 < 50)
}

func TestABrokenPromiseIsALoss(t *testing.T) {
	records := map[string]*record.Record{"correctness": {Name: "correctness", Quick: true, Runs: []record.Run{
		run("peal", "storm", 1, load(5, 9)), // loses one
		{Label: "chaos", Server: "peal", Program: record.Chaos, Report: []byte(`{"schema":1,"seed":"77","clean":false}`)},
		{Label: "quiet chaos", Server: "peal", Program: record.Chaos, Report: []byte(`{"schema":1,"seed":"78","clean":true}`)},
	}}}
	records["correctness"].Rows = []record.Row{{Key: "poll", What: "polls", A: []float64{}, Error: "it rained\nhard"}}
	made, err := render(region("losses")+region("correctness"), records)
	if err != nil {
		t.Fatal(err)
	}
	made, _, _ = strings.Cut(made, "<!-- end: losses")
	for _, want := range []string{"storm: 1 messages lost", "chaos: a guarantee was violated, seed 77", "polls: could not be measured completely: it rained."} {
		if strings.Count(made, want) != 1 {
			t.Errorf("want once %q in\n%s", want, made)
		}
	}
	if strings.Contains(made, "quiet") {
		t.Errorf("a kept promise is a loss:\n%s", made)
	}
}

func run(server, label string, round int, report []byte) record.Run {
	return record.Run{Server: server, Label: label, Round: round, Program: record.Load, Command: "peal load", Report: report}
}

func TestRunsOfALabelAreOneLine(t *testing.T) {
	made, err := render(region("latency-load"), map[string]*record.Record{"latency-load": {Name: "latency-load", Quick: true, Runs: []record.Run{
		run("peal", "3 messages/s", 1, load(5, 9)), run("peal", "9 messages/s", 1, load(60, 9)),
		run("peal", "9 messages/s", 2, load(-1, 9)), run("peal", "3 messages/s", 2, load(7, 9)),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 3 messages/s to 10 = 30 deliveries/s | 30 [30–30] | 1 [1–1] | 6 [5–7] |", "| 2 | 0 | 2 of 2 |",
		"| 9 messages/s to 10 = 30 deliveries/s | 30 [30–30] | 1 [1–1] | lost |", "| 2 | 0 | 1 of 2 |", "it rained", "n = 2, medians [smallest–greatest]",
	} {
		if !strings.Contains(made, want) {
			t.Errorf("no %q in\n%s", want, made)
		}
	}
}

func TestWhereAPeerIsBetterWeLose(t *testing.T) {
	made, err := render(region("losses")+region("peers"), map[string]*record.Record{"peers": {Name: "peers", Quick: true,
		Servers: []record.Server{{Name: "other", Version: "1.2", Command: "other --fast", Configuration: "speed 9"}},
		Runs: []record.Run{
			run("peal", "SSE", 1, load(5, 90)), run("other", "SSE", 1, load(4, 50)),
			run("other", "SSE", 2, load(4, 50)), run("peal", "SSE", 2, load(6, 80)),
			run("other", "WebSocket", 1, load(1, 900)), // of which there is none of ours
		}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- **p99, ms, SSE, against other: × 1.38 [1.25–1.50].**", "other, 1.2: `other --fast`", "speed 9", "| other, WebSocket | 900 |"} {
		if !strings.Contains(made, want) {
			t.Errorf("no %q in\n%s", want, made)
		}
	}
	if strings.Count(made, "against other") != 1 {
		t.Errorf("more than one figure is lost in\n%s", made)
	}
}
