package report_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"peal/loadtest/report"
)

// drawn opens a page in a browser and returns its document after the scripts.
func drawn(t *testing.T, reports ...*report.Report) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("PEAL_E2E") == "require" {
		t.Fatal("chromium is not on PATH; PEAL_E2E=require says that it must be here")
	} else if err != nil {
		t.Skip("chromium is not on PATH: install Debian's package")
	}
	var page bytes.Buffer
	if err := report.WritePage(&page, reports...); err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "page") // t.TempDir would fail if a process of the browser still wrote to it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	name := filepath.Join(folder, "page.html")
	if err := os.WriteFile(name, page.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-breakpad", "--user-data-dir="+filepath.Join(folder, "profile"),
		"--dump-dom", "file://"+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.Output()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left, so that the folder can be removed
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// titles are the titles of the charts of a document, and the names of their lines.
func titles(document string) (titles, names []string) {
	for _, piece := range strings.Split(document, `<div class="u-title">`)[1:] {
		title, _, _ := strings.Cut(piece, "<")
		titles = append(titles, title)
	}
	for _, piece := range strings.Split(document, `<div class="u-label">`)[1:] {
		name, _, _ := strings.Cut(piece, "<")
		names = append(names, name)
	}
	return titles, names
}

// TestPageDrawsWhatWasMeasured opens pages in a browser: a chart without values is left
// out, and each report has its lines.
func TestPageDrawsWhatWasMeasured(t *testing.T) {
	one := staged(t)
	got, names := titles(drawn(t, one))
	want := []string{"Latency over time, ms", "Latency by percentile, ms", "Latency by rate, ms", "Deliveries, per second", "Connections, open", "CPU, cores", "Memory of the server, MiB"}
	if !slices.Equal(got, want) || !slices.Contains(names, "p99") {
		t.Errorf("charts %q with %q, want %q", got, names, want)
	}
	a, b := sample(0), sample(20)
	a.Intervals[0].Resident, a.Intervals[0].Connections, b.Latency = nil, 0, nil
	a.Ramp = &report.Ramp{Steps: []report.Step{{Rate: 100, P50: a.Latency.P50, P99: a.Latency.P99}, {Rate: 50, P50: a.Latency.P50}}}
	got, names = titles(drawn(t, a, b))
	if !slices.Equal(got, want) || !slices.Contains(names, "a p99") || !slices.Contains(names, "b resident") || slices.Contains(names, "a resident") || slices.Contains(names, "b latency") {
		t.Errorf("charts %q with %q, want %q", got, names, want)
	}
}
