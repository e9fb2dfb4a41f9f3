package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/cmd/peal/doctor"
)

// bareMachine is a directory with the files of a machine of few descriptors.
func bareMachine(t *testing.T, openFiles string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "proc", "self")
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "limits"), []byte("Max open files            1024                 "+openFiles+"                 files\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "..", "..")
}

func TestDoctorChecksAMachine(t *testing.T) {
	root := bareMachine(t, "4096")
	check := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, stdout, message := called(t, append([]string{"doctor"}, args...)...)
		if code != wantCode || !strings.Contains(stdout+message, want) {
			t.Errorf("peal doctor %q: exit code %d, %q, %q, want %d and %q", args, code, stdout, message, wantCode, want)
		}
	}
	check(0, "warning  descriptors", "--root", root)
	check(1, "warnings, 0 failures", "--root", root, "--strict")
	t.Setenv("PEAL_MAX_CONNECTIONS", "20000")
	check(1, "failure  descriptors", "--root", root)
	check(1, "LimitNOFILE=", "--root", root)
	t.Setenv("PEAL_MAX_CONNECTIONS", "100")
	check(0, "ok       descriptors", "--root", root)
	t.Setenv("PEAL_MAX_CONNECTIONS", "none")
	check(2, "PEAL_MAX_CONNECTIONS", "--root", root)
	t.Setenv("PEAL_MAX_CONNECTIONS", "")
	check(2, "must be a directory", "--root", filepath.Join(root, "missing"))
	check(2, "no such process", "--pid", "999999999")
	check(2, "unknown command", "extra")
}

func TestDoctorPrintsJSON(t *testing.T) {
	code, stdout, _ := called(t, "doctor", "--json", "--root", bareMachine(t, "64"))
	var r doctor.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 || len(r.Findings) < 10 || r.Findings[0].Check != "descriptors" || r.Findings[0].Status != doctor.Warning {
		t.Errorf("exit code %d, %v, %+v", code, err, r)
	}
}
