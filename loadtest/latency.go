package loadtest

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The histograms' geometry: 1 µs to 100 s with three significant digits. It
// is the same everywhere, so merging adds bucket to bucket and loses nothing.
const (
	latencyMin = int64(time.Microsecond)
	latencyMax = int64(100 * time.Second)
)

// Latency is a histogram of durations. It is not safe for concurrent use.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency returns an empty histogram, about 300 KB.
func NewLatency() *Latency {
	return &Latency{hdrhistogram.New(latencyMin, latencyMax, 3)}
}

// Record adds one value; below zero counts as zero, above 100 s as 100 s.
func (l *Latency) Record(ns int64) {
	// Errors only outside the range, which the clamp excludes.
	_ = l.h.RecordValue(min(max(ns, 0), latencyMax))
}

// recordMany is Record of n values.
func (l *Latency) recordMany(ns int64, n uint64) {
	_ = l.h.RecordValues(min(max(ns, 0), latencyMax), int64(n)) // in range, as in Record
}

// RecordLost adds n messages that never came: later than any objective, so
// that loss never improves a percentile.
func (l *Latency) RecordLost(n uint64) {
	if n > 0 {
		l.recordMany(latencyMax, n)
	}
}

// Merge adds other's values to l.
func (l *Latency) Merge(other *Latency) error {
	if dropped := l.h.Merge(other.h); dropped != 0 {
		return fmt.Errorf("merge histograms: %d values out of range", dropped)
	}
	return nil
}

// Count returns how many values were recorded.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// Quantile returns the value that the fraction q of all values do not exceed,
// to three digits: Quantile(0.99) is p99. Zero when nothing was recorded.
func (l *Latency) Quantile(q float64) time.Duration {
	return time.Duration(l.h.ValueAtQuantile(100 * q))
}

// Max returns the greatest value, to three digits.
func (l *Latency) Max() time.Duration { return time.Duration(l.h.Max()) }

// Mean returns the mean.
func (l *Latency) Mean() time.Duration { return time.Duration(l.h.Mean()) }

// Never is what Quantile and Max give, or exceed, where the value is that of a
// message that was lost.
const Never = time.Duration(latencyMax) - time.Duration(latencyMax)/1000

func (l *Latency) clone() *Latency { return &Latency{l.h.Clone()} }

// Since returns the values that were added to l after an earlier state of it.
func (l *Latency) Since(earlier *Latency) *Latency {
	s := l.h.Export()
	for i, n := range earlier.h.Export().Counts {
		s.Counts[i] -= n
	}
	return &Latency{hdrhistogram.Import(s)}
}

// Bar is how many values lie above From and not above To.
type Bar struct {
	From, To time.Duration
	Count    int64
}

// Bars returns the values in the histogram's own buckets, empty ones left out.
func (l *Latency) Bars() []Bar {
	var bars []Bar
	for _, b := range l.h.Distribution() {
		if b.Count > 0 {
			bars = append(bars, Bar{time.Duration(b.From), time.Duration(b.To), b.Count})
		}
	}
	return bars
}

// Curve is a point of the percentile curve.
type Curve struct {
	Quantile float64 // 0 to 1
	Value    time.Duration
}

// Curve returns the percentile curve, five points for each halving of the rest.
func (l *Latency) Curve() []Curve {
	var points []Curve
	for _, b := range l.h.CumulativeDistributionWithTicks(5) {
		points = append(points, Curve{b.Quantile / 100, time.Duration(b.ValueAt)})
	}
	return points
}

// WriteHgrm writes the percentiles in milliseconds, as HdrHistogram's plotters
// read them.
func (l *Latency) WriteHgrm(w io.Writer) error {
	if _, err := l.h.PercentilesPrint(w, 5, float64(time.Millisecond)); err != nil {
		return fmt.Errorf("write percentiles: %w", err)
	}
	return nil
}

// Reset forgets all values.
func (l *Latency) Reset() { l.h.Reset() }

// MarshalText gives the HdrHistogram V2 compressed form, base64, which other
// HdrHistogram tools read.
func (l *Latency) MarshalText() ([]byte, error) {
	b, err := l.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("encode histogram: %w", err)
	}
	return b, nil
}

// UnmarshalText reads what MarshalText wrote.
func (l *Latency) UnmarshalText(b []byte) error {
	h, err := hdrhistogram.Decode(b)
	if err != nil {
		return fmt.Errorf("decode histogram: %w", err)
	}
	l.h = h
	return nil
}
