package memory

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// Resident is how much memory the process has, in bytes.
func Resident() (int, error) { return resident("/") }

func resident(root string) (int, error) {
	b, err := os.ReadFile(path.Join(root, "proc/self/statm"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b)) // proc(5): total, resident, …, in pages
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm: %q has no second field", b)
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0, fmt.Errorf("statm: %w", err)
	}
	return pages * os.Getpagesize(), nil
}

// CgroupLimit is the memory that the cgroup of the process, or one above it, may have, in
// bytes; ok is false if none has a limit.
func CgroupLimit() (limit int, ok bool) { return cgroupLimit("/") }

// unlimited is beyond any machine: cgroup v1 has such a number where there is no limit.
const unlimited = 1 << 60

func cgroupLimit(root string) (limit int, ok bool) {
	b, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0, false
	}
	limit = unlimited
	least := func(dir, group, file string) {
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			b, err := os.ReadFile(path.Join(root, dir, group, file))
			if n, e := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && e == nil && n > 0 { // "max" is none
				limit = min(limit, n)
			}
			if group == "/" {
				return
			}
		}
	}
	for line := range strings.Lines(string(b)) { // cgroups(7): number:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[0] == "0" && parts[1] == "":
			least("sys/fs/cgroup", parts[2], "memory.max")
		case parts[1] == "memory":
			least("sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		}
	}
	return limit, limit < unlimited
}
