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
	"peal/loop/proxied"
	"peal/loop/secure"
	"peal/server/admin"
	"peal/server/apikey"
	"peal/server/auth"
	"peal/server/certificate"
	"peal/server/cluster"
	"peal/server/hub"
	"peal/server/memory"
	"peal/server/mercure/subscription"
	"peal/server/presence"
	"peal/server/revoke"
	"peal/server/tally"
	"peal/server/upgrade"
	"peal/server/webhook"
)

type source struct {
	ready  bool
	behind string
	err    error

	frontErr error
	level    memory.Level
}

func (s *source) HubStats() hub.Stats           { return hub.Stats{Channels: 3, Messages: 5, Bytes: 700} }
func (s *source) PresenceStats() presence.Stats { return presence.Stats{Members: 2} }
func (s *source) SubscriptionStats() subscription.Stats {
	return subscription.Stats{Active: 3, Unlisted: 1, Events: 7}
}
func (s *source) Bans() (int, uint64) { return 4, 1 }
func (s *source) RateLimited() map[string]uint64 {
	return map[string]uint64{"connection": 11, "key": 0, "user": 12, "channel": 0}
}
func (s *source) ForwardingIgnored() uint64 { return 6 }
func (s *source) UsersRefused() uint64      { return 8 }
func (s *source) ProxyHeaders() proxied.Stats {
	return proxied.Stats{Headers: 7, Malformed: 2, Late: 1}
}

func (s *source) Revocations() revoke.Stats {
	return revoke.Stats{Names: 5, Floor: 1_700_000_000, Folded: 2}
}
func (s *source) IdempotencyKeys() (int, uint64) { return 6, 1 }
func (s *source) KeyUses() []apikey.Use {
	return []apikey.Use{{Name: "shop", Requests: 8, Second: 1700000000}, {Name: `odd "name"`}}
}
func (s *source) TLSStats() admin.TLSStats {
	return admin.TLSStats{
		Connections: secure.Stats{Full: 3, Resumed: 4, TLS13: 7, Failed: [secure.Reasons]uint64{secure.ReasonTimeout: 2}, Open: 5},
		Certificates: certificate.Stats{Certificates: []certificate.Expiry{
			{Name: "a.example", Until: time.Unix(1_800_000_000, 0)}, {Name: "a.example", Until: time.Unix(1_700_000_000, 0)},
		}},
	}
}
func (s *source) Ready() bool               { return s.ready }
func (s *source) Behind() string            { return s.behind }
func (s *source) MemoryLevel() memory.Level { return s.level }
func (s *source) LogHead() uint64           { return 9 }
func (s *source) ClusterStatus() cluster.Status {
	return cluster.Status{
		Self: "1", Skipped: 3, Log: cluster.Log{Engine: "redis", Shared: true, Head: 9, Known: 12, Behind: 1500, Reconnects: 4, Epochs: 5, Lost: 6, Skipped: 7},
		Nodes:  []cluster.Node{{ID: "1", Name: "a", Self: true, State: "live", Connections: 1}, {ID: "2", Name: "b", State: "dead", Connections: 2}},
		Append: cluster.Latency{Counts: [len(cluster.LatencyBounds) + 1]uint64{2: 3}, Sum: 2 * time.Millisecond},
		Call:   cluster.Latency{Counts: [len(cluster.LatencyBounds) + 1]uint64{0: 8}},
		Apply:  cluster.Latency{Counts: [len(cluster.LatencyBounds) + 1]uint64{1: 9}},
		Tail:   cluster.Latency{Counts: [len(cluster.LatencyBounds) + 1]uint64{len(cluster.LatencyBounds): 1}, Sum: time.Minute},
	}
}
func (s *source) WebhookStats() webhook.Status {
	return webhook.Status{Delivers: true, Dropped: 2, Untracked: 3, Webhooks: []webhook.Stat{{Name: "shop", Delivers: true, Delivered: 10, Failed: 4, Retried: 5, Dead: 6, Lag: 7, Age: 1500}}}
}
func (s *source) WebhookStatus(context.Context) (webhook.Status, error) {
	return s.WebhookStats(), nil
}
func (s *source) RetryWebhook(_ context.Context, name, id string) (int, error) {
	if name != "shop" {
		return 0, errors.New("no webhook of the configuration has the name " + name)
	}
	return 3, nil
}
func (s *source) DropWebhook(context.Context, string, string) (int, error) {
	return 0, webhook.ErrNoLetter
}
func (s *source) LogFailing() bool           { return true }
func (s *source) StartProgress() admin.Start { return admin.Start{Read: 40, Known: 41} }
func (s *source) LostLines() uint64          { return 6 }
func (s *source) LostAccessLines() uint64    { return 7 }
func (s *source) HandedOver() bool           { return false }
func (s *source) UpgradeStats() upgrade.Stats {
	return upgrade.Stats{Began: time.Now(), Completed: 3, Failed: 2, Last: &upgrade.Last{Pause: 40 * time.Millisecond, Connections: 17, Stayed: 5}}
}
func (s *source) Succeed(context.Context, upgrade.Order) (upgrade.Report, error) {
	return upgrade.Report{}, errors.New("no successor")
}
func (s *source) Reread(context.Context) (string, error) {
	if s.ready {
		return "reloaded\n", nil
	}
	return "", errors.New("line 3 is wrong")
}
func (s *source) LoopStats(context.Context) ([]loop.Stats, error) {
	latency := fanout.Latency{Counts: [len(fanout.LatencyBounds) + 1]uint64{0: 3, 5: 2, len(fanout.LatencyBounds): 1}, Sum: 21 * time.Second}
	return []loop.Stats{
		{Loop: 0, Gaps: map[string]uint64{"history": 2}, Fanout: fanout.Stats{Latency: latency}, Connections: 7, Transports: loop.Transports{SSE: 3, HTTP: 4}, Busy: 1500 * time.Millisecond, Closes: map[int]uint64{1001: 2}},
		{Loop: 1, Fanout: fanout.Stats{Latency: latency}, Connections: 8, Transports: loop.Transports{SSE: 8}, Behind: 5},
	}, s.err
}
func (s *source) FrontStats(context.Context) (tally.Stats, error) {
	return tally.Stats{
		Publications: map[string]uint64{"batch": 6},
		Refusals:     map[string]uint64{"log_full": 4},
		Closes:       map[int]uint64{1001: 1, 0: 1},
		Revoked:      3,
	}, s.frontErr
}

func TestHandler(t *testing.T) {
	s := &source{ready: true}
	h := admin.Handler(s, &auth.Policy{})
	check := func(path string, status int, has ...string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081"+path, nil))
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
		`peal_publications_total{way="batch"} 6`, `peal_refusals_total{code="log_full"} 4`, `peal_rate_limited_total{by="connection"} 11`, `peal_rate_limited_total{by="user"} 12`, "peal_log_head_sequence 9", "peal_log_failing 1", "peal_logging_lost_lines_total 6",
		`peal_key_requests_total{key="shop"} 8`, `peal_key_requests_total{key="odd \"name\""} 0`, `peal_key_last_use_seconds{key="shop"} 1.7e+09`, `peal_key_last_use_seconds{key="odd \"name\""} 0`, "peal_access_log_lost_lines_total 7",
		`peal_websocket_closes_total{code="1001"} 3`, `peal_websocket_closes_total{code="other"} 1`,
		`peal_delivery_seconds_bucket{le="2.5e-05"} 6`, `peal_delivery_seconds_bucket{le="0.001"} 10`,
		`peal_delivery_seconds_bucket{le="10"} 10`, `peal_delivery_seconds_bucket{le="+Inf"} 12`, "peal_delivery_seconds_sum 42", "peal_connections_revoked_total 3", "peal_revocations 5", "peal_forwarding_ignored_total 6", "peal_user_connections_refused_total 8", `peal_proxy_headers_total{result="read"} 7`, `peal_proxy_headers_total{result="malformed"} 2`, "peal_tokens_refused_before_seconds 1.7e+09", "peal_revocations_folded_total 2", "peal_delivery_seconds_count 12",
		`peal_loop_busy_seconds_total{loop="0"} 1.5`, `peal_loop_behind_messages{loop="1"} 5`)
	check("/metrics", 200, `peal_nodes{state="live"} 1`, `peal_nodes{state="dead"} 1`, `peal_nodes{state="stale"} 0`, "peal_nodes_skipped_total 3", "peal_log_lag_entries 3", "peal_log_lag_seconds 1.5",
		"peal_start_read_entries 40", "peal_start_entries 41", "peal_log_reconnects_total 4", "peal_log_epochs_total 5", "peal_log_lost_total 6", "peal_log_skipped_total 7",
		`peal_log_append_seconds_bucket{le="0.0005"} 0`, `peal_log_append_seconds_bucket{le="0.001"} 3`, "peal_log_append_seconds_sum 0.002", `peal_log_tail_seconds_bucket{le="10"} 0`, "peal_log_tail_seconds_count 1", "peal_log_call_seconds_count 8", "peal_log_apply_seconds_count 9")
	check("/cluster", 200, `"self":"1"`, `"engine":"redis"`, `"name":"a","version":"","self":true,"state":"live","connections":15,`, `"name":"b","version":"","self":false,"state":"dead","connections":2,`)
	check("/debug/pprof/", 200, "goroutine")
	check("/publish", 404)
	check("/reload", 405)
	reload := func(status int, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1:8081/reload", nil))
		if w.Code != status || w.Body.String() != want {
			t.Errorf("reload: %d %q", w.Code, w.Body)
		}
	}
	reload(200, "reloaded\n")
	s.behind = "the node is behind"
	check("/readyz", 503, "the node is behind")
	check("/healthz", 200, "ok")
	s.behind = ""
	s.ready = false
	reload(422, "line 3 is wrong\n")
	check("/readyz", 503, "draining")
	s.frontErr = errors.New("stuck between two questions")
	check("/metrics", 500)
	s.err = errors.New("stuck")
	check("/healthz", 503)
	check("/metrics", 500)
}

// The name of a web site may resolve to this listener, and its pages may ask for it.
func TestAdminIsNotForWebPages(t *testing.T) {
	h := admin.Handler(&source{ready: true}, &auth.Policy{Hosts: []string{"peal.internal"}})
	for _, c := range []struct {
		host, origin, site string
		status             int
	}{
		{"127.0.0.1:8081", "", "", 200}, {"[::1]:8081", "", "", 200}, {"10.1.2.3:8081", "", "", 200}, {"localhost:8081", "", "none", 200},
		{"localhost", "", "same-origin", 200}, {"peal.internal:8081", "", "", 200}, {"Peal.Internal", "", "", 200}, {"", "", "", 200},
		{"evil.example", "", "", 421}, {"evil.example:8081", "http://evil.example:8081", "same-origin", 421}, {"127.0.0.1.evil.example", "", "", 421}, {"xpeal.internal", "", "", 421},
		{"127.0.0.1:8081", "https://evil.example", "cross-site", 403}, {"127.0.0.1:8081", "null", "cross-site", 403},
		{"127.0.0.1:8081", "", "cross-site", 403}, {"localhost:8081", "", "same-site", 403},
	} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/nothing"} {
			r := httptest.NewRequest("GET", "http://x"+path, nil)
			r.Host = c.host
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.site != "" {
				r.Header.Set("Sec-Fetch-Site", c.site)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := c.status
			if want == 200 && path == "/nothing" {
				want = 404
			}
			if w.Code != want || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" || w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s of %q for %q, %q: %d %v, want %d", path, c.host, c.origin, c.site, w.Code, w.Header(), want)
			}
			if want >= 400 && want != 404 && strings.Contains(w.Body.String(), "goroutine") {
				t.Errorf("%s of %q: %.80s", path, c.host, w.Body.String())
			}
		}
	}
}

func TestWebhooksAreShownAndOrdered(t *testing.T) {
	h := admin.Handler(&source{ready: true}, &auth.Policy{})
	for _, k := range []struct {
		method, path string
		status       int
		has          string
	}{
		{"GET", "/webhooks", 200, `"webhooks":[{"name":"shop"`},
		{"POST", "/webhooks/retry?webhook=shop", 200, "3 dead letters were delivered\n"},
		{"POST", "/webhooks/retry?webhook=x", 502, "0 dead letters were delivered; no webhook of the configuration has the name x"},
		{"POST", "/webhooks/drop?webhook=shop&id=1", 404, "peal webhooks lists them"},
		{"GET", "/webhooks/retry?webhook=shop", 405, ""},
		{"GET", "/metrics", 200, `peal_webhook_delivered_total{webhook="shop"} 10`},
		{"GET", "/metrics", 200, `peal_webhook_lag_seconds{webhook="shop"} 1.5`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(k.method, "http://127.0.0.1:8081"+k.path, nil))
		if w.Code != k.status || !strings.Contains(w.Body.String(), k.has) {
			t.Errorf("%s %s: %d %s", k.method, k.path, w.Code, w.Body)
		}
	}
}
