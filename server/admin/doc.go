// Package admin serves the operator, on a listener of its own that is never
// public: /healthz, /readyz, /metrics (Prometheus) and the profiles of
// net/http/pprof.
//
//   - Handler serves them; a Source provides the numbers.
//   - Startup serves what there is of them while the server starts.
//
// It queries the Source at each scrape and keeps nothing. Metric names are stable;
// there is never a label for a channel or a client.
//
// Concurrency: net/http's goroutines call the Source, which must allow it.
package admin
