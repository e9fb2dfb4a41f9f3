package bench

import (
	"context"
	_ "embed" // for the configuration of nginx
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"peal/bench/record"
	"peal/loadtest"
)

// TLS starts servers that speak TLS, with one certificate. Its zero value can only name
// its experiments.
type TLS struct{ dir string }

//go:embed tls.nginx.conf
var nginxConf string

// nchanModule is where Debian has it.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// Prepare writes the certificate and the configuration of nginx into dir.
func (t *TLS) Prepare(dir string) error {
	t.dir = dir
	_, err := loadtest.WriteCertificate(dir)
	return errors.Join(err, os.WriteFile(t.file("nginx.conf"), []byte(nginxConf), 0o600))
}

func (t *TLS) file(name string) string { return filepath.Join(t.dir, name) }

// clients use the key exchange that both servers have: OpenSSL 3.0 has no ML-KEM.
func clients() *loadtest.TLS { return &loadtest.TLS{Insecure: true, Classic: true} }

// peal is plain with the certificate.
func (t *TLS) peal(plain *Command) *Command {
	c := with(plain, "--tls-cert", t.file("cert.pem"), "--tls-key", t.file("key.pem"))
	c.TLS = clients()
	return c
}

// secured is m on servers that speak TLS, each with a certificate of its own.
func secured(m Macro) Macro {
	return Macro{m.Name, func(ctx context.Context, l *Command) ([]Measure, error) {
		dir, err := os.MkdirTemp("", "peal-tls-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		var t TLS
		if err := t.Prepare(dir); err != nil {
			return nil, err
		}
		return m.Run(ctx, t.peal(l))
	}}
}

// nchan is nginx with Nchan, one worker.
func (t *TLS) nchan() (*Command, error) {
	if _, err := os.Stat(nchanModule); err != nil {
		return nil, fmt.Errorf("nginx with Nchan: %w: install Debian's nginx and libnginx-mod-nchan", err)
	}
	const start = `sed "s|@DIR@|$0|; s|@PORT@|$1|" "$0/nginx.conf" > "$0/nginx.conf.$1" && exec nginx -e stderr -p "$0" -c "$0/nginx.conf.$1"`
	return &Command{Label: "nginx + Nchan", TLS: clients(), Path: "/sub?id=c0", Args: []string{"sh", "-c", start, t.dir, "{port}"}}, nil
}

// TLSExperiments compare Peal with nginx and Nchan, both with TLS and one thread, and
// then Peal with TLS (A) with Peal without (B).
func (c *Config) TLSExperiments(t *TLS) []Experiment {
	side := func(of func(ctx context.Context, l *Command) (Sample, error), peal bool) Side {
		return func(ctx context.Context) (_ Sample, err error) {
			l := t.peal(c.Peal)
			if !peal {
				if l, err = t.nchan(); err != nil {
					return nil, err
				}
			}
			return of(ctx, l)
		}
	}
	full := func(ctx context.Context, l *Command) (Sample, error) { return c.handshakes(ctx, l, false) }
	resumed := func(ctx context.Context, l *Command) (Sample, error) { return c.handshakes(ctx, l, true) }
	idle := func(ctx context.Context, l *Command) (Sample, error) {
		return c.growth(ctx, l, loadtest.Spec{Channels: 1}, readResident)
	}
	hybrid := func(ctx context.Context, l *Command) (Sample, error) {
		l.TLS = &loadtest.TLS{Insecure: true}
		return c.handshakes(ctx, l, false)
	}
	all := []Experiment{
		{Key: "tls-full", A: side(full, true), B: side(full, false), Rows: []record.Row{{Unit: "1/s", Target: record.AtLeast(record.Ratio, 1),
			What: fmt.Sprintf("full handshakes (ECDSA P-256, X25519), each with an upgrade to a WebSocket that subscribes, per server-CPU-second, %d clients", c.Subscribers)}}},
		{Key: "tls-hybrid", A: side(hybrid, true), Rows: []record.Row{{Unit: "1/s",
			What: "the same with ML-KEM, as browsers do it (Peal only)"}}},
		{Key: "tls-resumed", A: side(resumed, true), B: side(resumed, false), Rows: []record.Row{{Unit: "1/s", Target: record.AtLeast(record.Ratio, 1),
			What: "X25519 again, when all come back at once and resume their sessions"}}},
		{Key: "tls-idle", A: side(idle, true), B: side(idle, false), Rows: []record.Row{{Unit: "bytes", Target: record.AtMost(record.Value, 8<<10),
			What: "resident bytes per idle WebSocket over TLS"}}},
	}
	for _, inFlight := range []int{1, 16} {
		f := fanout{subscribers: c.Subscribers, load: loadtest.Load{Length: c.Length, InFlight: inFlight}}
		all = append(all, Experiment{Key: fmt.Sprintf("tls-fanout-%d", inFlight), Rows: []record.Row{
			{What: fmt.Sprintf("deliveries per server-CPU-second, %d in flight, Peal with TLS (A) and without (B)", inFlight), Unit: "1/s"},
			{What: "p99", Unit: "ms"},
		}, A: func(ctx context.Context) (Sample, error) { return f.side(t.peal(c.Peal), 1)(ctx) }, B: f.side(c.Peal, 1)})
	}
	return all
}

// handshakes has Subscribers clients connect, and, if again is set, lose their
// connections and come back, which is what counts then.
func (c *Config) handshakes(ctx context.Context, l *Command, again bool) (Sample, error) {
	return OnServer(ctx, l, 1, func(s *Server) (each Sample, err error) {
		before, err := loadtest.CPUTime(s.PID)
		if err != nil {
			return nil, err
		}
		err = withPool(ctx, s, loadtest.Spec{Connections: c.Subscribers, Channels: 1, Window: 256, Resume: again}, func(p *loadtest.Pool) error {
			if again {
				sleep(ctx, c.Settle/4)
				if before, err = loadtest.CPUTime(s.PID); err != nil {
					return err
				}
				if err := p.Drop(ctx, 0); err != nil {
					return err
				}
				back, err := p.Back(ctx, time.Minute)
				if err != nil {
					return err
				}
				if err := back.Err(); err != nil || back.Connections < c.Subscribers {
					return errors.Join(err, fmt.Errorf("%d of %d clients came back", back.Connections, c.Subscribers))
				}
			}
			after, err := loadtest.CPUTime(s.PID)
			each = Sample{float64(c.Subscribers) / (after - before).Seconds()}
			return err
		})
		return each, err
	})
}
