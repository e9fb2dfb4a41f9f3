package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"peal/loadtest"
	"peal/loadtest/child"
)

// usage is what a server used so far and holds now. A field that the probe
// cannot see is nil.
type usage struct {
	cpu         time.Duration
	resident    uint64
	heap        *uint64
	sockets     *uint64
	descriptors *int
}

// probe reads a server's usage: of a process on this machine, of its metrics, or
// both.
type probe struct {
	pid    int
	admin  string         // URL of the metrics
	server *child.Program // if it is not nil: whose process it is

	lineage *lineage // if it is not nil: what became of pid
}

// metricsURL is where the metrics of an admin listener are, given its address or
// a URL; "" for none.
func metricsURL(admin string) string {
	if admin == "" {
		return ""
	}
	if !strings.Contains(admin, "://") {
		admin = "http://" + admin
	}
	if strings.Count(admin, "/") < 3 || strings.HasSuffix(admin, "/") {
		admin = strings.TrimSuffix(admin, "/") + "/metrics"
	}
	return admin
}

// process is the pid, 0 for none, and what earlier ones used.
func (p *probe) process() (pid int, used time.Duration) {
	if p.server != nil {
		return p.server.Usage()
	}
	if p.lineage != nil {
		return p.lineage.process(p.pid)
	}
	return p.pid, 0
}

// gone returns an error if the server's process has stopped unexpectedly.
func (p *probe) gone() error {
	if p.server != nil && (p.lineage == nil || !p.lineage.passed.Load()) {
		return p.server.Alive()
	}
	if p.lineage != nil && p.lineage.passed.Load() {
		return nil
	}
	if pid, _ := p.process(); pid != 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return fmt.Errorf("the server's process %d has ended", pid)
	}
	return nil
}

func (p *probe) read(ctx context.Context) (u usage, err error) {
	pid, used := p.process()
	if err := p.gone(); err != nil {
		return u, err
	}
	if p.admin != "" {
		if u, err = scrape(ctx, p.admin); err != nil || pid == 0 {
			return u, err
		}
	}
	if u.cpu, err = loadtest.CPUTime(pid); err != nil {
		return u, err
	}
	u.cpu += used
	memory, err := loadtest.ReadMemory(pid)
	if err != nil {
		return u, err
	}
	u.resident = memory.Resident
	if n, err := loadtest.Descriptors(pid); err == nil { // another user's are hidden
		u.descriptors = &n
	}
	if n, err := loadtest.SocketMemory(); err == nil { // some kernels hide it
		u.sockets = &n
	}
	return u, nil
}

// scrape reads the process' and Go's metrics in Prometheus' text format.
func scrape(ctx context.Context, address string) (u usage, err error) {
	found, err := loadtest.ReadMetrics(ctx, address)
	if err != nil {
		return u, fmt.Errorf("metrics: %w", err)
	}
	cpu, resident := found["process_cpu_seconds_total"], found["process_resident_memory_bytes"]
	if cpu == nil || resident == nil {
		return u, fmt.Errorf("metrics: %s has no process_cpu_seconds_total and process_resident_memory_bytes", address)
	}
	u.cpu, u.resident = time.Duration(cpu[0]*1e9), uint64(resident[0])
	if v, ok := found["go_memstats_heap_inuse_bytes"]; ok {
		n := uint64(v[0])
		u.heap = &n
	}
	if v, ok := found["process_open_fds"]; ok {
		n := int(v[0])
		u.descriptors = &n
	}
	return u, nil
}
