package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"peal/loadtest/report"
	"peal/loadtest/scenario"
)

// loadProgress shows how a load test goes: on a terminal one line that is written
// over, elsewhere a line each.
type loadProgress struct {
	w        io.Writer
	terminal bool
	open     bool // a line has no end yet
}

func newLoadProgress(w io.Writer) *loadProgress {
	p := &loadProgress{w: w}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.terminal = err == nil
	}
	return p
}

// show never fails the test: progress that cannot be written is not missed.
func (p *loadProgress) show(s scenario.Progress) {
	if s.Now == nil {
		p.end()
		fmt.Fprintln(p.w, s.Text)
		return
	}
	line := progressLine(s)
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K", line) // erase the rest of the line
		p.open = true
		return
	}
	fmt.Fprintln(p.w, line)
}

func progressLine(s scenario.Progress) string {
	i := s.Now
	line := fmt.Sprintf("%5.1f s of %.0f  %d sent  %d delivered  %d open  p50 %s  p99 %s  max %s ms",
		i.At, s.Total.Seconds(), i.Sent, i.Delivered, i.Connections, orDash(i.P50), orDash(i.P99), orDash(i.Max))
	if i.ServerCPU != nil {
		line += fmt.Sprintf("  server %.2f cores", *i.ServerCPU)
	}
	return line + fmt.Sprintf("  own %.2f", i.GeneratorCPU)
}

func orDash(ms *float64) string {
	if ms == nil {
		return "–"
	}
	return report.Millis(*ms)
}

// end ends a line that is being written over.
func (p *loadProgress) end() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}
