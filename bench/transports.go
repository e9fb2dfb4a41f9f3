package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"peal/loadtest"
)

// way is one way to receive.
type way struct {
	name      string
	transport loadtest.Transport
	format    loadtest.Format
}

var ways = []way{
	{"WebSocket, raw", loadtest.WebSocket, loadtest.Raw},
	{"WebSocket, json", loadtest.WebSocket, loadtest.JSON},
	{"SSE, raw", loadtest.SSE, loadtest.Raw},
	{"SSE, json", loadtest.SSE, loadtest.JSON},
	{"long polling, raw", loadtest.Poll, loadtest.Raw},
	{"long polling, json", loadtest.Poll, loadtest.JSON},
}

// wayColumns are what is measured of each.
var wayColumns = []string{
	"resident bytes per idle connection",
	"bytes per message, server to client",
	"bytes per message, client to server",
	"server CPU per delivery, µs",
	"p50, ms",
	"p99, ms",
}

// Transports measures what a message of messageBytes and a connection cost on
// each transport, and writes a Markdown table: medians [smallest–greatest] of
// so many rounds. In each round every way has its turn, each on fresh servers,
// so that a slow minute of the machine falls on all. It returns the same as
// rows, whose keys are the ways.
func (c *Config) Transports(ctx context.Context, rounds int, w, log io.Writer) ([]Outcome, error) {
	values := make([][][]float64, len(ways)) // by way, column, round
	for i := range values {
		values[i] = make([][]float64, len(wayColumns))
	}
	for round := range rounds {
		for i, way := range ways {
			sample, err := c.measureWay(ctx, way)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			fmt.Fprintf(log, "%s %d/%d: %.4g\n", way.name, round+1, rounds, sample)
			for k, v := range sample {
				values[i][k] = append(values[i][k], v)
			}
		}
	}
	var rows []Outcome
	for i, way := range ways {
		for k, column := range wayColumns {
			rows = append(rows, Outcome{Key: way.name, Row: Row{What: column}, A: values[i][k]})
		}
	}
	return rows, writeWays(w, values)
}

func writeWays(w io.Writer, values [][][]float64) error {
	_, err := fmt.Fprintf(w, "| | %s |\n|%s\n", strings.Join(wayColumns, " | "), strings.Repeat(" --- |", len(wayColumns)+1))
	for i, columns := range values {
		if err != nil {
			return err
		}
		cells := []string{ways[i].name}
		for _, v := range columns {
			cell := plain(Median(v))
			if low, high := plain(slices.Min(v)), plain(slices.Max(v)); low != high {
				cell += " [" + low + "–" + high + "]"
			}
			cells = append(cells, cell)
		}
		_, err = fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
	return err
}

// plain writes small values with two digits behind the point, others without.
func plain(v float64) string {
	if v < 20 && v != float64(int(v)) {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func (c *Config) measureWay(ctx context.Context, way way) (Sample, error) {
	idle, err := c.perConnection(ctx, loadtest.Spec{Transport: way.transport, Format: way.format, Channels: 1})
	if err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	r, err := fanout{server: c.Peal, loops: c.Loops, transport: way.transport, format: way.format, subscribers: c.Subscribers,
		load: loadtest.Load{Length: c.Length, InFlight: 1}}.run(ctx)
	if err != nil {
		return nil, err
	}
	n := float64(r.Delivered)
	return Sample{
		idle,
		float64(r.Traffic.Read) / n,
		float64(r.Traffic.Written) / n,
		r.ServerCPU.Seconds() * 1e6 / n,
		float64(r.Latency.Quantile(0.5)) / 1e6,
		ms(r.Latency),
	}, nil
}
