package bench

import (
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// SampleWriter writes samples of macros in Go's benchmark format, a line each,
// so that benchstat reads them.
type SampleWriter struct {
	w      *benchfmt.Writer
	config []benchfmt.Config
}

// NewSampleWriter writes to w. The configuration before the first line is what
// `go test -bench` writes of the machine, and no more: benchstat compares only
// what has the same configuration, and a commit in it would keep two builds
// apart.
func NewSampleWriter(w io.Writer) *SampleWriter {
	s := &SampleWriter{w: benchfmt.NewWriter(w)}
	for _, c := range [][2]string{{"goos", runtime.GOOS}, {"goarch", runtime.GOARCH}, {"pkg", "peal/bench"}, {"cpu", processor()}} {
		if c[1] != "" {
			s.config = append(s.config, benchfmt.Config{Key: c[0], Value: []byte(c[1]), File: true})
		}
	}
	return s
}

// Write writes one sample of the macro with that name.
func (s *SampleWriter) Write(name string, v []Measure) error {
	r := benchfmt.Result{Config: s.config, Name: benchfmt.Name(name + "-" + strconv.Itoa(runtime.GOMAXPROCS(0))), Iters: 1}
	for _, m := range v {
		r.Values = append(r.Values, benchfmt.Value{Value: m.Value, Unit: m.Unit})
	}
	return s.w.Write(&r)
}

// processor is the model's name; "" where the kernel does not tell.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // missing: ""
	_, rest, _ := strings.Cut(string(b), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(strings.TrimLeft(line, " \t:"))
}
