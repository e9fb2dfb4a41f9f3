package scripts

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestBuildingElsewhereEndsInOneSentence(t *testing.T) {
	for _, system := range []string{"darwin", "freebsd"} {
		cmd := exec.Command("go", "build", "-o", os.DevNull, "./cmd/peal")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64")
		out, err := cmd.CombinedOutput()
		said := strings.TrimSpace(string(out))
		if err == nil || !strings.Contains(said, "Peal runs on Linux only") || strings.Contains(said, "\n") {
			t.Errorf("GOOS=%s go build ./cmd/peal: %v, want one line that says so:\n%s", system, err, said)
		}
	}
}
