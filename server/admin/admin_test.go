package admin_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/admin"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/presence"
)

type source struct {
	ready bool
	err   error

	frontErr error
}

func (s *source) HubStats() hub.Stats            { return hub.Stats{Channels: 3, Messages: 5, Bytes: 700} }
func (s *source) PresenceStats() presence.Stats  { return presence.Stats{Members: 2} }
func (s *source) Bans() (int, uint64)            { return 4, 1 }
func (s *source) IdempotencyKeys() (int, uint64) { return 6, 1 }
func (s *source) Ready() bool                    { return s.ready }
func (s *source) LogHead() uint64                { return 9 }
func (s *source) LogFailing() bool               { return true }
func (s *source) LostLines() uint64              { return 6 }
func (s *source) LoopStats(context.Context) ([]loop.Stats, error) {
	latency := fanout.Latency{Counts: [len(fanout.LatencyBounds) + 1]uint64{0: 3, 5: 2, len(fanout.LatencyBounds): 1}, Sum: 21 * time.Second}
	return []loop.Stats{
		{Loop: 0, Fanout: fanout.Stats{Latency: latency}, Connections: 7, Transports: loop.Transports{SSE: 3, HTTP: 4}, Busy: 1500 * time.Millisecond, Closes: map[int]uint64{1001: 2}},
		{Loop: 1, Fanout: fanout.Stats{Latency: latency}, Connections: 8, Transports: loop.Transports{SSE: 8}, Behind: 5},
	}, s.err
}
func (s *source) FrontStats(context.Context) (httpapi.Stats, error) {
	return httpapi.Stats{
		Publications: map[string]uint64{"batch": 6},
		Refusals:     map[string]uint64{"log_full": 4},
		Closes:       map[int]uint64{1001: 1, 0: 1},
	}, s.frontErr
}

func TestHandler(t *testing.T) {
	s := &source{ready: true}
	h := admin.Handler(s)
	check := func(path string, status int, has ...string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != status {
			t.Errorf("%s: status %d, want %d", path, w.Code, status)
		}
		for _, x := range has {
			if !strings.Contains(w.Body.String(), x) {
				t.Errorf("%s lacks %q", path, x)
			}
		}
	}
	check("/healthz", 200, "ok", "the log cannot be written")
	check("/readyz", 200, "ok", "the log cannot be written")
	check("/metrics", 200, `peal_connections{loop="0"} 7`, `peal_connections{loop="1"} 8`, "peal_channels 3", "peal_history_bytes 700", "go_goroutines",
		`peal_transport_connections{transport="sse"} 11`, `peal_transport_connections{transport="http"} 4`,
		`peal_publications_total{way="batch"} 6`, `peal_refusals_total{code="log_full"} 4`, "peal_log_head_sequence 9", "peal_log_failing 1", "peal_logging_lost_lines_total 6",
		`peal_websocket_closes_total{code="1001"} 3`, `peal_websocket_closes_total{code="other"} 1`,
		`peal_delivery_seconds_bucket{le="2.5e-05"} 6`, `peal_delivery_seconds_bucket{le="0.001"} 10`,
		`peal_delivery_seconds_bucket{le="10"} 10`, `peal_delivery_seconds_bucket{le="+Inf"} 12`, "peal_delivery_seconds_sum 42", "peal_delivery_seconds_count 12",
		`peal_loop_busy_seconds_total{loop="0"} 1.5`, `peal_loop_behind_messages{loop="1"} 5`)
	check("/debug/pprof/", 200, "goroutine")
	check("/publish", 404)
	s.ready = false
	check("/readyz", 503, "draining")
	s.frontErr = errors.New("stuck between two questions")
	check("/metrics", 500)
	s.err = errors.New("stuck")
	check("/healthz", 503)
	check("/metrics", 500)
}
