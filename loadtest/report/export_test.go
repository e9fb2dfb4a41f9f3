package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"peal/loadtest/report"
)

// staged is a run whose second of two stages lost 20 messages.
func staged(t *testing.T) *report.Report {
	t.Helper()
	r := sample(20)
	for k, lost := range []uint64{0, 20} {
		one := sample(lost)
		r.Stages = append(r.Stages, report.Stage{From: 10, To: float64(10 * (k + 1)), Duration: 1, Scheduled: 100, Sent: 100, Counts: one.Messages.Counts, Latency: one.Latency})
	}
	r.WarmUp = &report.Stage{Duration: 0.5, Sent: 7}
	r.WarmUp.Lost = 3
	return r
}

// judge judges one objective.
func judge(t *testing.T, r *report.Report, text string) ([]string, error) {
	t.Helper()
	o, err := report.ParseObjective(text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Judge([]report.Objective{o})
}

func TestJudgeAStage(t *testing.T) {
	r := staged(t)
	for text, missed := range map[string]bool{"lost{stage=1}>0": false, "lost{stage=2}>0": true, "lost{stage=2}>2%": false, "lost{stage=2}>=2%": true,
		"max{stage=1}>20ms": false, "max{stage=2}>20ms": true, "p50{stage=2}>2ms": true} {
		if got, err := judge(t, r, text); err != nil || (len(got) > 0) != missed {
			t.Errorf("%s: missed %q, %v", text, got, err)
		}
	}
	if _, err := judge(t, r, "p99{stage=3}>1ms"); !errors.Is(err, report.ErrUnmeasured) {
		t.Errorf("a third stage: %v", err)
	}
	r.Ended = "duplicated>3 (it is 4) after 2.0 s"
	if got, err := judge(t, r, "p99>100ms"); err != nil || len(got) != 1 {
		t.Errorf("an objective that was missed during the run: missed %q, %v", got, err)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"warm-up", "3 lost", "10–20", "ended early: duplicated>3"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

func TestStagesAsCSV(t *testing.T) {
	r := staged(t)
	var stages, intervals bytes.Buffer
	if err := errors.Join(r.WriteStagesCSV(&stages), r.WriteCSV(&intervals)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&stages).ReadAll()
	if err != nil || len(rows) != 3 || rows[2][8] != "20" || rows[1][15] == "" || rows[2][16] != "" || rows[0][20] != "side" || rows[1][17] != "0" {
		t.Errorf("%v, %q", err, rows)
	}
	rows, err = csv.NewReader(&intervals).ReadAll()
	if err != nil || rows[0][11] != "stage" || rows[1][11] != "1" || rows[2][11] != "2" {
		t.Errorf("%v, %q", err, rows)
	}
}

func TestOpenMetrics(t *testing.T) {
	r := staged(t)
	side := sample(0)
	side.Name = "ws://b"
	r.Sides = []*report.Report{side}
	var b bytes.Buffer
	if err := r.WriteOpenMetrics(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "# EOF\n") {
		t.Errorf("no end: %s", b.String())
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&b)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				if l.GetName() != "scenario" {
					key += " " + l.GetName() + "=" + l.GetValue()
				}
			}
			got[key] = m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	for key, want := range map[string]float64{"peal_load_lost": 20, "peal_load_lost stage=1": 0, "peal_load_lost stage=2": 20, "peal_load_lost side=ws://b": 0, "peal_load_valid": 0} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v, %t; want %v", key, v, ok, want)
		}
	}
	if v := got["peal_load_p50_seconds stage=1"]; v < 0.005 || v > 0.006 {
		t.Errorf("p50 of stage 1 is %v", v)
	}
}

func TestJUnit(t *testing.T) {
	r := staged(t)
	r.Began = time.Unix(0, 0).UTC()
	r.Validate(report.DefaultLimits)
	if _, err := judge(t, r, "max>1s"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Cases []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil {
		t.Fatal(err)
	}
	if len(suite.Cases) != 3 || suite.Cases[0].Failure != nil || suite.Cases[1].Failure != nil || suite.Cases[2].Name != "not max>1s" || suite.Cases[2].Failure.Message != "a message was lost" {
		t.Errorf("%+v, of %s", suite, b.String())
	}
}
