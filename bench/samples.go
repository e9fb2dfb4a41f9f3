package bench

import (
	"fmt"
	"io"
	"runtime"

	"golang.org/x/perf/benchfmt"

	"peal/bench/record"
)

// SampleWriter writes samples in Go's benchmark format, one per line, for benchstat.
type SampleWriter struct {
	w      *benchfmt.Writer
	config []benchfmt.Config
	suffix string // of every name
}

// NewSampleWriter writes to w as `go test -bench` does. The configuration describes
// only the machine, as there: benchstat compares only samples with the same
// configuration, so a commit in it would separate two builds.
func NewSampleWriter(w io.Writer) *SampleWriter {
	s := SamplesOf(w, "goos", runtime.GOOS, "goarch", runtime.GOARCH, "pkg", "peal/bench", "cpu", record.Here().CPU)
	s.suffix = fmt.Sprintf("-%d", runtime.GOMAXPROCS(0))
	return s
}

// SamplesOf writes to w with a configuration of keys and values.
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
