package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// Collect sends the metrics that r has, for the run and for each stage: gauges whose
// names are those of the objectives, in seconds and bytes. r is a prometheus.Collector.
func (r *Report) Collect(to chan<- prometheus.Metric) {
	labels := prometheus.Labels{"scenario": r.Scenario}
	if r.Name != "" {
		labels["side"] = r.Name
	}
	send := func(name, help string, v float64) {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc("peal_load_"+name, help, nil, maps.Clone(labels)), prometheus.GaugeValue, v)
	}
	valid := 0.0
	if r.Validity.Valid {
		valid = 1
	}
	send("valid", "1 if the generator kept its limits", valid)
	for k := range len(r.Stages) + 1 {
		part := r.part(k)
		if k > 0 {
			labels["stage"] = strconv.Itoa(k)
		}
		for _, m := range metrics {
			v, measured := m.value(part)
			if m.name == "" || !measured || k > 0 && !m.staged() {
				continue
			}
			name := strings.ReplaceAll(m.name, ".", "_")
			if m.unit == duration {
				name, v = name+"_seconds", v/1e9
			}
			send(name, m.name+" of the run or of a stage", v)
		}
		if m := part.Messages; m != nil {
			send("sent", "messages sent", float64(m.Sent))
			send("expected", "deliveries expected", float64(m.Expected))
			send("delivered", "deliveries", float64(m.Delivered))
		}
	}
	for _, side := range r.Sides {
		side.Collect(to)
	}
}

// Describe makes r an unchecked collector: what it has depends on the run.
func (r *Report) Describe(chan<- *prometheus.Desc) {}

// WriteOpenMetrics writes what Collect has, in the text format of OpenMetrics.
func (r *Report) WriteOpenMetrics(w io.Writer) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(r)
	families, err := registry.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	e := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeOpenMetrics))
	for _, f := range families {
		if err := e.Encode(f); err != nil {
			return fmt.Errorf("encode metrics: %w", err)
		}
	}
	_, err = expfmt.FinalizeOpenMetrics(w)
	return err
}

// testCase is one of JUnit's.
type testCase struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Failure *failure `xml:"failure"`
}

type failure struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the objectives as the test cases of a suite, and the validity as
// the first of them.
func (r *Report) WriteJUnit(w io.Writer) error {
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Began    string     `xml:"timestamp,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testCase `xml:"testcase"`
	}{Name: "peal load " + r.Scenario, Began: r.Began.Format("2006-01-02T15:04:05")}
	add := func(name string, fails bool, why string) {
		c := testCase{Class: suite.Name, Name: name}
		if suite.Tests++; fails {
			suite.Failures++
			c.Failure = &failure{why}
		}
		suite.Cases = append(suite.Cases, c)
	}
	add("the run is valid", !r.Validity.Valid, fmt.Sprint(r.Validity.Reasons))
	for _, o := range r.Objectives {
		value := "lost"
		if o.Value != nil {
			value = strconv.FormatFloat(*o.Value, 'f', -1, 64)
		}
		add("not "+o.Objective, !o.Met, "it is "+value)
	}
	if r.Ended != "" {
		add("the run is complete", true, "ended early: "+r.Ended)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	return e.Encode(suite)
}
