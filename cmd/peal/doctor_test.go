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

func TestDoctorChecksAURL(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	check := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, stdout, message := called(t, append([]string{"doctor", "--quick"}, args...)...)
		if code != wantCode || !strings.Contains(stdout+message, want) {
			t.Errorf("peal doctor %q: exit code %d, %q, %q, want %d and %q", args, code, stdout, message, wantCode, want)
		}
		if strings.Contains(stdout+message, "s3cret") {
			t.Errorf("peal doctor %q prints a secret: %q, %q", args, stdout, message)
		}
	}
	const nobody = "http://127.0.0.1:1"
	check(1, "failure  reachable", "--url", nobody)
	check(1, "failure  reachable", "--url", nobody, "--token-file", file("token", "s3cret\n"), "--key-file", file("key", "peal_s3cret\n"), "--header", "Cookie: s3cret")
	check(2, "must be like", "--url", "push.example.org")
	check(2, "must be like", "--url", nobody, "--publish-url", "push.example.org")
	check(2, "one of nginx, haproxy", "--url", nobody, "--proxy", "squid")
	check(2, "--origin", "--url", nobody, "--origin", "app.example.org")
	check(2, "--connect", "--url", nobody, "--connect", "192.0.2.7")
	check(2, "at least 1s", "--url", nobody, "--poll", "0s")
	check(2, "--header", "--url", nobody, "--header", "s3cret")
	check(2, "--token-file", "--url", nobody, "--token-file", filepath.Join(dir, "missing"))
	check(2, "a space or a line break", "--url", nobody, "--token-file", file("lines", "s3cret\ns3cret"))
	check(2, "--ca", "--url", nobody, "--ca", filepath.Join(dir, "missing"))
	check(2, "no certificate in PEM", "--url", nobody, "--ca", file("empty.pem", ""))
}

func TestDoctorVisitsAServer(t *testing.T) {
	url := serving(t)
	code, stdout, stderr := fed(t, "", "doctor", "--quick", "--strict", "--url", url)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "ok       websocket-delivery") || !strings.Contains(stdout, " 0 warnings, 0 failures, ") {
		t.Errorf("exit code %d, %s, %q", code, stdout, stderr)
	}
	code, stdout, stderr = fed(t, "", "doctor", "--json", "--poll", "1s", "--idle", "1s", "--url", url, "--header", "Origin: https://evil.example")
	var r doctor.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 1 || r.Count(doctor.Failure) == 0 || !strings.Contains(stderr, "This takes up to 6s") {
		t.Errorf("exit code %d, %v, %s, %q", code, err, stdout, stderr)
	}
}
