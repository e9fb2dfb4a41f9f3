package admin

import (
	"context"
	"io"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"peal/loop"
	"peal/loop/proxied"
	"peal/server/apikey"
	"peal/server/auth"
	"peal/server/cluster"
	"peal/server/hub"
	"peal/server/memory"
	"peal/server/mercure/subscription"
	"peal/server/presence"
	"peal/server/revoke"
	"peal/server/tally"
	"peal/server/upgrade"
)

// Source provides the counters and gauges of the server.
type Source interface {
	HubStats() hub.Stats
	PresenceStats() presence.Stats
	SubscriptionStats() subscription.Stats
	Bans() (kept int, evicted uint64) // disconnected clients that are kept away, and those evicted early
	Revocations() revoke.Stats
	UsersRefused() uint64      // streams, polls and WebSockets of users that had too many
	ForwardingIgnored() uint64 // times that a peer that is no trusted proxy named a client
	ProxyHeaders() proxied.Stats
	RateLimited() map[string]uint64 // refusals, by what has the limit: connection, key, user, channel
	IdempotencyKeys() (remembered int, evicted uint64)
	KeyUses() []apikey.Use // of the keys of backends
	TLSStats() TLSStats
	LoopStats(context.Context) ([]loop.Stats, error)
	FrontStats(context.Context) (tally.Stats, error)
	LogHead() uint64
	ClusterStatus() cluster.Status // of this node and of others over its log
	StartProgress() Start
	MemoryLevel() memory.Level
	LogFailing() bool  // it cannot write: see peal_log_failing
	LostLines() uint64 // of the server's own log; see package logging
	LostAccessLines() uint64
	Ready() bool    // accepting, and not draining
	Behind() string // why the node should get no clients though it accepts: it has not read the log that it shares; "" otherwise

	// Reread reads the configuration again and applies it. It returns what was done, or why
	// nothing was, in words without secrets.
	Reread(ctx context.Context) (done string, err error)

	// HandedOver reports whether another process serves in place of this one, which ends.
	HandedOver() bool

	// Succeed has another process go on for this one. An error says why nothing was done,
	// in words without secrets.
	Succeed(ctx context.Context, order upgrade.Order) (upgrade.Report, error)

	UpgradeStats() upgrade.Stats // since the start of the first process
}

// well is the body of a response with status 200. A log that cannot be written
// does not change the status: the server can serve subscribers, and so a load
// balancer must not take them away.
func well(s Source) []byte {
	if s.LogFailing() {
		return []byte("ok, but the log cannot be written (disk full or failing, the directory of --log missing, or its store not reachable): publishing is refused until it can\n")
	}
	return []byte("ok\n")
}

// scrapeLimit is how long loops may take to respond to a scrape.
const scrapeLimit = 2 * time.Second

// Handler returns the handler of the admin listener of a server that serves; it serves the
// requests that p permits. See Startup for before.
func Handler(s Source, p *auth.Policy) http.Handler {
	a := &Access{Policy: p, csrf: newKey()}
	return guard(newMux(s, a.csrf), a)
}

func newMux(s Source, k csrfKey) *http.ServeMux {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{s})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), scrapeLimit)
		defer cancel()
		if _, err := s.LoopStats(ctx); err != nil && !s.HandedOver() {
			http.Error(w, "an event loop does not respond", http.StatusServiceUnavailable)
			return
		}
		w.Write(well(s))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s.MemoryLevel() != memory.Normal {
			http.Error(w, "beyond the mark of memory-limit: new connections are refused", http.StatusServiceUnavailable)
			return
		}
		if !s.Ready() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		if why := s.Behind(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		w.Write(well(s))
	})
	mux.HandleFunc("GET /cluster", func(w http.ResponseWriter, r *http.Request) { serveCluster(s, w, r) })
	if hooks, ok := s.(hooked); ok {
		handleWebhooks(mux, hooks)
	}
	handleLive(mux, s)
	if from, ok := s.(inspected); ok {
		handleInspection(mux, from)
	}
	handleDashboard(mux, k)
	if record, ok := s.(tracer); ok {
		handleTrace(mux, record)
	}
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		done, err := s.Reread(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		io.WriteString(w, done)
	})
	mux.HandleFunc("POST /upgrade", func(w http.ResponseWriter, r *http.Request) { serveUpgrade(s, w, r) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	addProfiles(mux)
	return mux
}

func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// guard refuses requests that a web page makes the browser send: by a name that
// resolves to this listener (DNS rebinding), by a script, by an image. Otherwise
// every site visited from this machine could read the metrics and profiles of a
// loopback listener.
func guard(h http.Handler, a *Access) http.Handler {
	value := func(r *http.Request, name string) []byte {
		if values := r.Header.Values(name); len(values) > 0 {
			return []byte(strings.Join(values, ", ")) // two joined values are never valid
		}
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		from := auth.Request{Origin: value(r, "Origin"), Site: value(r, "Sec-Fetch-Site"), HTTPS: r.TLS != nil}
		if r.Host != "" { // of an absolute target, else the Host header; HTTP/1.0 may have neither, but browsers do not use it
			from.Host = []byte(r.Host)
		}
		switch a.Policy.Judge(from, true) {
		case auth.ForeignHost:
			http.Error(w, "the Host of the request is none that this listener accepts: use an IP address or localhost, or add the name with --admin-host", http.StatusMisdirectedRequest)
		case auth.ForeignOrigin, auth.CrossSite:
			http.Error(w, "a web page of another site caused this request (Origin, Sec-Fetch-Site): use the address bar, or a program other than a browser", http.StatusForbidden)
		default:
			r, ok := a.admits(w, r)
			switch {
			case !ok:
			case !a.csrf.permits(r):
				refuse(w, errCSRF)
			default:
				n := &noted{w, http.StatusOK}
				h.ServeHTTP(n, r)
				a.changed(r, n.status)
			}
		}
	})
}
