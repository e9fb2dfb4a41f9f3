package admin

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"peal/loop"
	"peal/server/auth"
	"peal/server/hub"
	"peal/server/presence"
	"peal/server/tally"
)

// Source tells what the server has done and holds.
type Source interface {
	HubStats() hub.Stats
	PresenceStats() presence.Stats
	Bans() (kept int, evicted uint64) // disconnected clients that are kept away, and that were let in early
	IdempotencyKeys() (remembered int, evicted uint64)
	LoopStats(context.Context) ([]loop.Stats, error)
	FrontStats(context.Context) (tally.Stats, error)
	LogHead() uint64
	LogFailing() bool  // its disk is full or broken
	LostLines() uint64 // of the server's own log; see package logging
	LostAccessLines() uint64
	Ready() bool // accepting, and not draining
}

// well is the body of a good answer. A log that cannot be written does not make it
// a bad one: subscribers are served, and another server would be no better.
func well(s Source) []byte {
	if s.LogFailing() {
		return []byte("ok, but the log cannot be written: publishing is refused until it can\n")
	}
	return []byte("ok\n")
}

// scrapeLimit is how long loops may take to answer a scrape.
const scrapeLimit = 2 * time.Second

// Handler returns the handler of the admin listener, which serves those whom p
// welcomes.
func Handler(s Source, p *auth.Policy) http.Handler {
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
		w.Write(well(s))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !s.Ready() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		w.Write(well(s))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return guard(mux, p)
}

// guard keeps out what a web page makes its reader's browser send: by a name that
// resolves to this listener (DNS rebinding), by a script, by an image. The metrics
// and profiles of a loopback listener are not for every site that is visited from
// this machine.
func guard(h http.Handler, p *auth.Policy) http.Handler {
	value := func(r *http.Request, name string) []byte {
		if values := r.Header.Values(name); len(values) > 0 {
			return []byte(strings.Join(values, ", ")) // of two, neither is good
		}
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		from := auth.Request{Origin: value(r, "Origin"), Site: value(r, "Sec-Fetch-Site")}
		if r.Host != "" { // of an absolute target, else the Host header; HTTP/1.0 may have neither, and no browser speaks that
			from.Host = []byte(r.Host)
		}
		switch p.Judge(from, true) {
		case auth.ForeignHost:
			http.Error(w, "this listener answers under an IP address, localhost, or a name given with --admin-host, and the request is for another host", http.StatusMisdirectedRequest)
		case auth.ForeignOrigin, auth.CrossSite:
			http.Error(w, "a web page of another site caused this request (Origin, Sec-Fetch-Site): ask from the address bar, or with another program than a browser", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}
