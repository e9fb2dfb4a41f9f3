package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"peal/loadtest"
)

// syscallEvents name the kernel's event "a system call begins".
var syscallEvents = []string{"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id"}

// WhyNoSyscalls returns why system calls cannot be counted here, "" if they can. It
// takes root, or a kernel.perf_event_paranoid below 0 and a readable tracefs.
var WhyNoSyscalls = sync.OnceValue(func() string {
	c, err := countSyscalls(os.Getpid())
	if err != nil {
		return err.Error()
	}
	c.close()
	return ""
})

// syscallFilter leaves out calls that depend on time and not on work: those with which
// threads wait, wake and interrupt each other.
var syscallFilter = fmt.Sprintf("id != %d && id != %d && id != %d && id != %d && id != %d && id != %d\x00",
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_EPOLL_PWAIT, unix.SYS_TGKILL, unix.SYS_RT_SIGRETURN)

// syscallCount counts the system calls of one process. While it counts, system calls
// cost more, also those of other processes: time nothing meanwhile.
type syscallCount []int // perf events, one for each thread and those that it starts

func countSyscalls(pid int) (c syscallCount, err error) {
	id, err := os.ReadFile(syscallEvents[0])
	if errors.Is(err, os.ErrNotExist) {
		id, err = os.ReadFile(syscallEvents[1])
	}
	if err != nil {
		return nil, fmt.Errorf("count system calls: %w", err)
	}
	event := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Bits: unix.PerfBitInherit | unix.PerfBitDisabled}
	if event.Config, err = strconv.ParseUint(strings.TrimSpace(string(id)), 10, 64); err != nil {
		return nil, fmt.Errorf("count system calls: %w", err)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, thread := range threads {
		tid, _ := strconv.Atoi(filepath.Base(thread))
		fd, opening := unix.PerfEventOpen(&event, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(opening, unix.ESRCH) {
			continue // it has ended
		}
		if opening != nil {
			err = fmt.Errorf("count system calls: perf_event_open: %w", opening)
			break
		}
		c = append(c, fd)
		filter := uintptr(unsafe.Pointer(unsafe.StringData(syscallFilter)))
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, filter); e != 0 {
			err = fmt.Errorf("count system calls: filter: %w", e)
		} else if enabling := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); enabling != nil {
			err = fmt.Errorf("count system calls: %w", enabling)
		}
	}
	if err != nil || len(c) == 0 {
		c.close()
		return nil, errors.Join(err, fmt.Errorf("count system calls: process %d: %d threads", pid, len(threads)))
	}
	return c, nil
}

func (c syscallCount) count() (n float64, err error) {
	for _, fd := range c {
		var b [8]byte
		if _, err := unix.Read(fd, b[:]); err != nil {
			return 0, fmt.Errorf("count system calls: %w", err)
		}
		n += float64(binary.NativeEndian.Uint64(b[:]))
	}
	return n, nil
}

func (c syscallCount) close() {
	for _, fd := range c {
		unix.Close(fd)
	}
}

// withSyscalls runs f, and adds to n, unless it is nil, the system calls of s meanwhile
// and f's messages. Where they cannot be counted, it only runs f.
func withSyscalls(s *Server, n counters, f func() (loadtest.Result, error)) (r loadtest.Result, err error) {
	if n == nil || WhyNoSyscalls() != "" {
		return f()
	}
	c, err := countSyscalls(s.PID)
	if err != nil {
		return r, err
	}
	defer c.close()
	if r, err = f(); err == nil {
		n[published], n[delivered] = float64(r.Published), float64(r.Delivered)
		n[syscalls], err = c.count()
	}
	return r, err
}
