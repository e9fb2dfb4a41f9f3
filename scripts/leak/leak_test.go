package leak

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// leakEnv makes the test binary's tests leave something behind.
const leakEnv = "PEAL_LEAK_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(leakEnv) != "" {
		patience = 0
	}
	os.Exit(Main(m))
}

var kept []*os.File // the collector would close them

// TestLeaks is what TestMainFails runs again.
func TestLeaks(t *testing.T) {
	switch os.Getenv(leakEnv) {
	case "goroutine":
		go func() { select {} }()
	case "descriptor":
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		kept = []*os.File{r, w}
	case "test":
		t.Error("failed")
	}
}

func TestMainFailsOnWhatIsLeft(t *testing.T) {
	if os.Getenv(leakEnv) != "" {
		t.Skip("this is the run that leaks")
	}
	for what, want := range map[string]string{"goroutine": "leak.TestLeaks", "descriptor": "descriptors", "test": "FAIL", "nothing": "PASS"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLeaks$")
		cmd.Env = append(os.Environ(), leakEnv+"="+what)
		out, err := cmd.CombinedOutput()
		if (err == nil) != (what == "nothing") || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %s; want %q", what, err, out, want)
		}
	}
}
