package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"peal/server/otel"
)

// spanned is a Source that may export spans.
type spanned interface{ SpanStats() otel.Stats }

var spanMetrics = []metric{
	one(prometheus.CounterValue, "otlp_exported_total", "Spans that the collector (otlp-endpoint) has accepted.", func(s *state) float64 { return float64(s.spans.Exported) }),
	one(prometheus.CounterValue, "otlp_dropped_total", "Spans for which there was no room.", func(s *state) float64 { return float64(s.spans.Dropped) }),
	one(prometheus.CounterValue, "otlp_failed_total", "Spans that could not be sent to the collector.", func(s *state) float64 { return float64(s.spans.Failed) }),
}
