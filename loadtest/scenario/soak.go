package scenario

import "peal/loadtest/report"

// soak is fanout, and the slopes of what the server holds.
func (e *experiment) soak() (*report.Report, error) {
	r, err := e.fanout()
	if err != nil {
		return nil, err
	}
	if r.Soak = slopes(r.Intervals); r.Soak == nil && r.Aborted == "" && r.Ended == "" && !r.Interrupted {
		r.Aborted = "too few intervals have the memory of the server for a slope"
		r.Validate(e.s.Limits)
	}
	return r, nil
}

// slopeIntervals is how many intervals a slope needs.
const slopeIntervals = 10

// slopes fits straight lines, by least squares, to what the server held after the
// first tenth of the run, in which it still grows for a reason.
func slopes(intervals []report.Interval) *report.Soak {
	if len(intervals) < slopeIntervals {
		return nil
	}
	var hours, bytes, descriptors []float64
	for _, i := range intervals[len(intervals)/10:] {
		if i.Resident == nil {
			continue
		}
		hours, bytes = append(hours, i.At/3600), append(bytes, float64(*i.Resident))
		if i.Descriptors != nil {
			descriptors = append(descriptors, float64(*i.Descriptors))
		}
	}
	if len(hours) < 3 {
		return nil
	}
	s := &report.Soak{MemorySlope: slope(hours, bytes)}
	if len(descriptors) == len(hours) {
		v := slope(hours, descriptors)
		s.DescriptorsSlope = &v
	}
	return s
}

// slope is the least squares line's.
func slope(x, y []float64) float64 {
	var mx, my, xy, xx float64
	for i := range x {
		mx += x[i] / float64(len(x))
		my += y[i] / float64(len(x))
	}
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}
