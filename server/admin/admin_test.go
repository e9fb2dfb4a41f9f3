package admin_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"peal/loop"
	"peal/server/admin"
	"peal/server/hub"
)

type source struct {
	ready bool
	err   error
}

func (s *source) HubStats() hub.Stats { return hub.Stats{Channels: 3, Messages: 5, Bytes: 700} }
func (s *source) Ready() bool         { return s.ready }
func (s *source) LoopStats(context.Context) ([]loop.Stats, error) {
	return []loop.Stats{{Loop: 0, Connections: 7}, {Loop: 1, Connections: 8}}, s.err
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
	check("/healthz", 200, "ok")
	check("/readyz", 200, "ok")
	check("/metrics", 200, `peal_connections{loop="0"} 7`, `peal_connections{loop="1"} 8`, "peal_channels 3", "peal_history_bytes 700", "go_goroutines")
	check("/debug/pprof/", 200, "goroutine")
	check("/publish", 404)
	s.ready = false
	check("/readyz", 503, "draining")
	s.err = errors.New("stuck")
	check("/healthz", 503)
	check("/metrics", 500)
}
