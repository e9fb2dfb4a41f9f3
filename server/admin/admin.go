package admin

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"peal/loop"
	"peal/server/hub"
)

// Source tells what the server has done and holds.
type Source interface {
	HubStats() hub.Stats
	LoopStats(context.Context) ([]loop.Stats, error)
	Ready() bool // accepting, and not draining
}

// scrapeLimit is how long loops may take to answer a scrape.
const scrapeLimit = 2 * time.Second

// Handler returns the handler of the admin listener.
func Handler(s Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{s})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), scrapeLimit)
		defer cancel()
		if _, err := s.LoopStats(ctx); err != nil {
			http.Error(w, "an event loop does not answer", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !s.Ready() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// collector asks the source at each scrape.
type collector struct{ source Source }

// metric is one number of a loop.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*loop.Stats) float64
}

func counter(name, help string, of func(*loop.Stats) float64) metric {
	return metric{prometheus.NewDesc("peal_"+name, help, []string{"loop"}, nil), prometheus.CounterValue, of}
}

func gauge(name, help string, of func(*loop.Stats) float64) metric {
	return metric{prometheus.NewDesc("peal_"+name, help, []string{"loop"}, nil), prometheus.GaugeValue, of}
}

var loopMetrics = []metric{
	gauge("connections", "Open connections.", func(s *loop.Stats) float64 { return float64(s.Connections) }),
	counter("connections_accepted_total", "Connections accepted.", func(s *loop.Stats) float64 { return float64(s.Accepted) }),
	counter("connections_refused_total", "Connections refused: beyond the limit, or no descriptor left.", func(s *loop.Stats) float64 { return float64(s.Refused) }),
	counter("connections_dead_total", "Connections closed for silence.", func(s *loop.Stats) float64 { return float64(s.Dead) }),
	counter("connections_slow_total", "Connections given up because they take too little.", func(s *loop.Stats) float64 { return float64(s.Slow) }),
	counter("requests_total", "HTTP requests handled.", func(s *loop.Stats) float64 { return float64(s.Requests) }),
	counter("websocket_received_total", "WebSocket messages received.", func(s *loop.Stats) float64 { return float64(s.Received) }),
	counter("deliveries_total", "Messages accepted by sockets, counted once for each subscriber.", func(s *loop.Stats) float64 { return float64(s.Fanout.Deliveries) }),
	counter("delivery_sends_total", "Send calls that carried messages.", func(s *loop.Stats) float64 { return float64(s.Fanout.Sends) }),
	counter("delivery_bytes_total", "Bytes of messages accepted by sockets.", func(s *loop.Stats) float64 { return float64(s.Fanout.Bytes) }),
	counter("sockets_full_total", "Times a socket was full.", func(s *loop.Stats) float64 { return float64(s.Fanout.Full) }),
	counter("gaps_total", "Gaps that clients were told of.", func(s *loop.Stats) float64 { return float64(s.Fanout.Gaps) }),
	counter("turns_total", "Turns of the loop.", func(s *loop.Stats) float64 { return float64(s.Turns) }),
	gauge("held_bytes", "Bytes held for single connections: rests of half-sent messages and private items.", func(s *loop.Stats) float64 { return float64(s.Fanout.Held) }),
	gauge("input_bytes", "Bytes of unread and unfinished input.", func(s *loop.Stats) float64 { return float64(s.InputBytes) }),
	gauge("behind_connections", "Connections waiting for their turn to catch up.", func(s *loop.Stats) float64 { return float64(s.Fanout.Behind) }),
}

var (
	historyMessages = prometheus.NewDesc("peal_history_messages", "Messages in the history.", nil, nil)
	historyBytes    = prometheus.NewDesc("peal_history_bytes", "Bytes of the history, as its limits count them.", nil, nil)
	channels        = prometheus.NewDesc("peal_channels", "Channels with subscribers or history.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range loopMetrics {
		out <- m.desc
	}
	for _, d := range []*prometheus.Desc{historyMessages, historyBytes, channels} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	h := c.source.HubStats()
	out <- prometheus.MustNewConstMetric(historyMessages, prometheus.GaugeValue, float64(h.Messages))
	out <- prometheus.MustNewConstMetric(historyBytes, prometheus.GaugeValue, float64(h.Bytes))
	out <- prometheus.MustNewConstMetric(channels, prometheus.GaugeValue, float64(h.Channels))
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	loops, err := c.source.LoopStats(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(historyMessages, err)
		return
	}
	for i := range loops {
		for _, m := range loopMetrics {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&loops[i]), strconv.Itoa(loops[i].Loop))
		}
	}
}
