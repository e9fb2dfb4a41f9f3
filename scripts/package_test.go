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

// The exposure that systemd computes for the unit is at most 2.0 of 10.
func TestUnitIsHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("PEAL_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "package/systemd/peal.service").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`exposure level for peal\.service: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level:\n%s", out)
	}
	if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > 2 {
		t.Errorf("exposure level %s, want at most 2.0:\n%s", m[1], out)
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
