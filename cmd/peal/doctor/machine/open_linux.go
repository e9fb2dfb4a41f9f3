package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"peal/server"
)

// Open is the machine below root, which is / except for an image that is mounted
// elsewhere. The clock is always that of the running kernel.
func Open(root, pid string, config server.Config, sources []string) *Machine {
	dir := "/"
	if at, err := os.Getwd(); err == nil && root == "/" {
		dir = at
	}
	return &Machine{
		Files: os.DirFS(root), PID: pid, Dir: dir, Config: config, Sources: sources,
		Usage: func(dir string) (Usage, error) { return usage(filepath.Join(root, dir)) },
		Sync:  func(dir string) (time.Duration, error) { return syncTime(filepath.Join(root, dir)) },
		Clock: kernelClock,
	}
}

// Kinds of file systems, by the numbers of statfs(2).
var (
	networks = map[int64]string{
		unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb", 0xff534d42: "cifs", 0xfe534d42: "smb2", unix.CEPH_SUPER_MAGIC: "ceph", unix.AFS_SUPER_MAGIC: "afs", unix.V9FS_MAGIC: "9p", unix.CODA_SUPER_MAGIC: "coda", unix.FUSE_SUPER_MAGIC: "fuse",
	}
	ephemerals = map[int64]string{unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay"}
)

func usage(dir string) (Usage, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Usage{}, err
	}
	kind := int64(s.Type)
	u := Usage{
		Bytes: s.Blocks * uint64(s.Bsize), FreeBytes: s.Bavail * uint64(s.Bsize), Inodes: s.Files, FreeInodes: s.Ffree,
		ReadOnly: s.Flags&unix.ST_RDONLY != 0,
	}
	if name, ok := networks[kind]; ok {
		u.Type, u.Network = name, true
	}
	if name, ok := ephemerals[kind]; ok {
		u.Type, u.Ephemeral = name, true
	}
	return u, nil
}

// syncTime writes a page and syncs it, a few times.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".peal-doctor-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, pageBytes)
	times := make([]time.Duration, 7)
	for i := range times {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// kernelClock asks for the state of the clock and sets nothing.
func kernelClock() (Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, fmt.Errorf("adjtimex: %w", err)
	}
	return Clock{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		Error:        time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}
