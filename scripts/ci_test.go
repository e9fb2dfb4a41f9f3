package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The workflow is one that GitHub can read, and bash its steps.
func TestTheWorkflowIsValid(t *testing.T) {
	b, err := os.ReadFile("../docs/ci/github.yml")
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Uses, Run string }
		}
	}
	if err := yaml.Unmarshal(b, &workflow); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, step := range workflow.Jobs["gate"].Steps {
		if (step.Uses == "") == (step.Run == "") {
			t.Errorf("%+v: either uses or run", step)
		}
		if step.Run == "" {
			continue
		}
		ran++
		if out, err := exec.Command("bash", "-n", "-c", strings.ReplaceAll(step.Run, "${{", "${")).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", step.Run, err, out)
		}
	}
	if ran == 0 {
		t.Error("no step runs anything")
	}
}

// docs/ci/gate.sh fetches what a shallow clone lacks, passes arguments on, and ends with
// the code of the gate. A stand-in for go builds a stand-in for the gate.
func TestTheGateInAnyCI(t *testing.T) {
	script, err := filepath.Abs("../docs/ci/gate.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = in
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	const program = "#!/bin/sh\n[ \"$1 $2\" = 'build -o' ] || exit 9\ncat > \"$3\" <<'E'\n#!/bin/sh\ngit cat-file -e \"$2\" || exit 8\necho \"verdict $*\" > gate.md\nexit 3\nE\nchmod +x \"$3\"\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"git init -q -b main origin", "git -C origin -c user.name=a -c user.email=a@b commit -q --allow-empty -m base",
		"git -C origin checkout -q -b change", "git -C origin -c user.name=a -c user.email=a@b commit -q --allow-empty -m head",
		"git clone -q --depth 1 --branch change file://" + dir + "/origin clone"} {
		run(dir, strings.Fields(command)...)
	}
	for _, c := range []struct{ args, want string }{
		{"", "verdict --base origin/main --json gate.json --markdown gate.md --bench-out samples --set pull-request\n"},
		{"origin/main --deterministic", "verdict --base origin/main --json gate.json --markdown gate.md --bench-out samples --deterministic\n"},
	} {
		cmd := exec.Command(script, strings.Fields(c.args)...)
		cmd.Dir, cmd.Env = filepath.Join(dir, "clone"), append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, _ := cmd.Output()
		if string(out) != c.want || cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("%q: exit %d, %s", c.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}
