package machine

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"peal/cmd/peal/doctor"
	"peal/server"
)

// Bytes per connection, measured (BENCHMARKS.md): resident memory of the server, and
// the server's end in the kernel.
const (
	plainBytes  = 450
	tokenBytes  = 1_000
	tlsBytes    = 8_000 // in addition
	kernelBytes = 4_000
)

// need is an estimate of the memory that the configuration can use.
func (m *Machine) need() (bytes int64, words string) {
	c := m.Config
	each := int64(plainBytes)
	if c.Auth == server.AuthToken {
		each = tokenBytes
	}
	if c.TLS.On() {
		each += tlsBytes
	}
	n := int64(m.connections())
	history := int64(c.Hub.TotalBytes) + int64(c.Hub.TotalBytes)/4
	bytes = n*(each+kernelBytes) + history + int64(c.RingBytes)
	return bytes, fmt.Sprintf("%d connections need about %s (%d B each and %d B in the kernel), history-total-bytes and ring-bytes up to %s",
		n, mebibytes(n*(each+kernelBytes)), each, kernelBytes, mebibytes(history+int64(c.RingBytes)))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

func (m *Machine) memory() []doctor.Finding {
	const check = "memory"
	info, err := m.fields("proc/meminfo")
	available, ok := info["MemAvailable"]
	if err != nil || !ok {
		return one(doctor.Skip(check, "/proc/meminfo has no MemAvailable"))
	}
	room, from := available<<10, "available"
	var fix []string
	if limit, ok := m.cgroup("memory.max", "memory/", "memory.limit_in_bytes"); ok && limit < room {
		room, from = limit, "allowed by the cgroup"
		fix = append(fix, "MemoryMax= in the systemd unit, or the memory limit of the container: raise it")
	}
	if limit := int64(m.Config.MemoryLimit); limit > 0 && info["MemTotal"] > 0 {
		if most := m.most(info["MemTotal"] << 10); limit > most {
			return one(doctor.Fail(check, fmt.Sprintf("memory-limit is %s, and the machine or the cgroup has %s", mebibytes(limit), mebibytes(most)),
				"the kernel ends the process before the server refuses new connections", fmt.Sprintf("--memory-limit %dMiB, or without it nine tenths of the limit of the cgroup", most/10*9>>20)))
		}
	}
	need, words := m.need()
	value := fmt.Sprintf("%s %s: %s", mebibytes(room), from, words)
	fix = append(fix, fmt.Sprintf("--max-connections %d, --history-total-bytes, or more memory", max(1, int64(m.connections())*room/need*8/10)))
	const why = "beyond it the kernel ends the process: all clients lose their connections at once"
	switch {
	case need > room:
		return one(doctor.Fail(check, value, why, fix...))
	case need > room/10*8:
		return one(doctor.Warn(check, value, why+"; keep a fifth free", fix...))
	}
	return one(doctor.Fine(check, "%s", value))
}

// most is what the process can have at all: the memory of the machine, or less.
func (m *Machine) most(total int64) int64 {
	if limit, ok := m.cgroup("memory.max", "memory/", "memory.limit_in_bytes"); ok {
		return min(limit, total)
	}
	return total
}

// cgroup returns the lowest limit of the process's control group and those above it.
// names are the file of version 2, and folder and file of version 1.
func (m *Machine) cgroup(name2, folder1, name1 string) (limit int64, ok bool) {
	text, err := m.read("proc/" + m.PID + "/cgroup")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, name := "sys/fs/cgroup", name2
		if parts[1] != "" { // version 1
			if parts[1]+"/" != folder1 {
				continue
			}
			root, name = "sys/fs/cgroup/"+parts[1], name1
		}
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			text, err := m.read(path.Join(root, at, name))
			if n, parse := strconv.ParseInt(text, 10, 64); err == nil && parse == nil && n < 1<<60 && (!ok || n < limit) {
				limit, ok = n, true
			}
			if at == "/" {
				break
			}
		}
	}
	return limit, ok
}

func (m *Machine) swap() []doctor.Finding {
	const check = "swap"
	info, err := m.fields("proc/meminfo")
	if err != nil {
		return one(doctor.Skip(check, "%v", err))
	}
	used := info["SwapTotal"] - info["SwapFree"]
	if used > info["SwapTotal"]/10 {
		return one(doctor.Warn(check, fmt.Sprintf("%s of %s in use", mebibytes(used<<10), mebibytes(info["SwapTotal"]<<10)),
			"an event loop that waits for a page from the disk stops all its connections for milliseconds", append(setSysctl("vm.swappiness", "1"), "MemorySwapMax=0  (in the [Service] section of the systemd unit)")...))
	}
	if info["SwapTotal"] == 0 {
		return one(doctor.Fine(check, "none"))
	}
	return one(doctor.Fine(check, "%s of %s in use", mebibytes(used<<10), mebibytes(info["SwapTotal"]<<10)))
}

func (m *Machine) hugePages() []doctor.Finding {
	const check, name = "huge-pages", "sys/kernel/mm/transparent_hugepage/enabled"
	text, err := m.read(name)
	if err != nil {
		return one(doctor.Fine(check, "the kernel has no transparent huge pages"))
	}
	if strings.Contains(text, "[always]") {
		return one(doctor.Warn(check, "transparent huge pages are always on", "the kernel fills gaps of the heap with pages of 2 MiB: resident memory grows, and compaction stops the loops for moments", "echo madvise > /"+name, "transparent_hugepage=madvise  (on the kernel's command line, for each start)"))
	}
	return one(doctor.Fine(check, "%s", text))
}

// Threads of the server: loops, workers, and those of the runtime.
const (
	fewThreads = 64
	lowThreads = 256
)

// processes checks the limit of threads, of which Go starts more than it has
// processors.
func (m *Machine) processes() []doctor.Finding {
	const check = "threads"
	limit, ok := m.cgroup("pids.max", "pids/", "pids.max")
	const why = "a Go program that cannot start a thread ends at once; the server needs one for each loop, file and worker, and some of the runtime"
	fix := []string{"TasksMax=4096  (in the [Service] section of the systemd unit), or the pids limit of the container"}
	switch {
	case !ok:
		return one(doctor.Fine(check, "the cgroup has no limit"))
	case limit < fewThreads:
		return one(doctor.Fail(check, fmt.Sprintf("the cgroup allows %d", limit), why, fix...))
	case limit < lowThreads:
		return one(doctor.Warn(check, fmt.Sprintf("the cgroup allows %d", limit), why, fix...))
	}
	return one(doctor.Fine(check, "the cgroup allows %d", limit))
}
