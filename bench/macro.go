package bench

import "context"

// Macro is a benchmark of a whole server: one run is one sample, on a fresh
// server. Its figures are written in Go's benchmark format
// (golang.org/design/14313-benchmark-format), so that benchstat reads them, and
// cmd/peal-gate compares them between two builds.
type Macro struct {
	// Name is the benchmark's, without "Benchmark": "Fanout/subscribers=5000/inflight=1".
	Name string
	// Run starts a server of l, measures and stops it. A run in which a message
	// was lost, repeated or reordered is an error and not a figure.
	Run func(ctx context.Context, l *Command) ([]Measure, error)
}

// Sample runs m once, for sampleTimeout at most.
func (m Macro) Sample(ctx context.Context, l *Command) ([]Measure, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	return m.Run(ctx, l)
}

// Measure is one figure of a run. The unit names it within its benchmark. Units
// are stable. cpu-ns/…, p99-ns, B/connection, B/channel (resident memory) and
// what Resume has are measured from outside, and have noise. The others are
// counted by the server:
//
//	allocs/delivery, alloc-B/delivery         objects and bytes of Go's heap for each further subscriber of a message
//	allocs/publication, alloc-B/publication   the same for the message itself
//	sends/delivery                            system calls: 1 when all are in step
//	B/delivery                                bytes sent, framing included; WebSocket only
//	encodes/publication                       ways of writing it in use, the publisher's own included
//	buffers/publication                       memory it was sent from: each way's bytes once, or a copy for each subscriber
//	heap-B/connection, heap-B/channel         alive on Go's heap
//	held-B                                    held for single connections
//	imbalance-percent                         between the loops
//
// With one message in flight, what is said of a delivery, encodings and buffers
// come out the same in every run of a build, also on a busy machine. What is
// said of a publication includes the growth of young histories and is within
// 0.1 allocations, 0.2 over HTTP; heap-B is within 3 %.
//
// A server that does not count something has no such Measure.
type Measure struct {
	Unit  string
	Value float64
}
