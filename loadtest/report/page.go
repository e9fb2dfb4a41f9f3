package report

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"peal/loadtest"
)

// uPlot 1.6.32 (MIT, uplot/LICENSE) draws the charts: 50 KB that need nothing
// from outside, so a page opens from disk and in ten years. Axes, zoom and
// legends are not worth writing again.
//
//go:embed page.html page.js uplot/uPlot.iife.min.js uplot/uPlot.min.css
var files embed.FS

var pageTemplate = template.Must(template.ParseFS(files, "page.html"))

// chart is what page.js draws.
type chart struct {
	Title  string      `json:"title"`
	Unit   string      `json:"unit"`
	Curve  bool        `json:"curve"` // x is 1 ÷ (1 − quantile), on a logarithmic axis; otherwise seconds
	Log    bool        `json:"log"`   // so is y
	Tables []chartData `json:"tables"`
}

// chartData is one report's lines over their own x.
type chartData struct {
	Names []string     `json:"names"`
	X     []float64    `json:"x"`
	Y     [][]*float64 `json:"y"`
}

// pageData is what page.html shows.
type pageData struct {
	Title   string
	Reports []pageReport
	Compare string
	Reasons []string
	Judged  []Judged
	Style   template.CSS
	Scripts []template.JS
	Charts  template.JS
}

type pageReport struct {
	Name, Text, Settings string
	When                 string
}

// WritePage writes a page that needs nothing else: the summary and charts of one
// report, or of several over one another.
func WritePage(w io.Writer, reports ...*Report) error {
	d := pageData{Title: "peal load " + reports[0].Scenario}
	for _, r := range reports {
		d.Reasons = append(d.Reasons, r.Validity.Reasons...)
		d.Judged = append(d.Judged, r.Objectives...)
	}
	if len(reports) == 1 && len(reports[0].Sides) > 0 {
		reports = reports[0].Sides
	}
	for i, r := range reports {
		text, err := summary(r)
		if err != nil {
			return err
		}
		name := ""
		if len(reports) > 1 {
			name = letter(i)
		}
		s := r.Settings
		d.Reports = append(d.Reports, pageReport{Name: name, Text: text, When: r.Began.Format("2006-01-02 15:04:05 MST"),
			Settings: fmt.Sprintf("%s · %d connections, %d channels, %v messages/s of %d bytes, %v s · %d processors, Linux %s, %s, peal %s",
				s.servers(), s.Connections, s.Channels, s.Rate, s.Size, s.Duration,
				r.Environment.CPUs, r.Environment.Kernel, r.Environment.Go, r.Environment.Load)})
	}
	if len(reports) == 2 {
		var b strings.Builder
		if err := Compare(&b, reports[0], reports[1]); err != nil {
			return err
		}
		d.Compare = b.String()
	}
	return d.write(w, charts(reports))
}

func summary(r *Report) (string, error) {
	var b strings.Builder
	p := &printer{w: &b}
	p.body(r)
	return b.String(), p.err
}

func (d *pageData) write(w io.Writer, all []chart) error {
	data, err := json.Marshal(all) // escapes <, so it cannot end the script
	if err != nil {
		return fmt.Errorf("charts: %w", err)
	}
	d.Charts = template.JS(data)
	style, err := files.ReadFile("uplot/uPlot.min.css")
	if err != nil {
		return err
	}
	d.Style = template.CSS(style)
	for _, name := range []string{"uplot/uPlot.iife.min.js", "page.js"} {
		script, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		d.Scripts = append(d.Scripts, template.JS(script))
	}
	return pageTemplate.Execute(w, d)
}

// charts leaves out those that nothing was measured for.
func charts(reports []*Report) []chart {
	all := []chart{
		overTime("Latency over time", "ms", true, reports, line{"p50", func(i *Interval) *float64 { return i.P50 }},
			line{"p99", func(i *Interval) *float64 { return i.P99 }}, line{"max", func(i *Interval) *float64 { return i.Max }}),
		percentiles(reports),
		overTime("Deliveries", "per second", false, reports, line{"delivered", nil}),
		overTime("Connections", "open", false, reports, line{"open", func(i *Interval) *float64 { return number64(i.Connections) }}),
		overTime("CPU", "cores", false, reports, line{"server", func(i *Interval) *float64 { return i.ServerCPU }},
			line{"generator", func(i *Interval) *float64 { return &i.GeneratorCPU }}),
		overTime("Memory of the server", "MiB", false, reports, line{"resident", func(i *Interval) *float64 {
			if i.Resident == nil {
				return nil
			}
			return number64(float64(*i.Resident) / (1 << 20))
		}}),
	}
	var some []chart
	for _, c := range all {
		if len(c.Tables) > 0 {
			some = append(some, c)
		}
	}
	return some
}

func number64[T int | float64](v T) *float64 {
	f := float64(v)
	return &f
}

// line is one value of each interval; nil: deliveries a second.
type line struct {
	name string
	of   func(*Interval) *float64
}

func overTime(title, unit string, log bool, reports []*Report, lines ...line) chart {
	c := chart{Title: title, Unit: unit, Log: log}
	for k, r := range reports {
		t, some := chartData{Y: make([][]*float64, len(lines))}, false
		before := 0.0
		for i := range r.Intervals {
			interval := &r.Intervals[i]
			length := interval.At - before
			if length <= 0 || i > 0 && length < 0.2*(r.Intervals[0].At) {
				continue // the rest after the last message is no interval to speak of
			}
			before = interval.At
			t.X = append(t.X, interval.At)
			for n, l := range lines {
				v := number64(float64(interval.Delivered) / length)
				if l.of != nil {
					v = l.of(interval)
				}
				some = some || v != nil
				t.Y[n] = append(t.Y[n], v)
			}
		}
		for _, l := range lines {
			t.Names = append(t.Names, seriesName(reports, k, l.name))
		}
		if some {
			c.Tables = append(c.Tables, t)
		}
	}
	return c
}

// percentiles draws each report's curve as far as messages came.
func percentiles(reports []*Report) chart {
	c := chart{Title: "Latency by percentile", Unit: "ms", Curve: true, Log: true}
	for k, r := range reports {
		if r.Latency == nil {
			continue
		}
		t := chartData{Names: []string{seriesName(reports, k, "latency")}, Y: make([][]*float64, 1)}
		for _, p := range r.Latency.Histogram.Curve() {
			if p.Quantile >= 1 || p.Value >= loadtest.Never {
				break
			}
			x := 1 / (1 - p.Quantile)
			if math.IsInf(x, 0) {
				break
			}
			t.X = append(t.X, x)
			t.Y[0] = append(t.Y[0], Ms(p.Value))
		}
		c.Tables = append(c.Tables, t)
	}
	return c
}

func seriesName(reports []*Report, k int, name string) string {
	if len(reports) == 1 {
		return name
	}
	return letter(k) + " " + name
}

func letter(i int) string { return string(rune('a' + i)) }
