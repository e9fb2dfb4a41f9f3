package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// sample is a run of 1,000 expected deliveries from 1 to 10 ms, some of them lost.
func sample(lost uint64) *report.Report {
	l, lag := loadtest.NewLatency(), loadtest.NewLatency()
	for i := range 1000 - lost {
		l.Record(int64(time.Millisecond) + int64(i)*9000)
	}
	l.RecordLost(lost)
	lag.Record(1000)
	resident, cores := uint64(5<<20), 0.5
	v := 3.5
	return &report.Report{
		Schema: report.Schema, Scenario: "fanout", Latency: report.NewTimes(l), Lag: report.NewTimes(lag),
		Connections: report.Connections{Wanted: 10, Opened: 10, Took: 0.5, Handshake: report.NewTimes(lag)},
		Messages:    &report.Messages{Scheduled: 100, Sent: 100, Counts: loadtest.Counts{Expected: 1000, Delivered: 1000 - lost, Lost: lost}},
		Intervals: []report.Interval{{At: 1, Sent: 50, Delivered: 500, P50: &v, P99: nil, ServerCPU: &cores, Resident: &resident},
			{At: 2, Sent: 50, Delivered: 500 - lost, P50: &v, P99: &v}},
	}
}

func TestJudge(t *testing.T) {
	check := func(text string, lost uint64, missed bool) {
		t.Helper()
		o, err := report.ParseObjective(text)
		if err != nil {
			t.Error(err)
			return
		}
		got, err := sample(lost).Judge([]report.Objective{o})
		if err != nil || (len(got) > 0) != missed {
			t.Errorf("%s with %d lost: missed %q, %v; want missed %t", text, lost, got, err, missed)
		}
	}
	check("lost>0.1%", 2, true)
	check("lost>0.1%", 1, false)
	check("p95>9ms", 0, true)
	check("p50>50ms", 0, false)
	check("p50>1ms", 0, true)
	check(" p99 >= 9ms ", 0, true)
	check("p99.9<20ms", 0, true)
	check("max<=5ms", 0, false)
	check("lost>0", 0, false)
	check("lost>0", 1, true)
	check("duplicated>0", 0, false)
	check("reordered>=0", 0, true)
	check("errors>0", 0, false)
	check("connect_p99>1s", 0, false)
	// Loss is later than any objective, and never improves a percentile.
	check("p99>99s", 20, true)
	check("max>99s", 1, true)
	check("p50>99s", 20, false)
	check("p99<1s", 20, false)
}

func TestJudgeNeverPassesWhatWasNotMeasured(t *testing.T) {
	for _, text := range []string{"bytes_per_connection>1KiB", "memory_slope>1MiB", "recovery_max>1s"} {
		o, err := report.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sample(0).Judge([]report.Objective{o}); !errors.Is(err, report.ErrUnmeasured) {
			t.Errorf("%s: %v, want ErrUnmeasured", text, err)
		}
	}
	empty := &report.Report{Schema: report.Schema}
	for _, metric := range report.Metrics() {
		limit := "1"
		if strings.HasPrefix(metric, "p") || metric == "max" || metric == "connect_p99" || metric == "recovery_max" {
			limit = "1s"
		}
		o, err := report.ParseObjective(metric + ">" + limit)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := empty.Judge([]report.Objective{o}); !errors.Is(err, report.ErrUnmeasured) && metric != "errors" && metric != "reconnects" {
			t.Errorf("%s of an empty report: %v, want ErrUnmeasured", metric, err)
		}
	}
}

func TestParseObjectiveRefuses(t *testing.T) {
	for _, text := range []string{"", "p99", "p99>", "p99=5ms", "p98>5ms", "p99>50", "p99>1h", "lost>many", "lost>NaN", "p99>>5ms", "p99>5%", "errors>1%", "lost>%", "p99{stage=0}>5ms", "p99{stage=x}>5ms", "errors{stage=1}>0", "foreign{stage=1}>0", "bytes_per_connection>1XB", "p99>5ms lost>0"} {
		if o, err := report.ParseObjective(text); err == nil {
			t.Errorf("%q was read as %+v", text, o)
		}
	}
}

func TestValidate(t *testing.T) {
	check := func(what string, spoil func(*report.Report), want string) {
		t.Helper()
		r := sample(0)
		spoil(r)
		r.Validate(report.DefaultLimits)
		said := strings.Join(r.Validity.Reasons, ";")
		if r.Validity.Valid != (want == "") || !strings.Contains(said, want) {
			t.Errorf("%s: valid %t, %q; want %q", what, r.Validity.Valid, said, want)
		}
	}
	share := func(v float64) func(*report.Report) {
		return func(r *report.Report) { r.Generator.CPUShare = &v }
	}
	lag := func(d time.Duration) func(*report.Report) {
		return func(r *report.Report) {
			l := loadtest.NewLatency()
			l.Record(int64(d))
			r.Lag = report.NewTimes(l)
		}
	}
	check("as it should be", func(*report.Report) {}, "")
	waits := func(d time.Duration, part float64) func(*report.Report) {
		return func(r *report.Report) {
			l := loadtest.NewLatency()
			l.Record(int64(d))
			r.Generator = report.Generator{Waits: report.NewTimes(l), Machine: report.Machine{Part: part}, Each: []report.Process{{PID: 1}, {PID: 77, CPU: 1, Wait: 2}}}
		}
	}
	fast := func(d time.Duration) func(*report.Report) {
		return func(r *report.Report) {
			lag(d)(r)
			l := loadtest.NewLatency()
			l.Record(100_000)
			r.Latency = report.NewTimes(l)
		}
	}
	check("a lag of 0.9 ms with a p99 of 9.9", lag(900*time.Microsecond), "")
	check("a lag of 1.1 ms with a p99 of 9.9", lag(1100*time.Microsecond), "sent late")
	check("a lag of 0.9 ms with a p99 of 0.1", fast(900*time.Microsecond), "")
	check("a lag of 1.1 ms with a p99 of 0.1", fast(1100*time.Microsecond), "sent late")
	check("45 ms of waiting, for others", waits(45*time.Millisecond, 0.9), "process 77 ran for 1.00 s and waited for 2.00 s")
	check("45 ms of waiting, for the server", waits(45*time.Millisecond, 0.02), "")
	check("0.9 ms of waiting", waits(900*time.Microsecond, 1), "")
	check("CPU 84 %", share(0.84), "")
	check("CPU 86 %", share(0.86), "short of CPU")
	check("99 sent", func(r *report.Report) { r.Messages.Sent = 99 }, "")
	check("98 sent", func(r *report.Report) { r.Messages.Sent = 98 }, "98.0 % of the schedule")
	check("none opened", func(r *report.Report) { r.Connections.Opened, r.Connections.FirstError = 0, "refused" }, "refused")
	check("all refused", func(r *report.Report) { r.Messages.Refused, r.Messages.FirstRefusal = 100, "status 404" }, "404")
	check("half not open", func(r *report.Report) {
		r.Connections = report.Connections{Wanted: 10, Opened: 5, FirstError: "status 403"}
	}, "5 of 10 connections could not be opened: status 403; a token may be needed")
	check("less than half not open", func(r *report.Report) { r.Connections = report.Connections{Wanted: 10, Opened: 6} }, "")
	check("nothing came", func(r *report.Report) { r.Messages.Delivered, r.Messages.Lost = 0, 1000 }, "--send")
	check("all damaged", func(r *report.Report) { r.Messages.Delivered, r.Messages.Corrupted = 0, 1000 }, "delivered whole")
	check("only foreign ones", func(r *report.Report) {
		r.Messages.Delivered, r.Messages.Foreign, r.Messages.FirstForeign = 0, 7, `"hi"`
	}, `7 others, the first "hi"`)
	check("nothing due", func(r *report.Report) { r.Messages.Scheduled, r.Messages.Sent = 0, 0 }, "no message was due")
}

func TestARestartNeedsTimeBehindIt(t *testing.T) {
	for back, valid := range map[[2]float64]bool{
		{0.6, 1.2}: true, {0.84, 1.34}: true,
		{0.86, 1.2}: false, {3, 1.2}: false, {0.6, 1.36}: false, {0.6, 1.9}: false,
	} {
		r := report.Report{Settings: report.Settings{Duration: 1.5}, Connections: report.Connections{Opened: 1},
			Restart: &report.Restart{Ends: []report.End{{At: 0.5, Down: back[0] - 0.5}, {At: 1, Down: back[1] - 1}}}}
		if r.Validate(report.DefaultLimits); r.Validity.Valid != valid {
			t.Errorf("back after %v of 1.5 s: valid: %t, %v", back, r.Validity.Valid, r.Validity.Reasons)
		}
	}
}

func TestReadReadsWhatWriteWrote(t *testing.T) {
	r := sample(20)
	r.Validate(report.DefaultLimits)
	var first, second bytes.Buffer
	if err := r.Write(&first); err != nil {
		t.Fatal(err)
	}
	text := first.String()
	again, err := report.Read(&first)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(&second); err != nil {
		t.Fatal(err)
	}
	if second.String() != text {
		t.Errorf("written again:\n%s\nwant\n%s", second.String(), text)
	}
	never, err := report.ParseObjective("max>1s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Judge([]report.Objective{never}); err != nil || again.Objectives[0].Met || again.Objectives[0].Value != nil {
		t.Errorf("%v, %+v; want a missed one without a value", err, again.Objectives)
	}
	if again.Latency.P99 != nil || *again.Latency.P90 > 10 {
		t.Errorf("p90 %v, p99 %v; want a lost message's", *again.Latency.P90, again.Latency.P99)
	}
	if _, err := report.Read(strings.NewReader(`{"schema":1}`)); err == nil || !strings.Contains(err.Error(), "schema 1") {
		t.Errorf("another schema: %v", err)
	}
}

// TestDocumentedNames holds docs/loadtest.md to the JSON form, and the form to it.
func TestDocumentedNames(t *testing.T) {
	page, err := os.ReadFile("../../docs/loadtest.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ == reflect.TypeFor[time.Time]() || typ == reflect.TypeFor[loadtest.Latency]() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if !bytes.Contains(page, []byte("`"+name+"`")) {
				t.Errorf("docs/loadtest.md does not say what %s.%s is: `%s`", typ.Name(), typ.Field(i).Name, name)
			}
			walk(typ.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[report.Report]())
	for _, m := range report.Metrics() {
		if !bytes.Contains(page, []byte("`"+m+"`")) {
			t.Errorf("docs/loadtest.md does not say what the metric %s is", m)
		}
	}
}

func TestWriteTextShowsLossAsLoss(t *testing.T) {
	r := sample(20)
	r.Validate(report.DefaultLimits)
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"20 lost", "p99 lost", "max lost", "980 of 1000", "lost |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	// The rows of the histogram are all deliveries.
	total := 0
	for line := range strings.Lines(b.String()) {
		if _, row, ok := strings.Cut(line, "|"); ok {
			n := 0
			for _, c := range strings.TrimLeft(strings.TrimSpace(row), "# ") {
				n = n*10 + int(c-'0')
			}
			total += n
		}
	}
	if total != 1000 {
		t.Errorf("the histogram's rows add up to %d, want 1000:\n%s", total, b.String())
	}
}

func TestWriteCSVHasALineForEachInterval(t *testing.T) {
	var b bytes.Buffer
	if err := sample(0).WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][4] != "3.5" || rows[1][5] != "" || rows[1][9] != "5242880" {
		t.Errorf("%v, %q", err, rows)
	}
}

func TestWritePageIsSelfContained(t *testing.T) {
	a, b := sample(0), sample(20)
	a.Settings.Targets = []string{"</script><script>alert(1)</script>"}
	a.Connections.Ends = []loadtest.End{{Side: loadtest.SideServer, Reason: `close frame 1001 "<bye>"`, Count: 7}, {Side: loadtest.SideNetwork, Reason: "connection refused", Count: 2}}
	b.Messages.Refusals = []loadtest.End{{Side: loadtest.SideUs, Reason: "no response within 20s", Count: 3}}
	var page bytes.Buffer
	if err := report.WritePage(&page, a, b); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, outside := range []string{"src=", "<link", "@import", "url(", "<script>alert"} {
		if strings.Contains(text, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
	for _, row := range []string{
		"<td>connection</td><td>the server</td><td>close frame 1001 &#34;&lt;bye&gt;&#34;</td><td>7</td>",
		"<td>connection</td><td>the network</td><td>connection refused</td><td>2</td>",
		"<td>publication</td><td>the load test</td><td>no response within 20s</td><td>3</td>",
	} {
		if strings.Count(text, row) != 1 {
			t.Errorf("the page lacks the row %s", row)
		}
	}
	_, rest, _ := strings.Cut(text, "const reports = ")
	data, _, ok := strings.Cut(rest, ";</script>")
	var reports []struct {
		Name      string
		Intervals []report.Interval
		Curve     [][2]float64
	}
	if err := json.Unmarshal([]byte(data), &reports); !ok || err != nil || len(reports) != 2 || reports[1].Name != "b" || len(reports[0].Intervals) != 2 || len(reports[0].Curve) < 10 {
		t.Errorf("reports: %v, %t: %.300s", err, ok, data)
	}
}

func compared(t *testing.T, a, b []*report.Report) string {
	t.Helper()
	var sides [2]*report.Report
	for i, runs := range [][]*report.Report{a, b} {
		for _, r := range runs {
			r.Validate(report.DefaultLimits)
		}
		side, err := report.Side(runs)
		if err != nil {
			t.Fatal(err)
		}
		sides[i] = side
	}
	var out strings.Builder
	if err := report.Compare(&out, sides[0], sides[1]); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// runs are of one side, with slightly different deliveries a second.
func runs(n int, lost uint64, rate float64) (all []*report.Report) {
	for i := range n {
		r := sample(lost)
		r.Messages.DeliveredRate = rate + float64(i)
		all = append(all, r)
	}
	return all
}

func TestCompareSaysWhatIsNotAlike(t *testing.T) {
	b := sample(20)
	b.Settings.Rate = 7
	out := compared(t, runs(1, 0, 1000), []*report.Report{b})
	for _, want := range []string{"not enough runs to say", "5 for each side", "the runs differ: rate 0 and 7", "lost"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "better:") || strings.Contains(out, ": worse") {
		t.Errorf("a verdict on one run each:\n%s", out)
	}
}

func TestCompareHasVerdictsBeyondNoiseOnly(t *testing.T) {
	line := func(out, title string) string {
		for l := range strings.Lines(out) {
			if strings.HasPrefix(l, title) {
				return strings.TrimSpace(l)
			}
		}
		return ""
	}
	for _, c := range []struct {
		title string
		a, b  []*report.Report
		want  string
	}{
		{"deliveries per second ", runs(5, 0, 1000), runs(5, 0, 1100), "+9.6 % to +10.4 %"},
		{"deliveries per second ", runs(5, 0, 1000), runs(5, 0, 1100), ": better"},
		{"deliveries per second ", runs(5, 0, 1100), runs(5, 0, 1000), ": worse"},
		{"deliveries per second ", runs(5, 0, 1000), runs(5, 0, 1002), "no difference seen"},
		{"lost ", runs(5, 0, 1000), runs(5, 3, 1000), ": worse"},
		{"lost ", runs(5, 3, 1000), runs(6, 0, 1000), ": better"},
		{"max ", runs(5, 3, 1000), runs(5, 0, 1000), ": better"}, // a lost message's was infinite
	} {
		if out := compared(t, c.a, c.b); !strings.Contains(line(out, c.title), c.want) {
			t.Errorf("%q; want %q in it", line(out, c.title), c.want)
		}
	}
	if out := compared(t, runs(4, 0, 1000), runs(5, 0, 9000)); !strings.Contains(out, "not enough runs") {
		t.Errorf("4 and 5 are enough:\n%s", out)
	}
	other := runs(2, 0, 1000)
	other[1].Settings.Connections = 7
	if _, err := report.Side(other); err == nil || !strings.Contains(err.Error(), "connections 0 and 7") {
		t.Errorf("%v; want what differs", err)
	}
}

func TestJoinAddsExactly(t *testing.T) {
	a := sample(3)
	if err := a.Join(sample(20)); err != nil {
		t.Fatal(err)
	}
	if a.Latency.Count != 2000 || a.Messages.Lost != 23 || a.Messages.Expected != 2000 || len(a.Intervals) != 4 || a.Intervals[3].At != 4 {
		t.Errorf("%d values, %+v, %d intervals", a.Latency.Count, a.Messages, len(a.Intervals))
	}
}

func TestFindKnee(t *testing.T) {
	for _, c := range []struct {
		p99  []float64 // at 100, 200, 300 … messages a second
		knee float64
	}{
		{[]float64{1, 1.1, 1.2, 1.4, 20, 90}, 400},
		{[]float64{90, 20, 1.2, 1.1, 1}, 0}, // it falls
		{[]float64{1, 2, 3, 4, 5}, 0},
		{[]float64{1, 90}, 0},
	} {
		r := report.Ramp{}
		for i := len(c.p99) - 1; i >= 0; i-- {
			r.Steps = append(r.Steps, report.Step{Rate: float64(100 * (i + 1)), P99: &c.p99[i]})
		}
		if r.FindKnee(); r.Knee != c.knee || r.Steps[0].Rate != 100 {
			t.Errorf("%v: the knee is at %v, want %v", c.p99, r.Knee, c.knee)
		}
	}
}
