package admin

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Start is how far the start of the server is, or has come.
type Start struct {
	Doing string // what it does now, as in "opening the log"
	Read  uint64 // entries of the log that it has read
	Known uint64 // entries that there are to read, about; 0: none, or it is not known yet
}

func (s Start) String() string {
	switch {
	case s.Known > 0:
		return fmt.Sprintf("starting: %s (%d of about %d entries read)", s.Doing, s.Read, max(s.Known, s.Read))
	case s.Read > 0:
		return fmt.Sprintf("starting: %s (%d entries read)", s.Doing, s.Read)
	}
	return "starting: " + s.Doing
}

var startMetrics = []metric{
	one(prometheus.GaugeValue, "start_entries", "Entries of the log that the start of this server had to read, about; 0 until it is known.", func(s *state) float64 { return float64(s.start.Known) }),
	one(prometheus.GaugeValue, "start_read_entries", "Entries of the log that the start of this server has read.", func(s *state) float64 { return float64(s.start.Read) }),
}

// Startup is the handler of an admin listener that is opened before the server can serve.
type Startup struct {
	access  *Access
	handler atomic.Pointer[http.Handler]
}

// NewStartup returns a handler that serves, until Done, what can be served of a server that
// starts. start is called by any goroutine. a is the listener's now.
func NewStartup(a *Access, start func() Start) *Startup {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), startCollector(start))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "ok, but no client can connect yet: %s\n", start())
	})
	notYet := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, start().String(), http.StatusServiceUnavailable)
	}
	mux.HandleFunc("GET /readyz", notYet)
	mux.HandleFunc("GET /cluster", notYet)
	for _, path := range []string{"/live", "/connections", "/dashboard/", "/{$}"} {
		mux.HandleFunc("GET "+path, notYet)
	}
	mux.HandleFunc("POST /reload", notYet)
	mux.HandleFunc("POST /upgrade", notYet)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	addProfiles(mux)
	a.csrf = newKey()
	s := &Startup{access: a}
	s.use(mux)
	return s
}

// Done has the listener serve all of it from now on.
func (s *Startup) Done(source Source) { s.use(newMux(source, s.access.csrf)) }

func (s *Startup) use(mux *http.ServeMux) {
	h := guard(mux, s.access)
	s.handler.Store(&h)
}

func (s *Startup) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.handler.Load()).ServeHTTP(w, r)
}

// startCollector has the metrics of a server that starts.
type startCollector func() Start

// Describe implements prometheus.Collector.
func (c startCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range startMetrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c startCollector) Collect(out chan<- prometheus.Metric) {
	s := state{start: c()}
	for _, m := range startMetrics {
		m.emit(&s, func(v float64, _ ...string) { out <- prometheus.MustNewConstMetric(m.desc, m.kind, v) })
	}
}
