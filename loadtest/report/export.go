package report

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"
)

//go:embed junit.xml
var junitText string

var junit = template.Must(template.New("").Parse(junitText))

// WriteJUnit writes the objectives as test cases, and the validity of the run as another.
func (r *Report) WriteJUnit(w io.Writer) error { return junit.Execute(w, r) }

// WriteOpenMetrics writes gauges in the text format of OpenMetrics: the metrics of the
// objectives, for the run, each stage and each side, in seconds and bytes.
func (r *Report) WriteOpenMetrics(w io.Writer) error {
	p := &printer{w: w}
	for _, m := range metrics {
		if m.name == "" {
			continue
		}
		name, unit := "peal_load_"+strings.ReplaceAll(m.name, ".", "_"), 1.0
		if m.unit == duration {
			name, unit = name+"_seconds", 1e9
		}
		p.printf("# TYPE %s gauge\n", name)
		for _, side := range append([]*Report{r}, r.Sides...) {
			for k := range len(side.Stages) + 1 {
				labels := fmt.Sprintf("scenario=%q", r.Scenario)
				if side.Name != "" {
					labels += fmt.Sprintf(",side=%q", side.Name)
				}
				if k > 0 {
					labels += fmt.Sprintf(",stage=\"%d\"", k)
				}
				if v, measured := m.value(side.part(k)); measured && (k == 0 || m.staged()) {
					p.printf("%s{%s} %v\n", name, labels, v/unit)
				}
			}
		}
	}
	valid := map[bool]int{true: 1}[r.Validity.Valid]
	p.printf("# TYPE peal_load_valid gauge\npeal_load_valid{scenario=%q} %d\n# EOF\n", r.Scenario, valid)
	return p.err
}
