package loadtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime returns the CPU time that the process pid has used, user and system,
// all its threads, ended ones included.
//
// It reads the process' CPU clock (clock_getcpuclockid(3): the complement of
// the pid, and CPUCLOCK_SCHED), which counts nanoseconds. utime+stime of
// /proc/PID/stat are the same sum cut to ticks of 10 ms, and
// /proc/PID/schedstat is one thread's only. Where the kernel accounts soft
// interrupts to the running task (no IRQ_TIME_ACCOUNTING), loopback delivery is
// in it: every server pays for the arrival at its receivers.
func CPUTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// Memory is what one process holds, in bytes.
type Memory struct {
	Resident  uint64 // RssAnon: anonymous pages, so neither the binary nor files
	Anonymous uint64 // Pss_Anon: the same, shared pages divided among their holders
	Peak      uint64 // VmHWM: greatest RSS since start, or since ResetPeak
	Total     uint64 // VmRSS
}

// ReadMemory reads /proc/PID/status and smaps_rollup.
func ReadMemory(pid int) (m Memory, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return m, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	for _, f := range []struct {
		from []byte
		name string
		to   *uint64
	}{
		{status, "RssAnon:", &m.Resident},
		{status, "VmHWM:", &m.Peak},
		{status, "VmRSS:", &m.Total},
		{rollup, "Pss_Anon:", &m.Anonymous},
	} {
		if *f.to, err = kilobytes(f.from, f.name); err != nil {
			return m, fmt.Errorf("memory of process %d: %w", pid, err)
		}
	}
	return m, nil
}

// kilobytes finds "name   123 kB" and returns it in bytes.
func kilobytes(b []byte, name string) (uint64, error) {
	_, rest, ok := bytes.Cut(b, []byte(name))
	fields := bytes.Fields(rest[:max(bytes.IndexByte(rest, '\n'), 0)])
	if !ok || len(fields) == 0 {
		return 0, fmt.Errorf("no %s in the kernel's file", name)
	}
	v, err := strconv.ParseUint(string(fields[0]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %w", name, err)
	}
	return v << 10, nil
}

// Usage is what one process of the generator has used so far.
type Usage struct {
	PID      int           `json:"pid"`
	Agent    string        `json:"agent,omitempty"` // where it runs; "": on this machine
	CPU      time.Duration `json:"cpu"`
	Wait     time.Duration `json:"wait"`     // for a processor; 0 where the kernel does not count it
	Resident uint64        `json:"resident"` // as in Memory
}

// ReadUsage reads that of this process.
func ReadUsage() (*Usage, error) {
	u := &Usage{PID: os.Getpid()}
	u.Wait, _ = RunDelay(u.PID)
	m, err := ReadMemory(u.PID)
	if err == nil {
		u.CPU, err = CPUTime(u.PID)
	}
	u.Resident = m.Resident
	return u, err
}

// SocketMemory returns the memory of all TCP sockets of the machine, in bytes.
func SocketMemory() (uint64, error) {
	b, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, fmt.Errorf("memory of sockets: %w", err)
	}
	_, tcp, _ := bytes.Cut(b, []byte("TCP:"))
	tcp, _, _ = bytes.Cut(tcp, []byte("\n"))
	_, mem, _ := bytes.Cut(tcp, []byte(" mem "))
	pages, err := strconv.ParseUint(string(bytes.TrimSpace(mem)), 10, 64) // it is the last field
	if err != nil {
		return 0, fmt.Errorf("memory of sockets: no pages in %q: %w", tcp, err)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// KernelMemory returns the memory of the kernel's slabs (sockets, files, epoll
// entries) and of all TCP sockets of the machine, in bytes.
func KernelMemory() (uint64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("memory of the kernel: %w", err)
	}
	slabs, err := kilobytes(b, "Slab:")
	if err != nil {
		return 0, fmt.Errorf("memory of the kernel: %w", err)
	}
	sockets, err := SocketMemory()
	return slabs + sockets, err
}

// ResetPeak makes Memory.Peak start again (5 into /proc/PID/clear_refs).
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// Descriptors counts the open file descriptors of pid.
func Descriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}
