package endtoend_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityDocument plays the five minutes of docs/security.md: each command of its
// boxes must print what the page says, and the server is started by the command that the
// page has for it.
func TestSecurityDocument(t *testing.T) {
	tool(t, "curl")
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	const address, serve = "http://127.0.0.1:8080", "peal serve "
	dir := t.TempDir()
	var p *peal
	commands := 0
	for _, box := range regexp.MustCompile("(?ms)^```(sh|console)\n(.*?)^```$").FindAllSubmatch(page, -1) {
		text := string(box[2])
		if flags, ok := strings.CutPrefix(strings.TrimSpace(text), serve); ok {
			all := strings.Fields(flags)
			for i, f := range all {
				if strings.HasPrefix(f, "token.") || strings.HasPrefix(f, "keys.") {
					all[i] = filepath.Join(dir, f)
				}
			}
			p = launch(t, append(all, "--listen", "127.0.0.1:0")...)
			continue
		}
		for _, one := range strings.Split("\n"+text, "\n$ ")[1:] {
			command, want, _ := strings.Cut(one, "\n")
			if p != nil {
				command = strings.ReplaceAll(command, address, p.url)
			}
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(pealBinary)+":"+os.Getenv("PATH"))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			commands++
			s := &session{t: t, known: map[string]string{}}
			if got := strings.TrimSpace(string(out)); err != nil || !s.matches(strings.TrimSpace(want), got) {
				t.Errorf("%s\nprints %s (%v, %s)\nand the page says %s", command, got, err, stderr.String(), want)
			}
		}
	}
	if p == nil || commands < 10 {
		t.Errorf("docs/security.md starts a server: %v; it has %d commands", p != nil, commands)
	}
}

// Each test that docs/security.md names as a proof exists.
func TestProofsOfTheSecurityDocumentExist(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllSubmatch(source, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(page, -1)
	for _, m := range named {
		if !tests[string(m[1])] {
			t.Errorf("there is no %s", m[1])
		}
	}
	if len(named) < 20 {
		t.Errorf("docs/security.md names %d tests", len(named))
	}
}
