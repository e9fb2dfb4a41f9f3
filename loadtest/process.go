package loadtest

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/procfs"
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
	Resident uint64 // RssAnon: anonymous pages, so neither the binary nor files
	Peak     uint64 // VmHWM: greatest RSS since start, or since ResetPeak
	Total    uint64 // VmRSS
}

// ReadMemory reads /proc/PID/status.
func ReadMemory(pid int) (Memory, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Memory{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	s, err := p.NewStatus()
	if err != nil {
		return Memory{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return Memory{Resident: s.RssAnon, Peak: s.VmHWM, Total: s.VmRSS}, nil
}

// Usage is what one process of the generator has used so far.
type Usage struct {
	PID      int           `json:"pid"`
	Agent    string        `json:"agent,omitempty"` // where it runs; "": on this machine
	CPU      time.Duration `json:"cpu"`
	Wait     time.Duration `json:"wait"`     // for a processor; 0 where the kernel does not count it
	Resident uint64        `json:"resident"` // bytes, as in Memory
}

// ReadUsage reads that of this process. It is read in every interval, so it must be
// cheap: /proc/self/statm is, smaps_rollup is not.
func ReadUsage() (*Usage, error) {
	u := &Usage{PID: os.Getpid()}
	u.Wait = RunDelay(u.PID)
	var size, resident, shared uint64
	b, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(b), &size, &resident, &shared)
	}
	if err == nil {
		u.CPU, err = CPUTime(u.PID)
	}
	u.Resident = (resident - min(shared, resident)) * uint64(os.Getpagesize())
	return u, err
}

// SocketMemory returns the memory of all TCP sockets of the machine, in bytes.
func SocketMemory() (uint64, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, fmt.Errorf("memory of sockets: %w", err)
	}
	stat, err := fs.NetSockstat()
	if err != nil {
		return 0, fmt.Errorf("memory of sockets: %w", err)
	}
	for _, p := range stat.Protocols {
		if p.Protocol == "TCP" && p.Mem != nil {
			return uint64(*p.Mem) * uint64(os.Getpagesize()), nil
		}
	}
	return 0, errors.New("memory of sockets: none of TCP in /proc/net/sockstat")
}

// KernelMemory returns the memory of the kernel's slabs (sockets, files, epoll
// entries) and of all TCP sockets of the machine, in bytes.
func KernelMemory() (uint64, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, fmt.Errorf("memory of the kernel: %w", err)
	}
	info, err := fs.Meminfo()
	switch {
	case err != nil:
		return 0, fmt.Errorf("memory of the kernel: %w", err)
	case info.SlabBytes == nil:
		return 0, errors.New("memory of the kernel: no slabs in /proc/meminfo")
	}
	sockets, err := SocketMemory()
	return *info.SlabBytes + sockets, err
}

// ResetPeak makes Memory.Peak start again (5 into /proc/PID/clear_refs).
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// Descriptors counts the open file descriptors of pid.
func Descriptors(pid int) (int, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	return p.FileDescriptorsLen()
}
