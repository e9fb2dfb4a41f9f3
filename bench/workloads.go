package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"peal/bench/record"
	"peal/loadtest"
	"peal/loadtest/dialect"
)

// WorkloadExperiments compare this build (A) with another build of Peal (B), the one of --versus, in what
// applications do besides fan-out to one large channel: channels of their own, publications by HTTP and peal.v1,
// batches, connections that come and go, heartbeats, and lone publications.
func (c *Config) WorkloadExperiments() (all []Experiment) {
	all = append(all, c.ownSetWorkloads()...)
	all = append(all, c.ownMemoryWorkloads()...)
	all = append(all, c.publicationWorkloads()...)
	for _, of := range [][]Experiment{c.RequestExperiments(), c.EdgeExperiments()} {
		for _, e := range of {
			if isWorkload(e.Key) {
				all = append(all, e)
			}
		}
	}
	for i := range all {
		for j := range all[i].Rows {
			if t := all[i].Rows[j].Target; t != nil && t.Of != record.Value {
				all[i].Rows[j].Target = nil // it is about another server
			}
		}
	}
	return all
}

// workloadKeys are prefixes of the keys of experiments of other parts. With --versus, their other side is that server.
var workloadKeys = []string{"publish-c-", "accept-c", "heartbeats-", "lone-", "fsync-"}

func isWorkload(key string) bool {
	for _, p := range workloadKeys {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// ownSetWorkloads are SetExperiments' side A on both builds.
func (c *Config) ownSetWorkloads() (all []Experiment) {
	for _, sets := range []struct{ shared, own, inFlight int }{{1, 1, 16}, {1, 1, 256}, {5, 1, 16}, {5, 1, 256}, {20, 1, 16}, {20, 1, 256}} {
		f := fanout{subscribers: c.Subscribers, channels: sets.shared, load: loadtest.Load{Length: c.Length, InFlight: sets.inFlight}}
		f.query = ownChannels(sets.own, "{i}")
		what := fmt.Sprintf("%d in flight, %d subscribers with %d shared channels and %d of their own", sets.inFlight, c.Subscribers, sets.shared, sets.own)
		all = append(all, Experiment{Key: fmt.Sprintf("sets-%d-%d-%d", sets.shared, sets.own, sets.inFlight), Rows: []record.Row{
			{What: "deliveries per server-CPU-second, " + what, Unit: "1/s"},
			{What: "p99", Unit: "ms"},
		}, A: f.side(c.Peal, 1), B: c.versus(func(l *Command) Side { return f.side(l, 1) })})
	}
	return all
}

// ownMemoryWorkloads are OwnExperiments' differences on both builds.
func (c *Config) ownMemoryWorkloads() (all []Experiment) {
	few := *c
	few.Many = min(c.Many, ownConnections)
	common := loadtest.Spec{Path: "/ws?channel=common"}
	difference := func(spec loadtest.Spec, each float64) func(*Command) Side {
		return func(l *Command) Side {
			return func(ctx context.Context) (Sample, error) {
				with, err := few.ownSide(l, spec, each)(ctx)
				if err != nil {
					return nil, err
				}
				without, err := few.ownSide(l, common, each)(ctx)
				if err != nil {
					return nil, err
				}
				if len(with) != len(without) {
					return nil, errors.New("only one of two servers has reported its heap")
				}
				for i := range without {
					with[i] -= without[i]
				}
				return with, nil
			}
		}
	}
	add := func(key, of string, limit float64, side func(*Command) Side) {
		all = append(all, Experiment{Key: key, Rows: ownRows(of, record.AtMost(record.Value, limit)), A: side(c.Peal), B: c.versus(side)})
	}
	for _, own := range []int{1, 5, 20} {
		spec := common
		spec.Channels, spec.Stride = own, own
		add(fmt.Sprintf("own-%d", own), fmt.Sprintf("of one of %d channels of its own, %d connections", own, few.Many), ownChannelLimit, difference(spec, float64(own)))
	}
	named := common
	named.Query, named.Data = "client=u{i}", dialect.Data{Token: "none"}
	add("own-name", fmt.Sprintf("of a name with presence, %d connections", few.Many), namedLimit, difference(named, 1))
	return all
}

// publicationWorkloads are the publications of the macro-benchmarks Batch and Command on both builds.
func (c *Config) publicationWorkloads() (all []Experiment) {
	add := func(key, what string, least float64, load publicationLoad) {
		side := func(l *Command) Side {
			return func(ctx context.Context) (Sample, error) {
				return OnServer(ctx, l, 1, func(s *Server) (Sample, error) {
					r, err := c.publications(ctx, s, load, nil)
					return Sample{float64(r.Published) / r.ServerCPU.Seconds()}, err
				})
			}
		}
		all = append(all, Experiment{Key: key, Rows: []record.Row{{What: "publications per server-CPU-second, one loop, no subscribers: " + what, Unit: "1/s", Target: record.AtLeast(record.Value, least)}},
			A: side(c.Peal), B: c.versus(side)})
	}
	for _, d := range publicationData {
		add("batch-"+d.name, fmt.Sprintf("publish/batch, %d messages each, %s", manyMessages, d.name), 400_000, batchLoad(d.data))
	}
	for _, inFlight := range []int{1, 16} {
		add(fmt.Sprintf("command-%d", inFlight), fmt.Sprintf("peal.v1, %d clients, %d in flight each", commandClients, inFlight), 100_000, commandLoad(inFlight))
	}
	return all
}
