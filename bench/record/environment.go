package record

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"peal/bench"
)

// Environment is what numbers depend on, besides the command.
type Environment struct {
	Time            time.Time `json:"time"`
	Commit          string    `json:"commit"`
	Dirty           bool      `json:"dirty"` // the tree had changes, records and documents of them aside
	CPU             string    `json:"cpu"`   // its model
	CPUs            int       `json:"cpus"`
	Virtual         bool      `json:"virtual"`
	MemoryBytes     uint64    `json:"memory_bytes"`
	Kernel          string    `json:"kernel"`
	Congestion      string    `json:"congestion_control"` // of TCP
	Go              string    `json:"go"`
	DescriptorLimit uint64    `json:"descriptor_limit"`
	Collector       string    `json:"collector"` // GOGC and GOMEMLIMIT as they were set; "default"
	Load            [3]string `json:"load_before"`
	BareSendUs      float64   `json:"bare_send_us"` // see bench.BareSend
}

// notTheTree are files that measuring itself writes: a record is of a clean tree
// though the record before it has just been written.
var notTheTree = []string{":!bench/results", ":!BENCHMARKS.md", ":!docs/transports.md"}

// Capture asks the machine, and git about the working directory. What the kernel
// does not say stays empty; git and a bare send that fail are errors. It takes
// some tenths of a second of one processor.
func Capture(ctx context.Context) (e Environment, err error) {
	e = Environment{Time: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU(), Go: runtime.Version(), Collector: collector(),
		Kernel: proc("/proc/sys/kernel/osrelease"), Congestion: proc("/proc/sys/net/ipv4/tcp_congestion_control")}
	if e.Commit, err = git(ctx, "rev-parse", "--short=10", "HEAD"); err != nil {
		return e, err
	}
	changed, err := git(ctx, append([]string{"status", "--porcelain", "--", ":/"}, notTheTree...)...)
	if err != nil {
		return e, err
	}
	e.Dirty = changed != ""
	cpu := proc("/proc/cpuinfo")
	e.CPU = after(cpu, "model name")
	e.Virtual = strings.Contains(after(cpu, "flags"), "hypervisor")
	kib, _ := strconv.ParseUint(strings.TrimSuffix(after(proc("/proc/meminfo"), "MemTotal"), " kB"), 10, 64) // 0: unknown
	e.MemoryBytes = kib << 10
	copy(e.Load[:], strings.Fields(proc("/proc/loadavg")))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return e, fmt.Errorf("environment: descriptor limit: %w", err)
	}
	e.DescriptorLimit = limit.Cur
	cost, err := bench.BareSend()
	e.BareSendUs = float64(cost.Nanoseconds()/10) / 100
	return e, err
}

// collector is what servers inherit.
func collector() string {
	var set []string
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if v := os.Getenv(name); v != "" {
			set = append(set, name+"="+v)
		}
	}
	if set == nil {
		return "default"
	}
	return strings.Join(set, " ")
}

func proc(file string) string {
	b, _ := os.ReadFile(file) // missing: empty
	return strings.TrimSpace(string(b))
}

// after is what follows "name :" in the first line that begins with name.
func after(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return "", fmt.Errorf("environment: git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// String is the environment in one sentence's part, for the head of a table.
func (e *Environment) String() string {
	commit := e.Commit
	if e.Dirty {
		commit += " with changes"
	}
	kind := ""
	if e.Virtual {
		kind = "virtual "
	}
	return fmt.Sprintf("%s, commit %s; %d %sCPUs (%s), %.0f GiB, Linux %s, congestion control %s, %s, collector %s, %d descriptors, load before %s, a bare send %.2f µs",
		e.Time.Format("2006-01-02 15:04 UTC"), commit, e.CPUs, kind, e.CPU, float64(e.MemoryBytes)/(1<<30), e.Kernel, e.Congestion, e.Go,
		e.Collector, e.DescriptorLimit, e.Load[0], e.BareSendUs)
}
