package bench

import (
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/perf/benchfmt"

	"peal/loadtest"
)

func TestAMetricThatIsMissingIsAnError(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sends 3\n") }))
	defer web.Close()
	m := Metrics{URL: web.URL}
	if v, err := m.read(t.Context(), &Server{}, "sends"); err != nil || len(v) != 1 || v[0] != 3 {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := m.read(t.Context(), &Server{}, "none"); err == nil {
		t.Errorf("a metric that is not there was found: %v", v)
	}
}

func TestParseHeap(t *testing.T) {
	h, err := parseHeap([]byte("heap profile: 1: 2 [3: 4] @ heap/1\n\n# runtime.MemStats\n# Alloc = 7\n# TotalAlloc = 1000\n# Mallocs = 30\n# Frees = 8\n# HeapAlloc = 7\n"))
	if err != nil || !maps.Equal(h, counters{heapObjects: 30, heapBytes: 1000, heapHeld: 7}) {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := parseHeap([]byte("x\n# Mallocs = 30\n")); err == nil {
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
	load := func(messages, subscribers, objectsEach, bytesEach float64) counters {
		deliveries := messages * (subscribers + 1) // the publisher has its own back
		return counters{
			"peal_deliveries_total": deliveries, "peal_delivery_sends_total": deliveries / 2,
			heapObjects: 6*messages + objectsEach*messages*subscribers,
			heapBytes:   700*messages + bytesEach*messages*subscribers,
			published:   messages,
			delivered:   messages * subscribers,
		}
	}
	for _, each := range [][2]float64{{0, 0}, {1, 144}, {2, 16_384}} {
		v := fanoutMeasures(load(4000, 1, each[0], each[1]), load(90, 1000, each[0], each[1]))
		for unit, want := range map[string]float64{"allocs/delivery": each[0], "alloc-B/delivery": each[1],
			"allocs/publication": 6, "alloc-B/publication": 700, "sends/delivery": 0.5} {
			if got := figure(v, unit); got != want {
				t.Errorf("%+v each: %v %s, want %v", each, got, unit, want)
			}
		}
		if !math.IsNaN(figure(v, "encodes/publication")) {
			t.Error("a figure of a server that does not count it")
		}
	}
	if v := fanoutMeasures(counters{published: 1}, counters{published: 1}); len(v) != 0 {
		t.Errorf("figures of a server that counts nothing: %v", v)
	}
}

// A hundredth of all values is the tail, whatever the rest is.
func TestTailIsTheMeanOfTheSlowestHundredth(t *testing.T) {
	l := loadtest.NewLatency()
	for range 990 {
		l.Record(int64(2 * time.Millisecond))
	}
	for range 5 {
		l.Record(int64(100 * time.Millisecond))
	}
	for range 5 {
		l.Record(int64(50 * time.Millisecond))
	}
	if got := tail(l); math.Abs(got-75e6) > 1e6 {
		t.Errorf("%v ns, want 75 ms", got)
	}
	if got := tail(loadtest.NewLatency()); got != 0 {
		t.Errorf("%v ns of nothing", got)
	}
}

// Calls that a process makes are counted, those of the runtime's clock are not.
func TestSyscallsAreCounted(t *testing.T) {
	if why := WhyNoSyscalls(); why != "" {
		t.Skip(why)
	}
	n := counters{}
	_, err := withSyscalls(&Server{PID: os.Getpid()}, n, func() (r loadtest.Result, err error) {
		for range 1000 {
			syscall.Getppid()
		}
		return loadtest.Result{Published: 1000}, nil
	})
	if each := n[syscalls] / n[published]; err != nil || each < 1 || each > 2 {
		t.Errorf("%v calls each, %v", each, err)
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
