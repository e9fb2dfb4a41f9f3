package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"peal/bench/record"
)

// Sample is one measurement: a value per row of its experiment.
type Sample []float64

// Side measures one sample on a fresh server.
type Side func(ctx context.Context) (Sample, error)

// Experiment is one or several rows measured together.
type Experiment struct {
	Key  string       // selects it on the command line
	Rows []record.Row // What, Unit and Target; Run adds the rest
	A    Side
	B    Side // nil: the target is absolute
}

// sampleTimeout bounds one sample, opening and settling included.
const sampleTimeout = 3 * time.Minute

// Run takes pairs of samples, logs progress and returns the rows. A pair with a
// failed sample does not count. If the first pair fails, Run gives up.
func (e *Experiment) Run(ctx context.Context, pairs int, log io.Writer) []record.Row {
	rows := slices.Clone(e.Rows)
	for i := range rows {
		rows[i].Key, rows[i].A = e.Key, []float64{}
	}
	failed := func(err error) []record.Row {
		fmt.Fprintf(log, "%s: %v\n", e.Key, err)
		for i := range rows {
			rows[i].Error = err.Error()
		}
		return rows
	}
	for pair := range pairs {
		a, b, err := e.pair(ctx, pair%2 == 1)
		if ctx.Err() != nil {
			return failed(ctx.Err())
		}
		if err != nil {
			failed(err)
			if pair == 0 {
				return rows // the others would fail, too
			}
			continue
		}
		fmt.Fprintf(log, "%s %d/%d: %.4g", e.Key, pair+1, pairs, a)
		if b != nil {
			fmt.Fprintf(log, " against %.4g", b)
		}
		fmt.Fprintln(log)
		for i := range rows {
			rows[i].A = append(rows[i].A, a[i])
			if b != nil {
				rows[i].B = append(rows[i].B, b[i])
			}
		}
	}
	return rows
}

// pair measures A and B, in reverse order if reverse is set.
func (e *Experiment) pair(ctx context.Context, reverse bool) (a, b Sample, err error) {
	take := func(side Side) (v Sample) {
		if side == nil || err != nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
		defer cancel()
		if v, err = side(ctx); err == nil && len(v) != len(e.Rows) {
			panic(fmt.Sprintf("bench: %s: %d values for %d rows", e.Key, len(v), len(e.Rows)))
		}
		return v
	}
	if reverse {
		b = take(e.B)
	}
	a = take(e.A)
	if !reverse {
		b = take(e.B)
	}
	return a, b, err
}
