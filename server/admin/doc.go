// Package admin serves the operator, on a listener of its own that is never
// public: /healthz, /readyz, /metrics (Prometheus), the profiles of net/http/pprof,
// what the server does (/live) and its connections, as JSON and as a dashboard, and orders.
//
//   - Handler serves them; a Source provides the numbers.
//   - Startup serves what there is of them while the server starts.
//   - The dashboard is the files in dashboard, which have no build step: modules that read the
//     JSON, and show whatever comes from a client as text nodes.
//
// It queries the Source at each request and keeps nothing. Metric names are stable;
// there is never a label for a channel or a client. A request of a browser that changes something
// needs a token (csrf.go).
//
// Concurrency: net/http's goroutines call the Source, which must allow it.
package admin
