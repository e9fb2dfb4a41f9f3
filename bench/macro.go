package bench

import "context"

// Macro is a benchmark of a whole server: one run is one sample, on a fresh
// server. Its figures are written in Go's benchmark format
// (golang.org/design/14313-benchmark-format), which benchstat reads, and
// cmd/peal-gate compares them between two builds.
type Macro struct {
	// Name is without "Benchmark": "Fanout/subscribers=5000/inflight=1".
	Name string
	// Run starts a server with l, measures it and stops it. A run in which a
	// message was lost, duplicated or reordered is an error.
	Run func(ctx context.Context, l *Command) ([]Measure, error)
}

// Sample runs m once. It takes sampleTimeout at most.
func (m Macro) Sample(ctx context.Context, l *Command) ([]Measure, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	return m.Run(ctx, l)
}

// Measure is one figure of a run. The unit identifies it within its benchmark.
// Units are stable. cpu-ns/…, open-ns/connection, p50-ns, p99-ns, tail-ns (the mean
// latency of the slowest hundredth of the deliveries), B/connection, B/channel
// (resident memory) and the units of Resume are measured from outside and are noisy.
// The kernel counts the system calls, where it is allowed to, during the warm-up,
// because that costs time; those with which threads wait and wake each other are not
// among them. The size of its files is log-B/publication. The server counts the others:
//
//	allocs/delivery, alloc-B/delivery         objects and bytes of Go's heap for each further subscriber of a message
//	allocs/publication, alloc-B/publication   the same for the message itself
//	syscalls/delivery, syscalls/publication   system calls, divided as allocations are
//	sends/delivery                            those that send: 1 if all subscribers are up to date
//	sends/publication                         those that send replies to publishers: of Batch and Command
//	B/delivery                                bytes sent, framing included; WebSocket only
//	encodes/publication                       wire formats in use, including the publisher's own
//	buffers/publication                       buffers it was sent from: one for each wire format, or a copy for each subscriber
//	heap-B/connection, heap-B/channel         live on Go's heap
//	held-B                                    bytes held for single connections
//	imbalance-percent                         of connections between the loops
//
// With one message in flight, the figures per delivery, encodings and buffers are
// the same in every run of a build, also on a busy machine. The figures per
// publication include the growth of young histories and vary by 0.1 allocations,
// over HTTP by 0.2; heap-B varies by 3 %.
//
// If the server does not count something, its Measure is absent.
type Measure struct {
	Unit  string
	Value float64
}
