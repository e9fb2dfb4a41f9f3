package endtoend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document is a page whose boxes are played.
type document struct {
	page     string   // its path in the repository
	serve    string   // how the command begins that starts the server
	address  string   // of that server in the commands
	files    []string // prefixes of the arguments of serve that are files of the page
	commands int      // the least number of them
}

// play runs the commands of the boxes in their order. at is the address that replaces the one of
// the page.
func (d document) play(t *testing.T, at func(*peal) string) {
	t.Helper()
	page, err := os.ReadFile("../../" + d.page)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var p *peal
	commands := 0
	for _, box := range regexp.MustCompile("(?ms)^```(sh|console)\n(.*?)^```$").FindAllSubmatch(page, -1) {
		text := string(box[2])
		if flags, ok := strings.CutPrefix(strings.TrimSpace(text), d.serve); ok {
			all := strings.Fields(flags)
			for i, f := range all {
				if slices.ContainsFunc(d.files, func(prefix string) bool { return strings.HasPrefix(f, prefix) }) {
					all[i] = filepath.Join(dir, f)
				}
			}
			p = launch(t, append(all, "--listen", "127.0.0.1:0")...)
			continue
		}
		for _, one := range strings.Split("\n"+text, "\n$ ")[1:] {
			command, want, _ := strings.Cut(one, "\n")
			if p != nil {
				command = strings.ReplaceAll(command, d.address, at(p))
			}
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(pealBinary)+":"+os.Getenv("PATH"))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			commands++
			s := &session{t: t, known: map[string]string{}}
			if got := strings.TrimSpace(string(out)); err != nil || !s.matches(strings.TrimSpace(want), got) {
				t.Errorf("%s\nprints %s (%v, %s)\nand the page has %s", command, got, err, stderr.String(), want)
			}
		}
	}
	if p == nil || commands < d.commands {
		t.Errorf("%s starts a server: %v; it has %d commands", d.page, p != nil, commands)
	}
}
