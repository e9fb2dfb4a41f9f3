package loadtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// runDelay reads a schedstat: ns on a processor, ns of waiting for one, and how
// often.
func runDelay(schedstat []byte) (time.Duration, error) {
	fields := bytes.Fields(schedstat)
	if len(fields) != 3 {
		return 0, fmt.Errorf("schedstat %q: must have three numbers", schedstat)
	}
	ns, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(ns), err
}

// RunDelay returns how long the threads of process pid, which still run, have waited
// for a processor.
func RunDelay(pid int) (sum time.Duration, err error) {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, fmt.Errorf("waiting of process %d: %w", pid, err)
	}
	for _, t := range threads {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
		if err != nil {
			continue // it has ended
		}
		d, err := runDelay(b)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// Machine is what all processors of the machine did since it started.
type Machine struct {
	Busy  time.Duration
	Steal time.Duration // kept by the host, of a virtual machine
}

// ReadMachine reads /proc/stat, which counts in ticks of 10 ms.
func ReadMachine() (m Machine, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m, fmt.Errorf("use of the machine: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 { // cpu user nice system idle iowait irq softirq steal
		return m, fmt.Errorf("use of the machine: %q has no steal time", line)
	}
	for i, f := range fields[1:9] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return m, fmt.Errorf("use of the machine: %w", err)
		}
		switch i {
		case 3, 4: // idle, iowait
		case 7:
			m.Steal = time.Duration(ticks) * 10 * time.Millisecond
		default:
			m.Busy += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return m, nil
}

// TreeCPUTime is CPUTime of pid and of the processes that it started and that run.
func TreeCPUTime(pid int) (sum time.Duration, err error) {
	if sum, err = CPUTime(pid); err != nil {
		return 0, err
	}
	lists, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range lists {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name())) // some kernels have none
		for _, child := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(child); err == nil {
				d, _ := TreeCPUTime(n) // it may have ended
				sum += d
			}
		}
	}
	return sum, nil
}
