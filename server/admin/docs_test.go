package admin_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"peal/server/admin"
	"peal/server/auth"
	"peal/server/tally"
)

// described is what /metrics and docs/metrics.md say about a metric.
type described struct {
	kind   string
	labels string // names, sorted, "a, b"
}

// served returns the peal_* metrics that /metrics shows.
func served(t *testing.T) map[string]described {
	t.Helper()
	w := httptest.NewRecorder()
	admin.Handler(&source{ready: true}, &auth.Policy{}).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	all := map[string]described{}
	base := "" // of the samples that follow their # TYPE line
	label := regexp.MustCompile(`(\w+)="`)
	for line := range strings.Lines(w.Body.String()) {
		fields := strings.Fields(line)
		if fields[0] == "#" {
			if fields[1] == "TYPE" && strings.HasPrefix(fields[2], "peal_") {
				base = fields[2]
				all[base] = described{kind: fields[3]}
			}
			continue
		}
		if !strings.HasPrefix(line, "peal_") {
			continue
		}
		var labels []string
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			if m[1] != "le" && m[1] != "quantile" { // the type's own
				labels = append(labels, m[1])
			}
		}
		slices.Sort(labels)
		d := all[base]
		d.labels = strings.Join(labels, ", ")
		all[base] = d
	}
	if len(all) < 10 {
		t.Fatalf("/metrics shows %d metrics of ours only", len(all))
	}
	return all
}

func TestMetricsPageIsComplete(t *testing.T) {
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	page := map[string]described{}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "| `peal_") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Errorf("%d cells, want 5: %s", len(cells), line)
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		name := strings.Trim(cells[0], "`")
		if _, ok := page[name]; ok {
			t.Errorf("docs/metrics.md has %s twice", name)
		}
		if cells[3] == "" || cells[4] == "" {
			t.Errorf("docs/metrics.md does not say what %s means, or what to do when it is high", name)
		}
		page[name] = described{cells[1], strings.ReplaceAll(cells[2], "`", "")}
	}
	shown := served(t)
	for name, d := range shown {
		if p, ok := page[name]; !ok {
			t.Errorf("docs/metrics.md lacks %s (%s; labels: %s)", name, d.kind, d.labels)
		} else if p != d {
			t.Errorf("%s: docs/metrics.md says %+v, /metrics %+v", name, p, d)
		}
	}
	for name := range page {
		if _, ok := shown[name]; !ok {
			t.Errorf("docs/metrics.md describes %s, which /metrics does not show", name)
		}
	}
	exist(t, shown, "docs/metrics.md", string(b))
}

var (
	pealName = regexp.MustCompile(`\bpeal_\w+`)
	recorded = regexp.MustCompile(`^peal:\w+:\w+$`)
	suffix   = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// exist checks that every peal_* name in text is one of shown; it returns how
// many there are.
func exist(t *testing.T, shown map[string]described, where, text string) int {
	t.Helper()
	names := pealName.FindAllString(text, -1)
	for _, name := range names {
		if _, ok := shown[name]; ok {
			continue
		}
		kind := shown[suffix.ReplaceAllString(name, "")].kind
		if kind != "histogram" && kind != "summary" {
			t.Errorf("%s: %s does not exist", where, name)
		}
	}
	return len(names)
}

// balanced finds the mistakes of a hasty edit; it is no parser of PromQL.
func balanced(expr string) bool {
	var open []rune
	pairs := map[rune]rune{')': '(', ']': '[', '}': '{'}
	for _, c := range expr {
		switch c {
		case '(', '[', '{':
			open = append(open, c)
		case ')', ']', '}':
			if len(open) == 0 || open[len(open)-1] != pairs[c] {
				return false
			}
			open = open[:len(open)-1]
		}
	}
	return len(open) == 0 && strings.TrimSpace(expr) != "" && strings.Count(expr, `"`)%2 == 0
}

func TestAlertRulesAskForWhatThereIs(t *testing.T) {
	f, err := os.Open("../../docs/prometheus-alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Record              string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, names, seen := served(t), 0, map[string]bool{}
	known, selected := values(t), 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				if seen[r.Record] || r.Alert+r.For != "" || !recorded.MatchString(r.Record) || !strings.Contains(string(page), "`"+r.Record+"`") {
					t.Errorf("record %q: twice there, also an alert, not named level:metric:operations, or not in docs/metrics.md", r.Record)
				}
			} else if r.Alert == "" || seen[r.Alert] || r.For == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("alert %q: twice there, or without for, severity, summary or description", r.Alert)
			}
			name := r.Alert + r.Record
			seen[name] = true
			if !balanced(r.Expr) {
				t.Errorf("%s: brackets do not match: %s", name, r.Expr)
			}
			if name == "PealRefusesPublishing" && !strings.Contains(r.Expr, `code="overloaded"`) {
				t.Errorf("%s does not ask for the code that publishers get with 429: %s", name, r.Expr)
			}
			names += exist(t, shown, name, r.Expr)
			selected += exactly(t, known, name, r.Expr)
		}
	}
	if names < 5 || selected < 2 {
		t.Errorf("%d names of ours in all alert rules, %d labels", names, selected)
	}
}

// whole is a source whose labels have all values that there are.
type whole struct {
	source
	fronts tally.Stats
}

func (w *whole) FrontStats(context.Context) (tally.Stats, error) { return w.fronts, nil }

// values are the values of the labels that /metrics shows: "code" of a metric to
// "overloaded" and so on.
func values(t *testing.T) map[string]map[string]bool {
	t.Helper()
	w := httptest.NewRecorder()
	admin.Handler(&whole{source{ready: true}, tally.New().Stats()}, &auth.Policy{}).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	all := map[string]map[string]bool{}
	for line := range strings.Lines(w.Body.String()) {
		name, labels, ok := strings.Cut(line, "{")
		if !ok || !strings.HasPrefix(name, "peal_") {
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(labels, -1) {
			key := name + " " + m[1]
			if all[key] == nil {
				all[key] = map[string]bool{}
			}
			all[key][m[3]] = true
		}
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b(peal_\w+)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
)

// exactly checks that the labels and values by which expr selects are ones that
// exist. Prometheus and Grafana themselves give job and instance, and le is the
// histogram's.
func exactly(t *testing.T, all map[string]map[string]bool, where, expr string) (selected int) {
	t.Helper()
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if slices.Contains([]string{"job", "instance", "le", "quantile"}, m[1]) {
				continue
			}
			selected++
			known := all[s[1]+" "+m[1]]
			if known == nil {
				t.Errorf("%s: %s has no label %s", where, s[1], m[1])
				continue
			}
			for one := range strings.SplitSeq(m[3], "|") {
				if !known[one] {
					t.Errorf("%s: %s has no %s %q", where, s[1], m[1], one)
				}
			}
		}
	}
	return selected
}

func TestSelectorsAreHeldToLabelsThatExist(t *testing.T) {
	all := values(t)
	for expr, good := range map[string]bool{
		`rate(peal_refusals_total{code="overloaded"}[5m])`:           true,
		`peal_refusals_total{job="x",code=~"overloaded|not_stored"}`: true,
		`peal_transport_connections{transport="sse"}`:                true,
		`peal_refusals_total{code="overload"}`:                       false,
		`peal_refusals_total{kind="overloaded"}`:                     false,
		`peal_refusals_total{code=~"overloaded|gone"}`:               false,
		`peal_channels{code="overloaded"}`:                           false,
	} {
		probe := &testing.T{}
		exactly(probe, all, "", expr)
		if probe.Failed() == good {
			t.Errorf("%s: taken %v, want %v", expr, !good, good)
		}
	}
}

// The page lists what needs attention at once; each is an alert of that severity, and
// each such alert is listed.
func TestPagesAreListed(t *testing.T) {
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "Alerts that need attention at once: ")
	list, _, ok := strings.Cut(rest, ". ")
	if !ok {
		t.Fatal("docs/metrics.md does not list the alerts that need attention at once")
	}
	listed := regexp.MustCompile(`Peal\w+`).FindAllString(list, -1)
	rules, err := os.ReadFile("../../docs/prometheus-alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var paging []string
	for _, m := range regexp.MustCompile(`(?s)- alert: (\w+)\n.*?severity: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if m[2] == "page" {
			paging = append(paging, m[1])
		}
	}
	slices.Sort(listed)
	slices.Sort(paging)
	if !slices.Equal(listed, paging) {
		t.Errorf("docs/metrics.md lists %v, the alerts that page are %v", listed, paging)
	}
}

func TestDashboardShowsWhatThereIs(t *testing.T) {
	b, err := os.ReadFile("../../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.Title == "" || len(dashboard.Panels) < 5 {
		t.Fatalf("the dashboard %q has %d panels", dashboard.Title, len(dashboard.Panels))
	}
	shown, ids, all, known := served(t), map[int]bool{}, string(b), values(t)
	for i, p := range dashboard.Panels {
		if p.Title == "" || ids[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q has no title, no query or the number of another", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			exactly(t, known, p.Title, target.Expr)
			if !balanced(target.Expr) {
				t.Errorf("panel %q: brackets do not match: %s", p.Title, target.Expr)
			}
		}
		a := p.GridPos
		for _, q := range dashboard.Panels[:i] {
			if b := q.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, q.Title)
			}
		}
	}
	exist(t, shown, "docs/grafana.json", all)
	for name := range shown { // whoever adds a metric decides where it is seen
		if !strings.Contains(all, name) {
			t.Errorf("docs/grafana.json does not show %s", name)
		}
	}
}
