package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"peal/server/settings"
)

// The configuration of the packages is valid, and so is each setting that it only shows.
func TestConfigurationOfThePackages(t *testing.T) {
	check := func(path string) {
		t.Helper()
		if _, err := settings.Load(settings.Input{File: path}); err != nil {
			t.Error(err)
		}
	}
	check("package/peal.yaml")
	b, err := os.ReadFile("package/peal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range settings.All() {
		known[s.Name] = true
	}
	shown := regexp.MustCompile(`(?m)^#([a-z-]+):`).FindAllStringSubmatch(string(b), -1)
	if len(shown) < 5 {
		t.Errorf("%d settings that are shown", len(shown))
	}
	for _, m := range shown {
		if !known[m[1]] {
			t.Errorf("package/peal.yaml shows %s, which is no setting", m[1])
		}
	}
}

// So is the one of the manifests for Kubernetes.
func TestConfigurationOfTheManifests(t *testing.T) {
	b, err := os.ReadFile("package/kubernetes/peal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ Data map[string]string }
	if err := yaml.Unmarshal(b[:strings.Index(string(b), "\n---\n")], &config); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"token.secret": strings.Repeat("s", 32), "keys.yaml": "keys: [{name: shop, digest: 'sha256:" + strings.Repeat("0", 64) + "', allow: [publish]}]", "peal.yaml": strings.ReplaceAll(config.Data["peal.yaml"], "/secret/", dir+"/")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := settings.Load(settings.Input{File: filepath.Join(dir, "peal.yaml")}); err != nil {
		t.Error(err)
	}
}

// program ends the test where a program is not installed.
func program(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("PEAL_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// The exposure that systemd computes for the units is at most 2.0 of 10.
func TestUnitIsHardened(t *testing.T) {
	program(t, "systemd-analyze")
	for _, unit := range []string{"peal.service", "peal@.service"} {
		out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "package/systemd/"+unit).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		m := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("no exposure level of %s:\n%s", unit, out)
		}
		if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > 2 {
			t.Errorf("the exposure level of %s is %s, want at most 2.0:\n%s", unit, m[1], out)
		}
	}
}

// systemd reads every line of the units, and the template differs from the unit only in
// what makes it one of several nodes.
func TestUnitsAreValid(t *testing.T) {
	program(t, "systemd-analyze")
	dir := t.TempDir()
	texts := map[string]string{}
	for unit, as := range map[string]string{"peal.service": "peal.service", "peal@.service": "peal@1.service"} {
		b, err := os.ReadFile("package/systemd/" + unit)
		if err != nil {
			t.Fatal(err)
		}
		texts[unit] = string(b)
		path := filepath.Join(dir, as)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(texts[unit], "/usr/bin/peal", "/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
	node := regexp.MustCompile(`(?m)^#.*\n|^\n|^EnvironmentFile=.*\n| redis-server\.service|, node %i|/%i`)
	one := strings.ReplaceAll(texts["peal.service"], "peal.yaml", "cluster.yaml")
	if got, want := node.ReplaceAllString(texts["peal@.service"], ""), node.ReplaceAllString(one, ""); got != want {
		t.Errorf("without what makes it a node, the template is\n%s\nand the unit is\n%s", got, want)
	}
}

// docker is not asked: the file is checked as YAML, with what its services refer to, and its
// HAProxy with the real program.
func TestComposeFile(t *testing.T) {
	b, err := os.ReadFile("package/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image, Hostname string
			Command         []string
			Configs         []struct{ Source, Target string }
			Volumes         []string
			DependsOn       any `yaml:"depends_on"`
		}
		Configs map[string]struct{ Content string }
		Volumes map[string]any
		Name    string
		Node    any `yaml:"x-node"`
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for name, s := range file.Services {
		if s.Image == "" {
			t.Errorf("%s has no image", name)
		}
		for _, c := range s.Configs {
			if file.Configs[c.Source].Content == "" {
				t.Errorf("%s refers to the config %s, which is not there", name, c.Source)
			}
		}
		for _, v := range s.Volumes {
			if volume, _, _ := strings.Cut(v, ":"); len(file.Volumes) == 0 || !strings.Contains(string(b), "\n  "+volume+":") {
				t.Errorf("%s refers to the volume %s, which is not there", name, volume)
			}
		}
		if s.Image != "peal" {
			continue
		}
		nodes++
		flags := map[string][]string{}
		for rest := s.Command[1:]; len(rest) > 0; {
			flag := strings.TrimPrefix(rest[0], "--")
			if len(rest) == 1 || strings.HasPrefix(rest[1], "--") {
				flags[flag], rest = []string{"true"}, rest[1:]
				continue
			}
			flags[flag], rest = []string{rest[1]}, rest[2:]
		}
		if _, err := settings.Load(settings.Input{Flags: flags}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(file.Configs["haproxy"].Content, " "+s.Hostname+":8080") {
			t.Errorf("HAProxy does not know %s", s.Hostname)
		}
	}
	if nodes != 3 {
		t.Errorf("%d nodes", nodes)
	}
	program(t, "haproxy")
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(regexp.MustCompile(` peal-\d:`).ReplaceAllString(file.Configs["haproxy"].Content, " 127.0.0.1:")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("haproxy", "-c", "-f", path).CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The context of docker build has all that the build of cmd/peal reads.
func TestImageHasWhatTheBuildNeeds(t *testing.T) {
	b, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "./cmd/peal")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.SplitSeq(string(out), "\n") {
		folder, _, _ := strings.Cut(strings.TrimPrefix(p, "peal/"), "/")
		if strings.HasPrefix(p, "peal/") && !strings.Contains(string(b), "\n!"+folder+"\n") {
			t.Errorf(".dockerignore leaves out %s", p)
		}
	}
}

// Without root certificates the image cannot reach an authority of ACME.
func TestImageHasRootCertificates(t *testing.T) {
	b, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, final, _ := strings.Cut(string(b), "\nFROM scratch\n")
	if !strings.Contains(final, " /etc/ssl/certs/ca-certificates.crt\n") {
		t.Error("the last stage of the Dockerfile lacks /etc/ssl/certs/ca-certificates.crt")
	}
}

func TestShellScriptsAreClean(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		if os.Getenv("PEAL_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	out, err := exec.Command("sh", "-c", "shellcheck install.sh tune.sh package/*.sh package/debian/p*").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
