package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"peal/loop/secure"
	"peal/server/certificate"
)

// TLSStats are the numbers of a server with TLS; zero for one without.
type TLSStats struct {
	Connections  secure.Stats
	Certificates certificate.Stats // of both listeners
}

var tlsMetrics = []metric{
	by("result", "tls_handshakes_total", "TLS handshakes that have ended, by result.", handshakes),
	by("version", "tls_versions_total", "TLS handshakes done, by version.", func(s *state) map[string]uint64 {
		return map[string]uint64{"1.2": s.tls.Connections.TLS12, "1.3": s.tls.Connections.TLS13}
	}),
	one(prometheus.GaugeValue, "tls_connections", "Open TLS connections, unfinished handshakes included.", func(s *state) float64 { return float64(s.tls.Connections.Open) }),
	{desc("tls_handshakes_unfinished", "TLS handshakes that have begun, by what they do.", "state"), prometheus.GaugeValue, func(s *state, put func(float64, ...string)) {
		put(float64(s.tls.Connections.Waiting), "waiting")
		put(float64(s.tls.Connections.Running), "running")
	}},
	one(prometheus.CounterValue, "tls_handshakes_deferred_total", "TLS handshakes that waited because too many were under way.", func(s *state) float64 { return float64(s.tls.Connections.Deferred) }),
	by("reason", "tls_closed_total", "TLS connections closed after their handshake, by reason.", func(s *state) map[string]uint64 {
		c := &s.tls.Connections
		return map[string]uint64{"protocol": c.Broken, "record_timeout": c.Stalled, "memory": c.Evicted}
	}),
	{desc("tls_bytes", "Bytes held for TLS connections: input that cannot be decrypted yet, and sealed records that sockets have not taken.", "of"), prometheus.GaugeValue, func(s *state, put func(float64, ...string)) {
		put(float64(s.tls.Connections.Input), "input")
		put(float64(s.tls.Connections.Kept), "output")
	}},
	{desc("certificate_expiry_seconds", "When a certificate expires, in seconds since 1970. The name is the first of the certificate's; of several with the same name, the one that expires first.", "name"), prometheus.GaugeValue, expiries},
	by("result", "certificate_reloads_total", "Times that files of certificates were read again, by result.", func(s *state) map[string]uint64 {
		return map[string]uint64{"used": s.tls.Certificates.Reloads, "faulty": s.tls.Certificates.Failed}
	}),
	by("result", "acme_certificates_total", "Certificates from ACME that came into use, and attempts to obtain one that failed.", func(s *state) map[string]uint64 {
		return map[string]uint64{"granted": s.tls.Certificates.Granted, "refused": s.tls.Certificates.Refused}
	}),
}

func handshakes(s *state) map[string]uint64 {
	c := &s.tls.Connections
	all := map[string]uint64{"full": c.Full, "resumed": c.Resumed}
	for r, n := range c.Failed {
		all[secure.Reason(r).String()] = n
	}
	return all
}

func expiries(s *state, put func(float64, ...string)) {
	first := map[string]time.Time{}
	for _, c := range s.tls.Certificates.Certificates {
		if at, ok := first[c.Name]; !ok || c.Until.Before(at) {
			first[c.Name] = c.Until
		}
	}
	for name, at := range first {
		put(float64(at.Unix()), name)
	}
}
