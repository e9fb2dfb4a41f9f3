package loadtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// RunDelay returns how long the threads of process pid, which still run, have waited
// for a processor. It is 0 on a kernel that does not count it.
func RunDelay(pid int) (sum time.Duration) {
	threads, _ := procfs.AllThreads(pid) // of a process that has ended: none
	for _, t := range threads {
		s, _ := t.Schedstat()
		sum += time.Duration(s.WaitingNanoseconds)
	}
	return sum
}

// Machine is what all processors of the machine did since it started, in seconds.
type Machine struct {
	Busy  float64
	Steal float64 // kept by the host, of a virtual machine
}

// ReadMachine reads /proc/stat, which counts in ticks of 10 ms.
func ReadMachine() (Machine, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return Machine{}, err
	}
	stat, err := fs.Stat()
	c := stat.CPUTotal
	return Machine{Busy: c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ, Steal: c.Steal}, err
}

// TreeCPUTime is CPUTime of pid and of the processes that it started and that run.
func TreeCPUTime(pid int) (sum time.Duration, err error) {
	if sum, err = CPUTime(pid); err != nil {
		return 0, err
	}
	threads, _ := procfs.AllThreads(pid)
	for _, t := range threads {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, t.PID)) // some kernels have none
		for _, child := range strings.Fields(string(children)) {
			n, _ := strconv.Atoi(child)
			d, _ := TreeCPUTime(n) // it may have ended
			sum += d
		}
	}
	return sum, nil
}
