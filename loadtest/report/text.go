package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"peal/loadtest"
)

// WriteText writes the summary that people read.
func (r *Report) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for i, side := range r.Sides {
		p.printf("\n%s: %s\n", letter(i), side.Name)
		p.body(side)
	}
	if len(r.Sides) == 2 {
		p.printf("\n")
		p.compare(r.Sides[0], r.Sides[1])
	}
	if len(r.Sides) == 0 {
		p.printf("\n")
		p.body(r)
	}
	p.verdict(r)
	return p.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// line writes a name and a text.
func (p *printer) line(name, format string, args ...any) {
	p.printf("%-13s "+format+"\n", append([]any{name}, args...)...)
}

func (p *printer) body(r *Report) {
	p.connections(r)
	if m := r.Messages; m != nil {
		p.line("messages", "%d sent of %d scheduled, %s a second; %d refused", m.Sent, m.Scheduled, rate(m.SentRate), m.Refused)
		p.ends(m.Refusals)
		p.line("deliveries", "%d of %d, %s a second", m.Delivered, m.Expected, rate(m.DeliveredRate))
		p.printf("%-13s %d lost, %d duplicated, %d reordered", "", m.Lost, m.Duplicated, m.Reordered)
		if m.Foreign > 0 {
			p.printf(", %d not of this run", m.Foreign)
		}
		p.printf("\n")
		if m.Damaged() > 0 {
			p.line("", "damaged: %d corrupted, %d truncated, %d invalid; the first: %s", m.Corrupted, m.Truncated, m.Invalid, m.FirstDamage)
		}
	}
	p.deflate(r)
	p.warmUp(r.WarmUp)
	p.times("latency", r.Latency)
	p.times("lag", r.Lag)
	p.storm(r.Storm)
	p.restart(r.Restart)
	p.upgrades(r.Upgrades)
	p.ramp(r.Ramp)
	p.stages(r.Stages)
	p.server(r)
	g := r.Generator
	p.printf("%-13s %.2f s CPU in %d processes", "generator", g.CPU, g.Processes)
	if g.CPUShare != nil {
		p.printf(", %.0f %% of its share", 100**g.CPUShare)
	}
	if g.PerDelivery != nil {
		p.printf(", %s µs per delivery", rate(*g.PerDelivery))
	}
	if g.PerConnection != nil {
		p.printf(", %s per connection", size(*g.PerConnection))
	}
	p.printf("\n")
	if m := g.Machine; m.Busy > 0 {
		p.line("", "waited %.2f s for processors; other programs used %.2f s, and the host kept %.2f s", g.Wait, m.Others, m.Steal)
	}
	for _, c := range g.Clocks {
		p.line("", "a worker at agent %s: clock known to ± %.3g ms, drift %.2g ppm", c.Agent, c.Uncertainty, c.Drift)
	}
	p.times("waits", g.Waits)
	if r.Latency != nil {
		p.printf("\n")
		p.histogram(r.Latency.Histogram)
	}
}

var sides = map[loadtest.Side]string{loadtest.SideServer: "the server", loadtest.SideUs: "the load test", loadtest.SideNetwork: "the network"}

// deflate writes what became of the offer to compress.
func (p *printer) deflate(r *Report) {
	if n := r.Connections.Deflated; n != nil {
		p.printf("%-13s accepted on %d connections", "deflate", *n)
		if m := r.Messages; m != nil && m.CompressedBytes > 0 {
			p.printf("; %s became %s, %.1f : 1", size(float64(m.InflatedBytes)), size(float64(m.CompressedBytes)), float64(m.InflatedBytes)/float64(m.CompressedBytes))
		}
		p.printf("\n")
	}
}

func (p *printer) ends(all []loadtest.End) {
	for _, e := range all {
		p.line("", "%d × by %s: %s", e.Count, sides[e.Side], e.Reason)
	}
}

func (p *printer) connections(r *Report) {
	c := r.Connections
	p.printf("%-13s %d of %d open in %.2f s", "connections", c.Opened, c.Wanted, c.Took)
	if c.Took > 0 {
		p.printf(" (%s a second)", rate(float64(c.Opened)/c.Took))
	}
	p.printf("; %d failed, %d ended\n", c.Failed, c.Closed)
	p.ends(c.Ends)
	if c.FirstError != "" && len(c.Ends) == 0 {
		p.line("", "%s", c.FirstError)
	}
	p.times("handshake", c.Handshake)
	if c.Reconnected != nil {
		p.line("reconnects", "%d", c.Reconnected.Count)
		p.times("", c.Reconnected)
	}
}

func (p *printer) times(name string, t *Times) {
	if t != nil {
		p.line(name, "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s ms", orLost(t.P50), orLost(t.P90), orLost(t.P99), orLost(t.P999), orLost(t.Max))
	}
}

func (p *printer) storm(s *Storm) {
	if s == nil {
		return
	}
	p.line("storm", "all dropped at %.1f s, away for %.1f s; %d back within %.2f s, %d not", s.At, s.Away, s.Back, s.BackTook, s.Failed)
	p.returned(s.Cursorless, s.Recovery, s.Unrecovered)
}

// returned is how clients came back.
func (p *printer) returned(cursorless bool, recovery *Times, unrecovered int) {
	if cursorless { // a loss is the clients' doing as well as the server's
		p.line("", "clients came back without cursors: they lost what was published meanwhile")
	}
	p.times("recovery", recovery)
	if unrecovered > 0 {
		p.line("", "%d clients never recovered all they had missed", unrecovered)
	}
}

func (p *printer) restart(r *Restart) {
	if r == nil {
		return
	}
	name := "restart"
	for _, e := range r.Ends {
		how := "stopped by SIGTERM"
		switch {
		case e.Asked && e.Killed:
			how = "sent SIGTERM, and killed because it did not stop,"
		case e.Killed:
			how = "killed by SIGKILL"
		}
		p.line(name, "%s at %.1f s, accepts again %.2f s later", how, e.At, e.Down)
		name = ""
	}
	p.line(name, "messages: %d refused, %d without a response", r.Refused, r.Unanswered)
	p.line("", "deliveries of acknowledged messages: %d lost; %d gaps received", r.Lost, r.Gaps)
	p.returned(r.Cursorless, r.Recovery, r.Unrecovered)
}

func (p *printer) ramp(r *Ramp) {
	if r == nil {
		return
	}
	p.printf("\n%12s %12s %9s %9s %9s %8s\n", "messages/s", "deliveries/s", "p50 ms", "p99 ms", "lost", "")
	for _, s := range r.Steps {
		note := s.Broke
		if s.Rate == r.Knee {
			note = "knee " + note
		}
		p.printf("%12s %12s %9s %9s %9d %s\n", rate(s.Rate), rate(s.Delivered), orLost(s.P50), orLost(s.P99), s.Lost, note)
	}
	p.printf("\n")
	p.line("carries", "%s messages a second; limited by %s", rate(r.Carries), r.LimitedBy)
}

func (p *printer) server(r *Report) {
	s := r.Server
	if s == nil {
		return
	}
	p.printf("%-13s %.2f s CPU for opening", "server", s.OpenCPU)
	if s.OpenCPU > 0 {
		p.printf(" (%s connections per CPU second)", rate(float64(r.Connections.Opened)/s.OpenCPU))
	}
	if r.Messages != nil {
		p.printf(", %.2f s for messages", s.CPU)
	}
	if s.DeliveriesPerCPUSecond != nil {
		p.printf(" (%s deliveries per CPU second)", rate(*s.DeliveriesPerCPUSecond))
	}
	p.printf("\n")
	p.printf("%-13s %s resident, at most %s", "", size(float64(s.ResidentIdle)), size(float64(s.ResidentPeak)))
	if s.BytesPerConnection != nil {
		p.printf(", %s per connection", size(*s.BytesPerConnection))
	}
	p.printf("\n")
	if r.Soak != nil {
		p.printf("%-13s memory %s an hour", "slope", size(r.Soak.MemorySlope))
		if r.Soak.DescriptorsSlope != nil {
			p.printf(", descriptors %.1f an hour", *r.Soak.DescriptorsSlope)
		}
		p.printf("\n")
	}
}

func (p *printer) verdict(r *Report) {
	p.printf("\n")
	if r.Interrupted {
		p.printf("interrupted: the figures cover the time until then\n")
	}
	if r.Ended != "" {
		p.printf("ended early: %s\n", r.Ended)
	}
	for _, reason := range r.Validity.Reasons {
		p.printf("INVALID: %s\n", reason)
	}
	for _, o := range r.Objectives {
		word := "met   "
		if !o.Met {
			word = "MISSED"
		}
		p.printf("%s  not %s\n", word, o.Objective)
	}
}

const (
	histogramRows  = 14
	histogramWidth = 50
)

// histogram draws rows that are each as much wider than the one before.
func (p *printer) histogram(l *loadtest.Latency) {
	bars := l.Bars()
	if len(bars) == 0 {
		return
	}
	low, high := bars[0].To, bars[0].To
	lost := int64(0)
	for _, b := range bars {
		if b.To >= loadtest.Never {
			lost += b.Count
		} else {
			high = max(high, b.To)
		}
	}
	counts := make([]int64, histogramRows)
	step := math.Pow(float64(high)/float64(low), 1/float64(histogramRows-1))
	for _, b := range bars {
		if b.To < loadtest.Never {
			counts[row(b.To, low, step)] += b.Count
		}
	}
	most := lost
	for _, n := range counts {
		most = max(most, n)
	}
	draw := func(name string, n int64) {
		p.printf("%12s |%-*s %d\n", name, histogramWidth, strings.Repeat("#", int((n*histogramWidth+most-1)/most)), n)
	}
	last := row(high, low, step)
	for i := range last + 1 {
		top := time.Duration(float64(low) * math.Pow(step, float64(i)))
		draw("≤ "+Millis(float64(min(top, high))/1e6)+" ms", counts[i])
	}
	if lost > 0 {
		draw("lost", lost)
	}
}

// row is the first whose upper end, low×step^row, reaches v.
func row(v, low time.Duration, step float64) int {
	if v <= low || step <= 1 {
		return 0
	}
	i := math.Ceil(math.Log(float64(v)/float64(low))/math.Log(step) - 1e-9)
	return min(int(i), histogramRows-1)
}

func orLost(ms *float64) string {
	if ms == nil {
		return "lost"
	}
	return Millis(*ms)
}

// Millis writes milliseconds with three digits and without an exponent.
func Millis(ms float64) string {
	digits := 3
	for limit := 1.0; digits > 0 && ms >= limit; limit *= 10 {
		digits--
	}
	return strconv.FormatFloat(ms, 'f', digits, 64)
}

func rate(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 2, 64) + " M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + " k"
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func size(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1<<30:
		return strconv.FormatFloat(v/(1<<30), 'f', 2, 64) + " GiB"
	case a >= 1<<20:
		return strconv.FormatFloat(v/(1<<20), 'f', 1, 64) + " MiB"
	case a >= 1<<13:
		return strconv.FormatFloat(v/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " B"
}
