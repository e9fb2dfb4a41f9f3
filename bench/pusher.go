package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"peal/bench/record"
	"peal/loadtest"
	"peal/loadtest/dialect"
)

// The app of the Pusher protocol that measured servers have.
const (
	pusherApp    = "1:bench:the-secret-of-the-bench"
	pusherPath   = "/app/bench?protocol=7"
	pusherTarget = "pusher+ws://%s?channel=bench&key=bench&app=1"
	pusherSecret = "the-secret-of-the-bench"
)

// centrifugoTarget and centrifugoHeader are for bench/catalogue/centrifugo.json.
const (
	centrifugoTarget = "centrifugo+ws://%s?channel=bench"
	centrifugoHeader = "X-API-Key: secret\r\n"
)

// idlePushers is how many connections the memory of one is measured with, unless Many is less.
const idlePushers = 3000

// Centrifugo builds the server of that name into dir, and returns how it is started. It needs the
// root of the repository as the working directory.
func Centrifugo(ctx context.Context, dir string) (*Command, error) {
	script := filepath.Join("bench", "catalogue", "servers.sh")
	build := exec.CommandContext(ctx, script, "centrifugo", "build", dir)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("centrifugo: %w", err)
	}
	return &Command{Label: "centrifugo", Args: []string{script, "centrifugo", "start", dir, "{port}"}}, nil
}

// PusherExperiments compare subscribers of the Pusher protocol (A) with subscribers of peal.v1, and
// with raw WebSockets, on the same build with the same app (B). centrifugo is another server to
// compare with, over its own protocol; nil: none.
func (c *Config) PusherExperiments(centrifugo *Command) (all []Experiment) {
	peal := with(c.Peal, "--app", pusherApp)
	for _, inFlight := range []int{1, 16} {
		load := loadtest.Load{Length: c.Length, InFlight: inFlight}
		var target *record.Target
		if inFlight == 1 {
			target = record.AtLeast(record.Ratio, 0.97)
		}
		all = append(all, Experiment{Key: fmt.Sprintf("pusher-fanout-%d", inFlight), Rows: []record.Row{
			{What: fmt.Sprintf("deliveries per server-CPU-second, %d in flight, %d subscribers: Pusher protocol (A), peal.v1 (B)", inFlight, c.Subscribers), Unit: "1/s", Target: target},
			{What: "p99", Unit: "ms"},
		}, A: fanout{dialect: pusherDialect(), path: pusherPath, subscribers: c.Subscribers, load: load}.side(peal, 1),
			B: fanout{protocol: "peal.v1", format: loadtest.JSON, subscribers: c.Subscribers, load: load}.side(peal, 1)})
	}
	few := *c
	few.Many, few.Settle = min(c.Many, idlePushers), min(c.Settle, time.Second)
	idle := func(spec loadtest.Spec) Side {
		spec.Channels = 1
		return func(ctx context.Context) (Sample, error) {
			v, err := few.growth(ctx, peal, spec, readLive)
			slices.Reverse(v)
			return v, err
		}
	}
	for _, other := range []struct {
		key, what string
		spec      loadtest.Spec
	}{
		{"v1", "peal.v1", loadtest.Spec{Protocol: "peal.v1", Format: loadtest.JSON}},
		{"ws", "a raw WebSocket", loadtest.Spec{}},
	} {
		all = append(all, Experiment{Key: "pusher-idle-" + other.key, Rows: []record.Row{
			{What: fmt.Sprintf("live Go heap per idle connection, %d connections: Pusher protocol (A), %s (B)", few.Many, other.what), Unit: "bytes", Target: record.AtMost(record.Difference, idlePusherLimit)},
			{What: "resident bytes of it", Unit: "bytes"},
		}, A: idle(loadtest.Spec{Dialect: pusherDialect(), Path: pusherPath}), B: idle(other.spec)})
	}
	if centrifugo == nil {
		return all
	}
	return append(all, Experiment{Key: "pusher-centrifugo", Rows: []record.Row{
		{What: fmt.Sprintf("deliveries per server-CPU-second, 1 in flight, %d subscribers, published over HTTP: Pusher protocol (A), Centrifugo's own (B)", c.Subscribers), Unit: "1/s", Target: record.AtLeast(record.Ratio, 1)},
		{What: "p99", Unit: "ms"},
		{What: "resident bytes per connection, before the load", Unit: "bytes", Target: record.AtMost(record.Ratio, 1)},
	}, A: c.spoken(peal, pusherTarget, "", dialect.Data{Secret: pusherSecret}),
		B: c.spoken(centrifugo, centrifugoTarget, centrifugoHeader, dialect.Data{})})
}

// idlePusherLimit is what an idle connection of the Pusher protocol may take of the heap beyond
// another: its place among the connections of its app.
const idlePusherLimit = 64

func pusherDialect() *dialect.Dialect {
	d, err := dialect.Named("pusher")
	if err != nil {
		panic(err) // it is embedded, and tests read it
	}
	return d
}

// spoken measures a fan-out over a protocol that peal load knows by the scheme of target, which has
// a %s for the address, published by requests with the lines of header.
func (c *Config) spoken(l *Command, target, header string, data dialect.Data) Side {
	return func(ctx context.Context) (Sample, error) {
		return OnServer(ctx, l, 1, func(s *Server) (v Sample, err error) {
			t, err := loadtest.ParseTarget(ctx, fmt.Sprintf(target, s.Addr), nil, data)
			if err != nil {
				return nil, err
			}
			sleep(ctx, c.Settle/4)
			before, err := readResident(ctx, s)
			if err != nil {
				return nil, err
			}
			err = withPool(ctx, s, t.Spec(1, c.Subscribers), func(pool *loadtest.Pool) error {
				sleep(ctx, c.Settle/2)
				after, err := readResident(ctx, s)
				if err != nil {
					return err
				}
				to, err := t.Publish(ctx, "", header, 1)
				if err != nil {
					return err
				}
				publisher, err := loadtest.DialPublisher(ctx, to)
				if err != nil {
					return err
				}
				defer publisher.Close()
				load := loadtest.Load{Streams: 1, Size: messageBytes, InFlight: 1, Length: c.Length / 4}
				if _, err := clean(loadtest.Run(ctx, pool, publisher, load)); err != nil {
					return fmt.Errorf("warm-up: %w", err)
				}
				load.Length, load.Server = c.Length, s.PID
				r, err := clean(loadtest.Run(ctx, pool, publisher, load))
				v = Sample{r.PerServerCPUSecond(), ms(r.Latency), (after[0] - before[0]) / float64(c.Subscribers)}
				return err
			})
			return v, err
		})
	}
}
