package bench

import (
	"context"
	"fmt"

	"peal/bench/record"
	"peal/loadtest"
	"peal/loadtest/dialect"
)

// Limits of what a channel of its own, and a name, add to a connection.
const (
	ownChannelLimit = 220
	namedLimit      = 150
)

// ownConnections is how many connections the memory of channels is measured with, unless
// Many is less.
const ownConnections = 5000

// ownChannelsOfMacro is how many channels of its own each connection of the macro-benchmark has.
const ownChannelsOfMacro = 20

// OwnExperiments measure what connections have of their own beside a channel that all of them have: channels, whose
// amounts are for one of them, and a name with presence on the common channel. The kernel has nothing of either.
func (c *Config) OwnExperiments() (all []Experiment) {
	few := *c
	few.Many = min(c.Many, ownConnections)
	common := loadtest.Spec{Path: "/ws?channel=common"}
	for _, own := range []int{1, 5, 20} {
		spec := common
		spec.Channels, spec.Stride = own, own
		each := float64(own)
		all = append(all, Experiment{
			Key:  fmt.Sprintf("own-%d", own),
			Rows: ownRows(fmt.Sprintf("of one channel of its own: %d connections, each on a common channel and %d of its own (A), on the common one (B)", few.Many, own), record.AtMost(record.Difference, ownChannelLimit)),
			A:    few.ownSide(few.Peal, spec, each), B: few.ownSide(few.Peal, common, each),
		})
	}
	named := common
	named.Query, named.Data = "client=u{i}", dialect.Data{Token: "none"}
	return append(all, Experiment{
		Key:  "own-name",
		Rows: ownRows(fmt.Sprintf("of a name with presence: %d connections with names on a common channel (A), without (B)", few.Many), record.AtMost(record.Difference, namedLimit)),
		A:    few.ownSide(few.Peal, named, 1), B: few.ownSide(few.Peal, common, 1),
	})
}

func ownRows(of string, target *record.Target) []record.Row {
	return []record.Row{
		{What: "resident bytes " + of, Unit: "bytes", Target: target},
		{What: "live Go heap " + of, Unit: "bytes", Target: target},
	}
}

// ownSide is what one of each parts of a connection takes.
func (c *Config) ownSide(l *Command, spec loadtest.Spec, each float64) Side {
	return func(ctx context.Context) (Sample, error) {
		v, err := c.growth(ctx, l, spec, readLive)
		for i := range v {
			v[i] /= each
		}
		return v, err
	}
}

// ownMeasures are the memory of one of the channels that a connection has of its own beside a common
// one: the difference between two servers.
func (c *Config) ownMeasures(ctx context.Context, l *Command) ([]Measure, error) {
	common := loadtest.Spec{Path: "/ws?channel=common"}
	spec := common
	spec.Channels, spec.Stride = ownChannelsOfMacro, ownChannelsOfMacro
	own, err := c.ownSide(l, spec, ownChannelsOfMacro)(ctx)
	if err != nil {
		return nil, err
	}
	without, err := c.ownSide(l, common, ownChannelsOfMacro)(ctx)
	if err != nil {
		return nil, err
	}
	for i := range own {
		own[i] -= without[i]
	}
	return memoryMeasures(own, "channel"), nil
}
