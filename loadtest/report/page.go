package report

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
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

// drawn is what page.js draws of a report.
type drawn struct {
	Name      string       `json:"name"` // before the names of its lines; "": it is alone
	Intervals []Interval   `json:"intervals"`
	Stages    []Stage      `json:"stages"`
	Ramp      *Ramp        `json:"ramp"`
	Curve     [][2]float64 `json:"curve"` // 1 ÷ (1 − quantile), and ms
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
	Drawn   template.JS
}

type pageReport struct {
	Name, Text, Settings string
	When                 string
	Ends                 []pageEnd
}

// pageEnd is a row of the table of why connections ended, and publications were refused.
type pageEnd struct {
	What, Side, Reason string
	Count              int
}

// pageEnds are the rows of a report.
func (r *Report) pageEnds() (rows []pageEnd) {
	add := func(what string, all []loadtest.End) {
		for _, e := range all {
			rows = append(rows, pageEnd{what, sides[e.Side], e.Reason, e.Count})
		}
	}
	add("connection", r.Connections.Ends)
	if r.Messages != nil {
		add("publication", r.Messages.Refusals)
	}
	return rows
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
	var all []drawn
	for i, r := range reports {
		text, err := summary(r)
		if err != nil {
			return err
		}
		name := ""
		if len(reports) > 1 {
			name = letter(i)
		}
		all = append(all, charted(name, r))
		s := r.Settings
		d.Reports = append(d.Reports, pageReport{Name: name, Text: text, When: r.Began.Format("2006-01-02 15:04:05 MST"), Ends: r.pageEnds(),
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
	return d.write(w, all)
}

func summary(r *Report) (string, error) {
	var b strings.Builder
	p := &printer{w: &b}
	p.body(r)
	return b.String(), p.err
}

func (d *pageData) write(w io.Writer, all []drawn) error {
	data, err := json.Marshal(all) // escapes <, so it cannot end the script
	if err != nil {
		return fmt.Errorf("charts: %w", err)
	}
	d.Drawn = template.JS(data)
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

// charted leaves out the histograms, except for the curve of the whole run.
func charted(name string, r *Report) drawn {
	d := drawn{Name: name, Intervals: r.Intervals, Stages: slices.Clone(r.Stages), Ramp: r.Ramp}
	for i := range d.Stages {
		if t := d.Stages[i].Latency; t != nil {
			short := *t
			short.Histogram, d.Stages[i].Latency = nil, &short
		}
	}
	if r.Latency == nil {
		return d
	}
	for _, p := range r.Latency.Histogram.Curve() {
		x := 1 / (1 - p.Quantile)
		if p.Value >= loadtest.Never || math.IsInf(x, 0) {
			break // as far as messages came
		}
		d.Curve = append(d.Curve, [2]float64{x, *Ms(p.Value)})
	}
	return d
}

func letter(i int) string { return string(rune('a' + i)) }
