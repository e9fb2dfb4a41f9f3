package record

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine describes where something was measured.
type Machine struct {
	CPU    string `json:"cpu"` // its model, or the architecture if the kernel does not name the model
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"` // that built this program
}

// Here describes this machine.
func Here() Machine {
	cpu := cmp.Or(after(proc("/proc/cpuinfo"), "model name"), runtime.GOARCH)
	return Machine{CPU: cpu, CPUs: runtime.NumCPU(), Kernel: proc("/proc/sys/kernel/osrelease"), Go: runtime.Version()}
}

// Environment is what the numbers depend on, in addition to the command.
type Environment struct {
	Time   time.Time `json:"time"`
	Commit string    `json:"commit"` // "unknown" outside a checkout
	Dirty  bool      `json:"dirty"`  // the tree had uncommitted changes, other than records and their documents
	Machine
	Virtual         bool      `json:"virtual"`
	MemoryBytes     uint64    `json:"memory_bytes"`
	Congestion      string    `json:"congestion_control"` // of TCP
	DescriptorLimit uint64    `json:"descriptor_limit"`
	Collector       string    `json:"collector"` // GOGC and GOMEMLIMIT, if set; "default" otherwise
	Load            [3]string `json:"load_before"`
	BareSendUs      float64   `json:"bare_send_us"` // see BareSend
}

// notTheTree are the files that a measurement writes: the record before this one
// does not make the tree dirty.
var notTheTree = []string{":!bench/results", ":!BENCHMARKS.md", ":!docs/transports.md"}

// Capture reads the environment. What the kernel does not report stays empty; an
// error means that a bare send failed. It uses one processor for some tenths of a
// second.
func Capture(ctx context.Context) (e Environment, err error) {
	e = Environment{Time: time.Now().UTC().Truncate(time.Second), Machine: Here(), Collector: collector(),
		Congestion: proc("/proc/sys/net/ipv4/tcp_congestion_control")}
	e.Commit, e.Dirty = commit(ctx)
	e.Virtual = strings.Contains(after(proc("/proc/cpuinfo"), "flags"), "hypervisor")
	kib, _ := strconv.ParseUint(strings.TrimSuffix(after(proc("/proc/meminfo"), "MemTotal"), " kB"), 10, 64) // 0: unknown
	e.MemoryBytes = kib << 10
	copy(e.Load[:], strings.Fields(proc("/proc/loadavg")))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return e, fmt.Errorf("environment: descriptor limit: %w", err)
	}
	e.DescriptorLimit = limit.Cur
	cost, err := BareSend()
	e.BareSendUs = float64(cost.Nanoseconds()/10) / 100
	return e, err
}

// commit returns the commit of the working directory.
func commit(ctx context.Context) (id string, dirty bool) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	id, err := git("rev-parse", "--short=10", "HEAD")
	if err != nil {
		return "unknown", false
	}
	changed, err := git(append([]string{"status", "--porcelain", "--", ":/"}, notTheTree...)...)
	return id, err != nil || changed != ""
}

// collector describes the settings that servers inherit.
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

// after returns the text behind "name :" in the first line with that name.
func after(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// String describes the environment for the head of a table.
func (e *Environment) String() string {
	commit := e.Commit
	if e.Dirty {
		commit += " with uncommitted changes"
	}
	kind := ""
	if e.Virtual {
		kind = "virtual "
	}
	return fmt.Sprintf("%s, commit %s; %d %sCPUs (%s), %.0f GiB, Linux %s, congestion control %s, %s, collector %s, %d descriptors, load before %s, a bare send %.2f µs",
		e.Time.Format("2006-01-02 15:04 UTC"), commit, e.CPUs, kind, e.CPU, float64(e.MemoryBytes)/(1<<30), e.Kernel, e.Congestion, e.Go,
		e.Collector, e.DescriptorLimit, e.Load[0], e.BareSendUs)
}
