package attacks

import (
	"fmt"
	"io"
	"strings"
	"time"

	"peal/bench"
	"peal/loadtest"
)

// WriteTable writes the outcomes as one Markdown table. Outcomes of one attack should
// be adjacent.
func WriteTable(w io.Writer, all []Outcome) error {
	var b strings.Builder
	b.WriteString("| attack | build | p99 quiet, ms (ws, sse, poll) | p50 under attack | p99 under attack | max | p99 ratio | visits p99; refused | publications refused | closed | lost | gaps | peak MiB, quiet → under | descriptors, before → after | live MiB, before → after | lag p99 | counted | hostile: connections, sent, refused, closed |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i := range all {
		all[i].row(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o *Outcome) row(b *strings.Builder) {
	var refused, lost, gaps uint64
	closed := o.Crowd
	for i := range o.Under.Heard {
		h := &o.Under.Heard[i]
		refused, lost, gaps, closed = refused+h.Refused, lost+h.Lost, gaps+h.Gaps, closed+h.Closed
	}
	v := &o.Under.Visits
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %.1f | %s; %d of %d | %d | %d | %d | %d | %d → %d | %d → %d | %.1f → %.1f | %s | %s | %d, %s, %d, %d |\n",
		o.Attack, o.Build, each(&o.Quiet, 0.99), each(&o.Under, 0.5), each(&o.Under, 0.99), each(&o.Under, 1), o.Ratio(),
		ms(quantile(v.Latency, 0.99)), v.Refused, v.Made, refused, closed, lost, gaps, o.Quiet.Peak>>20, o.Under.Peak>>20,
		o.Before.Descriptors, o.After.Descriptors, float64(o.Before.Live)/(1<<20), float64(o.After.Live)/(1<<20), ms(o.Under.Lag),
		o.counted(), o.Tally.Connections, size(o.Tally.Sent), o.Tally.Refused, o.Tally.Closed)
}

// Ratio is the p99 under attack divided by the quiet one, of the transport where that is
// most. The lag of the measuring process is subtracted from both.
func (o *Outcome) Ratio() (most float64) {
	for i := range o.Under.Heard {
		quiet, under := quantile(o.Quiet.Heard[i].Latency, 0.99)-o.Quiet.Lag, quantile(o.Under.Heard[i].Latency, 0.99)-o.Under.Lag
		most = max(most, under.Seconds()/max(quiet, time.Millisecond).Seconds())
	}
	return most
}

func (o *Outcome) counted() string {
	var all []string
	for _, f := range o.Counts {
		all = append(all, fmt.Sprintf("%s: %.4g (%s)", f.Name, f.Value, f.Good))
	}
	return strings.Join(all, "; ")
}

// each writes a quantile of the latency of every transport.
func each(p *Phase, q float64) string {
	var all []string
	for i := range p.Heard {
		all = append(all, ms(quantile(p.Heard[i].Latency, q)))
	}
	return strings.Join(all, ", ")
}

// quantile is 0 without a histogram.
func quantile(l *loadtest.Latency, q float64) time.Duration {
	switch {
	case l == nil:
		return 0
	case q == 1:
		return l.Max()
	}
	return l.Quantile(q)
}

func ms(d time.Duration) string {
	v := d.Seconds() * 1e3
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func size(n uint64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n/1e6)
	case n >= 10<<10:
		return fmt.Sprintf("%d kB", n/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// Measures returns the numbers of an outcome, for benchstat.
func (o *Outcome) Measures() (all []bench.Measure) {
	for i, t := range transports {
		all = append(all,
			bench.Measure{Unit: "quiet-p99-ns/" + string(t), Value: float64(quantile(o.Quiet.Heard[i].Latency, 0.99))},
			bench.Measure{Unit: "p99-ns/" + string(t), Value: float64(quantile(o.Under.Heard[i].Latency, 0.99))})
	}
	all = append(all, bench.Measure{Unit: "visits-p99-ns", Value: float64(quantile(o.Under.Visits.Latency, 0.99))}, bench.Measure{Unit: "peak-B", Value: float64(o.Under.Peak)})
	return all
}
