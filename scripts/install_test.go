package scripts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// host is a folder into which install.sh installs, as if it were the root of a host
// where systemd does not run.
type host struct {
	*testing.T
	root, release string
}

func newHost(t *testing.T) *host {
	t.Helper()
	if _, err := exec.LookPath("systemctl"); err != nil {
		t.Skip("needs systemctl, to enable a service in another root:", err)
	}
	h := &host{t, t.TempDir(), t.TempDir()}
	h.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	h.write("etc/group", "root:x:0:\n")
	return h
}

func (h *host) write(name, text string) {
	h.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.Fatal(err)
	}
}

func (h *host) read(name string) string {
	h.Helper()
	b, err := os.ReadFile(filepath.Join(h.root, name))
	if err != nil {
		h.Error(err)
	}
	return string(b)
}

// tree is what the root has: each path with what a change of it would change.
func (h *host) tree() (all []string) {
	h.Helper()
	err := filepath.WalkDir(h.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, _ := os.ReadFile(path) // a link into the root's own /etc cannot be followed
		all = append(all, fmt.Sprintf("%s %v %v %x", strings.TrimPrefix(path, h.root), info.Mode(), info.ModTime().UnixNano(), sha256.Sum256(b)))
		return nil
	})
	if err != nil {
		h.Fatal(err)
	}
	return all
}

// archive makes a release whose program prints the version. more is added to the
// default configuration.
func (h *host) archive(version, more string, extra ...string) {
	h.Helper()
	files := map[string]string{"peal": "#!/bin/sh\necho " + version + "\n", "VERSION": version + "\n",
		"completions/peal": "c", "completions/_peal": "c", "completions/peal.fish": "c", "man/peal.1": ".TH PEAL 1\n", "doc/deploy.md": "# Deploy\n"}
	for name, from := range map[string]string{"install.sh": "install.sh", "tune.sh": "tune.sh", "peal.yaml": "package/peal.yaml", "sysusers.conf": "package/sysusers.conf",
		"peal.service": "package/systemd/peal.service", "peal.socket": "package/systemd/peal.socket", "peal@.service": "package/systemd/peal@.service"} {
		b, err := os.ReadFile(from)
		if err != nil {
			h.Fatal(err)
		}
		files[name] = string(b)
	}
	files["peal.yaml"] += more
	for _, name := range extra {
		files[name] = name
	}
	name := "peal-linux-" + runtime.GOARCH
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for path, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name + "/" + path, Mode: 0o755, Size: int64(len(text))}); err != nil {
			h.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			h.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		h.Fatal(err)
	}
	if err := z.Close(); err != nil {
		h.Fatal(err)
	}
	for file, text := range map[string]string{name + ".tar.gz": b.String(), "SHA256SUMS": fmt.Sprintf("%x  %s.tar.gz\n", sha256.Sum256(b.Bytes()), name)} {
		if err := os.WriteFile(filepath.Join(h.release, file), []byte(text), 0o644); err != nil {
			h.Fatal(err)
		}
	}
}

// install runs install.sh and returns what it prints, and whether it succeeds.
func (h *host) install(args ...string) (string, bool) {
	out, err := exec.Command("./install.sh", append([]string{"--root", h.root}, args...)...).CombinedOutput()
	return string(out), err == nil
}

func (h *host) mustInstall(args ...string) string {
	h.Helper()
	out, ok := h.install(args...)
	if !ok {
		h.Fatalf("install.sh %q failed:\n%s", args, out)
	}
	return out
}

const conf = "etc/peal/peal.yaml"

func TestInstallTwiceUpgradeAndUninstall(t *testing.T) {
	h := newHost(t)
	before := h.tree()
	h.archive("v1", "", "doc/old.md")
	if h.mustInstall("--from", h.release, "--dry-run"); !slices.Equal(h.tree(), before) {
		t.Errorf("--dry-run changed the host: %q", h.tree())
	}
	h.mustInstall("--from", h.release)
	if got := h.read("etc/systemd/system/peal.service"); !strings.Contains(got, "\nExecStart=/usr/local/bin/peal serve") || strings.Contains(got, "=/usr/bin/peal") {
		t.Errorf("the unit starts another program:\n%s", got)
	}
	if _, err := os.Lstat(filepath.Join(h.root, "etc/systemd/system/multi-user.target.wants/peal.service")); err != nil {
		t.Error("the service is not enabled:", err)
	}
	if !strings.Contains(h.read("etc/passwd"), "\npeal:") {
		t.Error("there is no user peal")
	}
	first := h.tree()
	if out := h.mustInstall("--from", h.release); !slices.Equal(h.tree(), first) || strings.Contains(out, "installed /") {
		t.Errorf("the second run changed something:\n%s", out)
	}

	h.archive("v2", "# new in v2\n")
	h.mustInstall("--from", filepath.Join(h.release, "peal-linux-"+runtime.GOARCH+".tar.gz"))
	if !strings.Contains(h.read("usr/local/bin/peal"), "v2") || !strings.Contains(h.read(conf), "new in v2") {
		t.Error("the upgrade left the program or the unchanged configuration of v1")
	}
	if _, err := os.Stat(filepath.Join(h.root, "usr/local/share/peal/doc/old.md")); err == nil {
		t.Error("the upgrade left a file that only v1 has")
	}

	h.write(conf, "drain: 3s\n")
	h.archive("v3", "# new in v3\n")
	if out := h.mustInstall("--from", h.release); h.read(conf) != "drain: 3s\n" || !strings.Contains(out, "kept ") {
		t.Errorf("a changed configuration was replaced, or nobody knows that it was not:\n%s", out)
	}

	h.write("var/lib/peal/log/1.log", "data")
	h.mustInstall("--uninstall")
	var left []string
	for _, line := range h.tree() {
		left = append(left, strings.Fields(line)[0])
	}
	// What systemd-sysusers and useradd keep beside passwd is the system's.
	left = slices.DeleteFunc(left, func(p string) bool {
		return strings.HasPrefix(p, "/etc/") && p != "/"+conf && filepath.Dir(p) == "/etc"
	})
	if want := []string{"/" + conf, "/var/lib/peal/log/1.log"}; !slices.Equal(left, want) {
		t.Errorf("after --uninstall: %q, want the changed configuration and the data", left)
	}
}

func TestUninstallRemovesAnUnchangedConfiguration(t *testing.T) {
	h := newHost(t)
	h.archive("v1", "")
	h.mustInstall("--from", h.release)
	h.mustInstall("--uninstall")
	if _, err := os.Stat(filepath.Join(h.root, "etc/peal")); err == nil {
		t.Error("/etc/peal is still there")
	}
	h.mustInstall("--from", h.release)
	h.write(conf, "drain: 3s\n")
	h.write("var/lib/peal/log/1.log", "data")
	h.mustInstall("--uninstall", "--purge")
	for _, name := range []string{"etc/peal", "var/lib/peal", "usr/local/bin/peal", "usr/local/share/peal"} {
		if _, err := os.Stat(filepath.Join(h.root, name)); err == nil {
			t.Errorf("/%s is still there after --purge", name)
		}
	}
}

func TestInstallRefusesWhatItCannotVerify(t *testing.T) {
	h := newHost(t)
	h.archive("v1", "")
	before := h.tree()
	sums := filepath.Join(h.release, "SHA256SUMS")
	right, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why, sums, want string
		args            []string
	}{
		{"another checksum", strings.Repeat("0", 64) + string(right[64:]), "differs from its checksum", []string{"--from", h.release}},
		{"no checksum", "", "no checksum of", []string{"--from", h.release}},
		{"plain HTTP", string(right), "only https", []string{"--from", "http://127.0.0.1/v1"}},
		{"nothing there", string(right), "cannot read", []string{"--from", "/nowhere"}},
		{"nothing installed", string(right), "nothing to uninstall", []string{"--uninstall"}},
		{"purge alone", string(right), "needs --uninstall", []string{"--purge", "--from", h.release}},
	} {
		if err := os.WriteFile(sums, []byte(c.sums), 0o644); err != nil {
			t.Fatal(err)
		}
		out, ok := h.install(c.args...)
		if ok || !strings.Contains(out, c.want) {
			t.Errorf("%s: success %v, %q, want an error with %q", c.why, ok, out, c.want)
		}
		if !slices.Equal(h.tree(), before) {
			t.Errorf("%s: the host was changed", c.why)
		}
	}
}
