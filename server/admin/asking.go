package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"peal/server/ask"
)

// asker is a Source that may ask a backend.
type asker interface{ AskStats() ask.Stats }

// askMetrics are about the questions to a backend.
var askMetrics = []metric{
	{desc("ask_answers_total", "Questions to the backend by what came of them.", "result"), prometheus.CounterValue, func(s *state, put func(float64, ...string)) {
		a := &s.asking
		put(float64(a.Allowed), "allowed")
		put(float64(a.Denied), "denied")
		put(float64(a.Failed), "failed")
		put(float64(a.Busy), "busy")
		put(float64(a.Cached), "cached")
		put(float64(a.Joined), "joined")
	}},
	one(prometheus.CounterValue, "ask_seconds_total", "Time that requests to the backend took, all together.", func(s *state) float64 { return s.asking.Seconds }),
	one(prometheus.GaugeValue, "ask_requests", "Requests to the backend that are under way.", func(s *state) float64 { return float64(s.asking.Asking) }),
	one(prometheus.GaugeValue, "ask_waiting", "Questions that wait for a request to end.", func(s *state) float64 { return float64(s.asking.Waiting) }),
	one(prometheus.GaugeValue, "ask_cached", "Answers that are remembered, expired ones too.", func(s *state) float64 { return float64(s.asking.Answers) }),
	one(prometheus.CounterValue, "ask_evicted_total", "Answers that were forgotten before their time.", func(s *state) float64 { return float64(s.asking.Evicted) }),
}
