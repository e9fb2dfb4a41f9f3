package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"peal/cmd/peal/doctor"
	"peal/server/log/file"
)

// logDir is the directory of a log in files, "" for a log in memory.
func (m *Machine) logDir() string {
	dir, ok := strings.CutPrefix(m.Config.Engine, "file:")
	if !ok {
		return ""
	}
	return m.whole(dir)
}

// standing is the directory itself or, while that does not exist, the nearest one above
// it that does.
func (m *Machine) standing(dir string) (string, error) {
	for at := dir; ; at = path.Dir(at) {
		i, err := m.stat(at)
		switch {
		case err == nil && i.IsDir():
			return at, nil
		case err == nil:
			return "", fmt.Errorf("%s is no directory", at)
		case !errors.Is(err, fs.ErrNotExist) || at == "/":
			return "", err
		}
	}
}

// slowSync is from where on an fsync limits what can be published, slowestSync for
// the policies that do not wait for each.
const (
	slowSync    = 20 * time.Millisecond
	slowestSync = 200 * time.Millisecond
)

// disk checks the file system of the log.
func (m *Machine) disk() (all []doctor.Finding) {
	dir := m.logDir()
	if dir == "" {
		return one(doctor.Skip("disk", "the log is in memory (log: memory)"))
	}
	at, err := m.standing(dir)
	if err != nil {
		return one(doctor.Fail("disk", err.Error(), "the server keeps its log there (log: file:"+dir+")", "install -d -m 0750 -o peal -g peal "+dir))
	}
	u, err := m.Usage(at)
	if err != nil {
		return one(doctor.Skip("disk", "%s: %v", at, err))
	}
	all = append(all, m.diskKind(dir, u), m.diskSpace(dir, u), diskInodes(dir, u))
	if u.ReadOnly {
		return all
	}
	return append(all, m.diskSync(dir, at))
}

func (m *Machine) diskKind(dir string, u Usage) doctor.Finding {
	const check = "disk"
	switch {
	case u.ReadOnly:
		return doctor.Fail(check, dir+" is on a read-only file system", "the server cannot write its log", "mount -o remount,rw  (or another directory: --log file:DIR)")
	case u.Network:
		return doctor.Warn(check, dir+" is on a network file system ("+u.Type+")", "locks and fsync of network file systems do not keep what a local disk keeps; a server that waits for the network accepts no publications", "--log file:DIR  with a directory on a local disk")
	case u.Ephemeral:
		return doctor.Warn(check, dir+" is in memory or in the layer of a container ("+u.Type+")", "a restart of the machine or container empties it, so the log keeps nothing", "--log file:DIR  with a directory on a disk or a volume")
	}
	return doctor.Fine(check, "%s is on a local file system", dir)
}

func (m *Machine) diskSpace(dir string, u Usage) doctor.Finding {
	const check = "disk-space"
	need := uint64(max(m.Config.File.TotalBytes, 0) + m.Config.File.SegmentBytes)
	value := fmt.Sprintf("%s of %s free", mebibytes(int64(u.FreeBytes)), mebibytes(int64(u.Bytes)))
	switch {
	case u.FreeBytes < uint64(2*m.Config.File.SegmentBytes):
		return doctor.Fail(check, value, "when the disk is full, publishing gets 503", fmt.Sprintf("free space on the disk of %s, or lower --log-bytes and --log-segment-bytes", dir))
	case u.FreeBytes < need:
		return doctor.Warn(check, fmt.Sprintf("%s: log-bytes and one log-segment-bytes are %s, less what the log has already", value, mebibytes(int64(need))), "when the disk is full, publishing gets 503", fmt.Sprintf("--log-bytes %dMiB", u.FreeBytes/2>>20))
	}
	return doctor.Fine(check, "%s", value)
}

func diskInodes(dir string, u Usage) doctor.Finding {
	const check = "disk-inodes"
	switch {
	case u.Inodes == 0:
		return doctor.Fine(check, "the file system has no limit")
	case u.FreeInodes < 100 || u.FreeInodes < u.Inodes/100:
		return doctor.Warn(check, fmt.Sprintf("%d of %d free", u.FreeInodes, u.Inodes), "each segment of the log is a file; without an inode the server cannot begin one, and publishing gets 503", "df -i "+dir+"  (then remove small files, or use another disk)")
	}
	return doctor.Fine(check, "%d of %d free", u.FreeInodes, u.Inodes)
}

func (m *Machine) diskSync(dir, at string) doctor.Finding {
	const check = "disk-sync"
	took, err := m.Sync(at)
	if err != nil {
		return doctor.Skip(check, "cannot write in %s as this user: %v", at, err)
	}
	limit, policy := slowestSync, m.Config.File.Fsync
	if policy == file.Always {
		limit = slowSync
	}
	value := fmt.Sprintf("a write and fsync takes %s (fsync: %s)", took.Round(10*time.Microsecond), policy)
	if took > limit {
		return doctor.Warn(check, value, fmt.Sprintf("with fsync always, a publication waits for it; above %s it delays publishers", limit), "a disk with a write cache that survives power failures (NVMe, battery), or --fsync interval, which may lose the last --fsync-interval in a power failure")
	}
	return doctor.Fine(check, "%s", value)
}
