package report

import (
	"encoding/csv"
	"io"
	"strconv"
)

// WriteCSV writes the intervals, a line each under a line of names. A field is
// empty where nothing was measured.
func (r *Report) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"at_s", "sent", "delivered", "connections", "p50_ms", "p99_ms", "max_ms",
		"generator_cores", "server_cores", "server_resident_bytes", "server_descriptors", "stage"}}
	before := 0.0
	for _, i := range r.Intervals {
		stage := r.stageAt((before + i.At) / 2)
		before = i.At
		rows = append(rows, []string{field(&i.At), field(&i.Sent), field(&i.Delivered), field(&i.Connections), field(i.P50), field(i.P99), field(i.Max),
			field(&i.GeneratorCPU), field(i.ServerCPU), field(i.Resident), field(i.Descriptors), field(stage)})
	}
	return c.WriteAll(rows)
}

func field[T float64 | uint64 | int](v *T) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*v), 'f', -1, 64)
}

// WriteHgrm writes the percentiles of the latency, in milliseconds, as
// HdrHistogram's plotters read them. A lost message is 100 s late.
func (r *Report) WriteHgrm(w io.Writer) error {
	if r.Latency == nil {
		return nil
	}
	return r.Latency.Histogram.WriteHgrm(w)
}
