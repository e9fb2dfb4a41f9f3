package endtoend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTLSDocument plays the commands of docs/tls.md that a machine without a domain can
// run: each must print what the page says.
func TestTLSDocument(t *testing.T) {
	tool(t, "curl")
	tool(t, "openssl")
	page, err := os.ReadFile("../../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	const address, serve = "127.0.0.1:8443", "peal serve --listen " + "127.0.0.1:8443 "
	dir := t.TempDir()
	var p *peal
	commands := 0
	for _, box := range regexp.MustCompile("(?ms)^```(sh|console)\n(.*?)^```$").FindAllSubmatch(page, -1) {
		text := string(box[2])
		if flags, ok := strings.CutPrefix(strings.TrimSpace(text), serve); ok {
			all := strings.Fields(flags)
			for i, f := range all {
				if strings.HasPrefix(f, "server.") {
					all[i] = filepath.Join(dir, f)
				}
			}
			p = launch(t, append(all, "--listen", "127.0.0.1:0")...)
			continue
		}
		for _, one := range strings.Split("\n"+text, "\n$ ")[1:] {
			command, want, _ := strings.Cut(one, "\n")
			if p != nil {
				command = strings.ReplaceAll(command, address, p.addr)
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
	if p == nil || commands < 4 {
		t.Errorf("docs/tls.md starts a server: %v; it has %d commands", p != nil, commands)
	}
}
