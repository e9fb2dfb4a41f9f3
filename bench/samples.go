package bench

import (
	"fmt"
	"io"
	"runtime"

	"golang.org/x/perf/benchfmt"

	"peal/bench/record"
)

// SampleWriter writes samples in Go's benchmark format, a line each, so that
// benchstat reads them.
type SampleWriter struct {
	w      *benchfmt.Writer
	config []benchfmt.Config
	suffix string // of every name
}

// NewSampleWriter writes to w as `go test -bench` does. The configuration before
// the first line is what that writes of the machine, and no more: benchstat
// compares only what has the same configuration, and a commit in it would keep
// two builds apart.
func NewSampleWriter(w io.Writer) *SampleWriter {
	s := SamplesOf(w, "goos", runtime.GOOS, "goarch", runtime.GOARCH, "pkg", "peal/bench", "cpu", record.Here().CPU)
	s.suffix = fmt.Sprintf("-%d", runtime.GOMAXPROCS(0))
	return s
}

// SamplesOf writes to w, under a configuration of keys and values.
func SamplesOf(w io.Writer, config ...string) *SampleWriter {
	s := &SampleWriter{w: benchfmt.NewWriter(w)}
	for i := 0; i < len(config); i += 2 {
		s.config = append(s.config, benchfmt.Config{Key: config[i], Value: []byte(config[i+1]), File: true})
	}
	return s
}

// Write writes one sample of the benchmark with that name.
func (s *SampleWriter) Write(name string, v []Measure) error {
	r := benchfmt.Result{Config: s.config, Name: benchfmt.Name(name + s.suffix), Iters: 1}
	for _, m := range v {
		r.Values = append(r.Values, benchfmt.Value{Value: m.Value, Unit: m.Unit})
	}
	return s.w.Write(&r)
}
