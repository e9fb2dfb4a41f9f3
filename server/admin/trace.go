package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"peal/server/trace"
)

// MostTraced is how many new messages one request for them gets.
const MostTraced = 100

// TraceQuestion is a question about one message, or about new ones: docs/trace.md.
type TraceQuestion struct {
	User, Session string
	Channels      []string
	Cursor        string // of the message, or behind which new ones follow
}

// tracer is a Source that may have a record of connections.
type tracer interface {
	Trace(ctx context.Context, q TraceQuestion) (trace.Report, error)
	TraceNew(ctx context.Context, q TraceQuestion) (cursors []string, next string, err error)
	TraceStats(ctx context.Context) (trace.Stats, error)
}

// handleTrace adds the questions what became of a message, and which messages are new.
func handleTrace(mux *http.ServeMux, s tracer) {
	question := func(r *http.Request) TraceQuestion {
		v := r.URL.Query()
		return TraceQuestion{User: v.Get("user"), Session: v.Get("session"), Channels: v["channel"], Cursor: v.Get("cursor")}
	}
	respond := func(w http.ResponseWriter, body any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		text, err := json.Marshal(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(append(text, '\n'))
	}
	mux.HandleFunc("GET /trace", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*scrapeLimit)
		defer cancel()
		report, err := s.Trace(ctx, question(r))
		respond(w, report, err)
	})
	mux.HandleFunc("GET /trace/new", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*scrapeLimit)
		defer cancel()
		cursors, next, err := s.TraceNew(ctx, question(r))
		respond(w, trace.News{Cursors: cursors, Next: next}, err)
	})
}

// traceMetrics are those of the record of connections; 0 without one.
var traceMetrics = []metric{
	{desc("trace_lives", "Connections in the record for peal trace, by state.", "state"), prometheus.GaugeValue, func(s *state, put func(float64, ...string)) {
		put(float64(s.trace.Live), "open")
		put(float64(s.trace.Ended), "ended")
	}},
	one(prometheus.GaugeValue, "trace_bytes", "Memory of the record for peal trace.", func(s *state) float64 { return float64(s.trace.Bytes) }),
	one(prometheus.GaugeValue, "trace_untraced", "Open connections that are not in the record, because it was full.", func(s *state) float64 { return float64(s.trace.Untraced) }),
	one(prometheus.CounterValue, "trace_forgotten_total", "Connections that were removed from the record to make room.", func(s *state) float64 { return float64(s.trace.Forgotten) }),
}
