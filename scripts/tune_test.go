package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tuned is a folder with the values that tune.sh reads in proc/sys.
func tuned(t *testing.T) *host {
	h := &host{t, t.TempDir(), ""}
	for key, value := range map[string]string{
		"fs/nr_open": "1048576", "fs/file-max": "9223372036854775807", "net/core/somaxconn": "4096", "net/core/netdev_max_backlog": "1000",
		"net/ipv4/tcp_max_syn_backlog": "1024", "net/ipv4/tcp_mem": "92000\t123000\t984000", "net/ipv4/tcp_max_orphans": "65536", "net/ipv4/ip_local_port_range": "32768\t60999",
	} {
		h.write("proc/sys/"+key, value+"\n")
	}
	return h
}

func (h *host) tune(args ...string) string {
	h.Helper()
	out, err := exec.Command("./tune.sh", append(args, "--root", h.root)...).CombinedOutput()
	if err != nil {
		h.Fatalf("tune.sh %q: %v\n%s", args, err, out)
	}
	return string(out)
}

const (
	sysctls = "etc/sysctl.d/60-peal.conf"
	dropIn  = "etc/systemd/system/peal.service.d/60-tune.conf"
)

func TestTuneRaisesAndUndoes(t *testing.T) {
	h := tuned(t)
	before := h.tree()
	if out := h.tune("1m", "--dry-run"); !slices.Equal(h.tree(), before) || !strings.Contains(out, "would set: net.core.somaxconn = 65535") {
		t.Errorf("--dry-run changed files, or does not print what it would do:\n%s", out)
	}
	if out := h.tune("1m"); !strings.Contains(out, "nf_conntrack_max: this kernel lacks it") {
		t.Errorf("nothing about a value that the kernel lacks:\n%s", out)
	}
	got := h.read(sysctls)
	for _, want := range []string{
		"\nfs.nr_open = 1114112\n", "\n# before: fs.nr_open = 1048576\n", "\nnet.core.somaxconn = 65535\n",
		"\nfs.file-max = 9223372036854775807\n",          // higher before
		"\nnet.ipv4.tcp_mem = 524288 1048576 2097152\n",  // each number by itself
		"\nnet.ipv4.ip_local_port_range = 10240 65535\n", // a range, not a limit
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if got := h.read(dropIn); !strings.Contains(got, "\nLimitNOFILE=1114112\n") {
		t.Errorf("the drop-in of the unit: %s", got)
	}

	h.write("proc/sys/net/core/somaxconn", "65535\n") // as after the machine's next start
	first := h.tree()
	if out := h.tune("1m"); !slices.Equal(h.tree(), first) {
		t.Errorf("the second run changed something:\n%s", out)
	}
	h.tune("100k")
	if got := h.read(sysctls); !strings.Contains(got, "# before: net.core.somaxconn = 4096\n") || !strings.Contains(got, "\nfs.nr_open = 1048576\n") {
		t.Errorf("after 1m and 100k, what was before the first is lost, or the value of 1m stays:\n%s", got)
	}
	if _, err := os.Stat(filepath.Join(h.root, dropIn)); err == nil {
		t.Error("100k left the drop-in of 1m")
	}

	if out := h.tune("--undo", "--dry-run"); !strings.Contains(out, "would set: net.core.somaxconn = 4096\n") {
		t.Errorf("--undo does not set what was before:\n%s", out)
	}
	h.tune("--undo")
	if _, err := os.Stat(filepath.Join(h.root, sysctls)); err == nil {
		t.Error("--undo left the file")
	}
	if out := h.tune("--undo"); out != "nothing to undo\n" {
		t.Errorf("a second --undo: %s", out)
	}
}

// A line before each setting explains it.
func TestTuneExplainsEachValue(t *testing.T) {
	h := tuned(t)
	h.tune("100k")
	n := 0
	for block := range strings.SplitSeq(h.read(sysctls), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		if len(lines) == 1 {
			continue // the head of the file
		}
		n++
		if len(lines) != 3 || len(lines[0]) < 40 || !strings.HasPrefix(lines[1], "# before: ") {
			t.Errorf("not explained: %q", lines)
		}
	}
	if n < 8 {
		t.Errorf("%d settings", n)
	}
}
