package machine

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"peal/cmd/peal/doctor"
	"peal/loop"
	"peal/server"
)

// Machine is what the checks read.
type Machine struct {
	Files fs.FS  // of /
	PID   string // the process whose limits count, "self" for those of this shell
	Dir   string // where relative paths of the configuration begin

	Config  server.Config // with its defaults
	Sources []string      // the files that Config comes from

	Usage func(dir string) (Usage, error)         // of the file system of a directory
	Sync  func(dir string) (time.Duration, error) // how long a write and fsync takes there, the median of a few
	Clock func() (Clock, error)
}

// Usage is how full a file system is.
type Usage struct {
	Type                string // as in nfs; "" if it is a common one for disks
	Bytes, FreeBytes    uint64
	Inodes, FreeInodes  uint64 // 0 if it has no table of them
	ReadOnly, Ephemeral bool   // Ephemeral: a restart of the machine empties it
	Network             bool
}

// Clock is what the kernel knows about its clock.
type Clock struct {
	Synchronised bool
	Error        time.Duration // the largest that it may have
}

// Check makes all checks.
func (m *Machine) Check() []doctor.Finding {
	var all []doctor.Finding
	for _, check := range []func(m *Machine) []doctor.Finding{
		(*Machine).descriptors, (*Machine).files, (*Machine).sysctls, (*Machine).overflows, (*Machine).ports, (*Machine).lowPorts, (*Machine).conntrack, (*Machine).reversePath,
		(*Machine).memory, (*Machine).swap, (*Machine).hugePages, (*Machine).processes, (*Machine).clock,
		(*Machine).disk, (*Machine).permissions, (*Machine).certificates, (*Machine).trust,
	} {
		all = append(all, check(m)...)
	}
	return all
}

func one(f doctor.Finding) []doctor.Finding { return []doctor.Finding{f} }

// margin is how many descriptors the server itself needs.
func (m *Machine) margin() int { return loop.DescriptorMargin(m.Config.Loop.Loops) }

// assumed is how many connections the checks are about if neither the configuration
// nor the limit of open files says it.
const assumed = 10_000

// connections is how many there may be.
func (m *Machine) connections() int {
	if n := m.Config.Loop.MaxConnections; n > 0 {
		return n
	}
	if limit, err := m.openFiles(); err == nil && limit-m.margin() > 0 {
		return min(limit-m.margin(), 1_000_000)
	}
	return assumed
}

// read returns the text of a file of the system, without white space around it.
func (m *Machine) read(name string) (string, error) {
	b, err := fs.ReadFile(m.Files, name)
	return strings.TrimSpace(string(b)), err
}

// numbers returns those of a file of the system.
func (m *Machine) numbers(name string) (list []int64, err error) {
	text, err := m.read(name)
	if err != nil {
		return nil, err
	}
	for word := range strings.FieldsSeq(text) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/%s: %q is no list of numbers", name, text)
		}
		list = append(list, n)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("/%s is empty", name)
	}
	return list, nil
}

// fields returns lines of the form "Name: 12 kB", as in /proc/meminfo.
func (m *Machine) fields(name string) (map[string]int64, error) {
	text, err := m.read(name)
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, ":")
		words := strings.Fields(rest)
		if len(words) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
			all[strings.TrimSpace(key)] = n
		}
	}
	return all, nil
}

// whole is a path of the configuration from the root on.
func (m *Machine) whole(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", m.Dir, p)
}

// stat is about a whole path.
func (m *Machine) stat(p string) (fs.FileInfo, error) {
	name := strings.TrimPrefix(p, "/")
	if name == "" {
		name = "."
	}
	return fs.Stat(m.Files, name)
}
