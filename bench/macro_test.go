package bench

import (
	"math"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

func TestParseSums(t *testing.T) {
	text := "# HELP sends x\n# TYPE sends counter\nsends{loop=\"0\"} 10\nsends{loop=\"1\"} 1.2e1 1234\nsends_other 7\nodd{code=\"a b}\"} 3\n"
	v, err := parseSums(strings.NewReader(text))
	if err != nil || len(v) != 3 || v["sends"] != 22 || v["sends_other"] != 7 || v["odd"] != 3 {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := parseSums(strings.NewReader("sends x\n")); err == nil {
		t.Error("a sample that is no number was read")
	}
}

func TestParseHeap(t *testing.T) {
	h, err := parseHeap(strings.NewReader("heap profile: 1: 2 [3: 4] @ heap/1\n\n# runtime.MemStats\n# Alloc = 7\n# TotalAlloc = 1000\n# Mallocs = 30\n# Frees = 8\n# HeapAlloc = 7\n"))
	if err != nil || h != (heap{objects: 30, bytes: 1000, held: 7}) {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := parseHeap(strings.NewReader("# Mallocs = 30\n")); err == nil {
		t.Error("half of a profile was read")
	}
}

// figure returns the value of a unit, NaN if it is not there.
func figure(v []Measure, unit string) float64 {
	for _, m := range v {
		if m.Unit == unit {
			return m.Value
		}
	}
	return math.NaN()
}

// What a delivery allocates and what a publication does come out apart.
func TestFanoutFiguresTellDeliveriesFromPublications(t *testing.T) {
	load := func(published, subscribers, objectsEach, bytesEach float64) *counted {
		deliveries := published * (subscribers + 1) // the publisher has its own back
		return &counted{
			metrics:   map[string]float64{"peal_deliveries_total": deliveries, "peal_delivery_sends_total": deliveries / 2},
			hasHeap:   true,
			heap:      heap{objects: 6*published + objectsEach*published*subscribers, bytes: 700*published + bytesEach*published*subscribers},
			published: published,
			delivered: published * subscribers,
		}
	}
	for _, each := range []heap{{}, {objects: 1, bytes: 144}, {objects: 2, bytes: 16_384}} {
		v := fanoutFigures(load(4000, 1, each.objects, each.bytes), load(90, 1000, each.objects, each.bytes))
		for unit, want := range map[string]float64{"allocs/delivery": each.objects, "alloc-B/delivery": each.bytes,
			"allocs/publication": 6, "alloc-B/publication": 700, "sends/delivery": 0.5} {
			if got := figure(v, unit); got != want {
				t.Errorf("%+v each: %v %s, want %v", each, got, unit, want)
			}
		}
		if !math.IsNaN(figure(v, "encodes/publication")) {
			t.Error("a figure of a server that does not count it")
		}
	}
	if v := fanoutFigures(&counted{published: 1}, &counted{published: 1}); len(v) != 0 {
		t.Errorf("figures of a server that counts nothing: %v", v)
	}
}

func TestRoundedHasNoNegativeZero(t *testing.T) {
	if x := rounded(-0.0004, 3); x != 0 || math.Signbit(x) {
		t.Errorf("%v", x)
	}
	if x := rounded(0.9996, 3); x != 1 {
		t.Errorf("%v", x)
	}
}

func TestBenchfmtReadsWhatIsWritten(t *testing.T) {
	var b strings.Builder
	w := NewSampleWriter(&b)
	const name = "Fanout/subscribers=5000/inflight=1"
	for i := range 2 {
		if err := w.Write(name, []Measure{{"cpu-ns/delivery", 6100.5 + float64(i)}, {"allocs/delivery", 0}, {"sends/delivery", 1}}); err != nil {
			t.Fatal(err)
		}
	}
	r := benchfmt.NewReader(strings.NewReader("# peal, commit 12: 3\n"+b.String()), "written")
	n := 0
	for r.Scan() {
		result, ok := r.Result().(*benchfmt.Result)
		if !ok {
			t.Fatalf("%v in\n%s", r.Result(), b.String())
		}
		base, parts := result.Name.Parts()
		if string(base) != "Fanout" || len(parts) != 3 || string(parts[1]) != "/inflight=1" {
			t.Errorf("name %s", result.Name)
		}
		if result.GetConfig("pkg") != "peal/bench" || result.GetConfig("commit") != "" {
			t.Errorf("configuration %v", result.Config)
		}
		v := result.Values
		if len(v) != 3 || v[0].OrigValue != 6100.5+float64(n) || v[0].OrigUnit != "cpu-ns/delivery" || v[0].Unit != "cpu-sec/delivery" || v[1].Unit != "allocs/delivery" || v[2].Value != 1 {
			t.Errorf("values %+v", v)
		}
		n++
	}
	if err := r.Err(); err != nil || n != 2 {
		t.Errorf("%d samples, %v, in\n%s", n, err, b.String())
	}
}
