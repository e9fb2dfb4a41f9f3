package bench

import (
	"context"
	"errors"
	"math"
)

// meter reads what a server has counted, before and after a load. A server
// without an admin listener is not asked, and what an older build does not
// count yet is left out: its figures are missing then, and not wrong.
type meter struct {
	metrics Metrics
	server  *Server

	before map[string]float64
	heap   heap
	floor  heap // what one reading allocates itself
	blind  bool // no metrics
	noHeap bool // no profiles
}

// counted is what a server did during a load.
type counted struct {
	metrics   map[string]float64 // growth of each metric; nil without metrics
	heap      heap
	hasHeap   bool
	published float64
	delivered float64
}

// begin reads. It is called when the load's clients are there and warm.
func (m *meter) begin(ctx context.Context) (err error) {
	if m.blind = !m.metrics.of(m.server); m.blind {
		return nil
	}
	if m.before, err = m.metrics.sums(ctx, m.server); err != nil {
		return err
	}
	// The first readings build what later ones use again; the difference of the
	// last two is what a reading allocates, and is part of the load's growth too.
	var last heap
	for range 4 {
		last = m.heap
		if m.heap, err = readHeap(ctx, m.server); errors.Is(err, errStatus) {
			m.noHeap = true
			return nil
		} else if err != nil {
			return err
		}
	}
	m.floor = m.heap.minus(last)
	return nil
}

// end reads again and returns the growth. It is called when the load's last
// message was received.
func (m *meter) end(ctx context.Context) (c counted, err error) {
	if m.blind {
		return c, nil
	}
	if !m.noHeap {
		after, err := readHeap(ctx, m.server)
		if err != nil {
			return c, err
		}
		c.heap, c.hasHeap = after.minus(m.heap).minus(m.floor), true
	}
	after, err := m.metrics.sums(ctx, m.server)
	if err != nil {
		return c, err
	}
	c.metrics = map[string]float64{}
	for name, v := range after {
		c.metrics[name] = v - m.before[name]
	}
	return c, nil
}

// per returns metric a for each of metric b, if the server has both.
func (c *counted) per(unit, a, b string) []Measure {
	x, ok := c.metrics[a]
	y := c.metrics[b]
	if !ok || y <= 0 {
		return nil
	}
	return []Measure{{unit, rounded(x/y, 3)}}
}

// perPublication returns a metric for each message that was published.
func (c *counted) perPublication(unit, name string) []Measure {
	x, ok := c.metrics[name]
	if !ok || c.published <= 0 {
		return nil
	}
	return []Measure{{unit, rounded(x/c.published, 3)}}
}

// rounded cuts x after so many digits behind the point. What a Go program
// allocates by the clock and not for a message is beyond them.
func rounded(x float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(x*unit)/unit + 0 // +0: not -0
}
