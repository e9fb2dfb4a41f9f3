// Package scripts contains only tests, which check rules of the repository that no
// compiler checks.
package scripts

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is one rule of depguard in .golangci.yml, list-mode lax.
type rule struct {
	Mode  string   `yaml:"list-mode"`
	Files []string `yaml:"files"`
	Allow []string `yaml:"allow"`
	Deny  []struct{ Pkg, Desc string }
}

func rules(t *testing.T) map[string]rule {
	t.Helper()
	b, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct{ Rules map[string]rule }
			}
		}
	}
	if err := yaml.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	r := config.Linters.Settings.Depguard.Rules
	if len(r) < 5 {
		t.Fatalf("only %d depguard rules found in .golangci.yml", len(r))
	}
	for name, r := range r {
		if r.Mode != "lax" {
			t.Fatalf("rule %s: this test knows list-mode lax only", name)
		}
	}
	return r
}

// covers reports whether the rule applies to file, a path from the root.
func (r rule) covers(file string) bool {
	in := false
	for _, f := range r.Files {
		pattern, not := strings.CutPrefix(f, "!")
		var match bool
		switch {
		case pattern == "$all":
			match = true
		case pattern == "$test":
			match = strings.HasSuffix(file, "_test.go")
		default:
			match, _ = path.Match(strings.TrimPrefix(pattern, "**/"), file)
		}
		if match && not {
			return false
		}
		in = in || match
	}
	return in
}

// denies returns why pkg may not be imported, "" if it may.
func (r rule) denies(pkg string) string {
	best, why := 0, ""
	matches := func(prefix string) bool {
		return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
	}
	for _, d := range r.Deny {
		if matches(d.Pkg) && len(d.Pkg) > best {
			best, why = len(d.Pkg), d.Desc
		}
	}
	for _, a := range r.Allow {
		if matches(a) && len(a) > best {
			best, why = len(a), ""
		}
	}
	return why
}

type goPackage struct {
	Dir, ImportPath                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	all := rules(t)
	covered := map[string]bool{}
	for _, p := range packages(t) {
		dir, err := filepath.Rel(root, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		check := func(files, imports []string) {
			if len(files) == 0 {
				return
			}
			for name, r := range all {
				file := path.Join(filepath.ToSlash(dir), files[0]) // all of a kind are in the same folder
				if !r.covers(file) {
					continue
				}
				covered[name] = true
				for _, i := range imports {
					if i == p.ImportPath {
						continue // a black-box test imports what it tests
					}
					if why := r.denies(i); why != "" {
						t.Errorf("%s imports %s (rule %s): %s", dir, i, name, why)
					}
				}
			}
		}
		check(p.GoFiles, p.Imports)
		check(p.TestGoFiles, p.TestImports)
		check(p.XTestGoFiles, p.XTestImports)
	}
	for name := range all {
		if !covered[name] {
			t.Errorf("rule %s covers no file: did its folder move?", name)
		}
	}
}

// The rules reject imports that they must reject.
func TestRulesCatchWhatTheyShould(t *testing.T) {
	all := rules(t)
	for _, c := range []struct{ file, imports string }{
		{"server/hub/hub.go", "github.com/panjf2000/gnet/v2"},
		{"loop/conn.go", "peal/server/log"},
		{"loop/fanout/fan.go", "peal/loop"},
		{"loop/fanout/fan.go", "golang.org/x/sys/unix"},
		{"server/server.go", "github.com/valyala/fasthttp"},
		{"loadtest/run.go", "peal/loop/frame"},
		{"server/log/entry.go", "peal/server/hub"},
		{"server/server.go", "peal/server/log/file"},
		{"server/permit/gate.go", "peal/server/httpapi"},
		{"server/publish/append.go", "peal/server/wsproto"},
	} {
		caught := false
		for _, r := range all {
			caught = caught || r.covers(c.file) && r.denies(c.imports) != ""
		}
		if !caught {
			t.Errorf("%s may import %s", c.file, c.imports)
		}
	}
}
