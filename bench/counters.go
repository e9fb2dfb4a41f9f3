package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"peal/loadtest"
)

// Metrics is where a server reports its metrics, in Prometheus' text format. Rows
// that need an empty name are left out.
type Metrics struct {
	URL             string // {admin} is replaced by host:port of the admin listener, {addr} by that of the public one
	LoopConnections string // gauge with one sample per loop
}

// PealMetrics is where Peal reports its metrics.
var PealMetrics = Metrics{URL: "http://{admin}/metrics", LoopConnections: "peal_connections"}

// of reports whether s has metrics.
func (m Metrics) of(s *Server) bool {
	return m.URL != "" && (s.Admin != "" || !strings.Contains(m.URL, "{admin}"))
}

// imbalance returns how many more connections the fullest loop has than the
// emptiest, in percent of the mean.
func (m Metrics) imbalance(ctx context.Context, s *Server) (percent float64, err error) {
	v, err := m.read(ctx, s, m.LoopConnections)
	if err != nil {
		return 0, err
	}
	all := sum(v)
	if all == 0 {
		return 0, fmt.Errorf("metric %s: no connections", m.LoopConnections)
	}
	return 100 * (slices.Max(v) - slices.Min(v)) / (all / float64(len(v))), nil
}

// read returns all samples of one metric.
func (m Metrics) read(ctx context.Context, s *Server, name string) ([]float64, error) {
	all, err := m.samples(ctx, s)
	if err == nil && all[name] == nil {
		err = missing(name)
	}
	return all[name], err
}

func missing(metric string) error {
	return fmt.Errorf("the server does not report the metric %s", metric)
}

// samples returns all samples of each metric; nil for a server without metrics.
func (m Metrics) samples(ctx context.Context, s *Server) (map[string][]float64, error) {
	if !m.of(s) {
		return nil, nil
	}
	return loadtest.ReadMetrics(ctx, strings.NewReplacer("{admin}", s.Admin, "{addr}", s.Addr).Replace(m.URL))
}

// counters are values by name: the metrics of a server, each summed over its labels,
// and those of Go's heap. A counter that the server does not have is absent.
type counters map[string]float64

// Names of counters that are not metrics.
const (
	heapObjects = "heap objects allocated"
	heapBytes   = "heap bytes allocated"
	heapHeld    = "heap bytes held"
	syscalls    = "system calls"
	published   = "messages published"    // by the load
	delivered   = "messages that arrived" // at the load's subscribers
)

// begin reads the counters of s, when the load's clients are connected and warm. For
// a server without metrics it returns nil.
func (m Metrics) begin(ctx context.Context, s *Server) (counters, error) {
	all, err := m.samples(ctx, s)
	if all == nil || err != nil {
		return nil, err
	}
	before := counters{}
	for name, v := range all {
		before[name] = sum(v)
	}
	// The first readings allocate what later ones reuse. The difference of the last
	// two is what one reading allocates; it is no part of the load's growth.
	var last, h counters
	for range 4 {
		last = h
		if h, err = readHeap(ctx, s, "allocs?debug=1"); errors.Is(err, loadtest.ErrStatus) {
			return before, nil
		} else if err != nil {
			return nil, err
		}
	}
	for name, v := range h {
		before[name] = v + (v - last[name])
	}
	return before, nil
}

// end returns the growth since begin, after the load's last message was received.
func (m Metrics) end(ctx context.Context, s *Server, before counters) (growth counters, err error) {
	growth = counters{}
	if before == nil {
		return growth, nil
	}
	if _, known := before[heapObjects]; known {
		h, err := readHeap(ctx, s, "allocs?debug=1")
		if err != nil {
			return nil, err
		}
		maps.Copy(growth, h)
	}
	all, err := m.samples(ctx, s)
	for name, v := range all {
		growth[name] = sum(v)
	}
	for name := range growth {
		growth[name] -= before[name]
	}
	return growth, err
}

// per returns counter a divided by counter b, if the server has both.
func (c counters) per(unit, a, b string, digits int) []Measure {
	if x, known := c[a]; known && c[b] > 0 {
		return []Measure{{unit, rounded(x/c[b], digits)}}
	}
	return nil
}

// rounded rounds x to that many decimal places. Allocations that a Go program makes
// by the clock, not for a message, are below them.
func rounded(x float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(x*unit)/unit + 0 // +0: not -0
}

// readHeap reads a profile from the admin listener (net/http/pprof). With debug=1
// it ends with runtime.MemStats, for which the runtime stops the world and includes
// the caches of all processors: exact to the object. go_memstats_mallocs_total
// leaves these caches out, up to some thousand objects per processor.
func readHeap(ctx context.Context, s *Server, profile string) (counters, error) {
	b, err := loadtest.Get(ctx, "http://"+s.Admin+"/debug/pprof/"+profile)
	if err != nil {
		return nil, err
	}
	return parseHeap(b)
}

func parseHeap(b []byte) (counters, error) {
	h := counters{}
	for name, field := range map[string]string{heapObjects: "\n# Mallocs = ", heapBytes: "\n# TotalAlloc = ", heapHeld: "\n# HeapAlloc = "} {
		_, rest, _ := bytes.Cut(b, []byte(field))
		number, _, _ := bytes.Cut(rest, []byte("\n"))
		v, err := strconv.ParseFloat(string(number), 64)
		if err != nil {
			return nil, fmt.Errorf("heap profile:%s%w", field, err)
		}
		h[name] = v
	}
	return h, nil
}
