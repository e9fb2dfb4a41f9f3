// Package admin is the operator's side of the server, on a listener of its own
// that is never public: /healthz, /readyz, /metrics (Prometheus) and the
// profiles of net/http/pprof.
//
//   - Handler serves them; a Source tells the numbers.
//
// It asks the Source at each scrape and keeps nothing. Metric names are stable;
// there is never a label for a channel or a client.
//
// Concurrency: net/http's goroutines call the Source, which must allow it.
package admin
