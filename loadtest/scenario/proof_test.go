package scenario

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loadtest/report"
)

var proof = flag.Bool("proof", false, "run TestValidityProof, which takes five minutes and wants a quiet machine")

// TestValidityProof runs 20 loads whose receiving process is starved, and 40 that are
// not, and has Peal as the server. Each of the 20 must be found invalid because of
// that, none of the 40. Only with -proof: a busy machine makes runs invalid.
func TestValidityProof(t *testing.T) {
	if !*proof {
		t.Skip("only with -proof")
	}
	peal := filepath.Join(t.TempDir(), "peal")
	if out, err := exec.Command("go", "build", "-o", peal, "../../cmd/peal").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fmt.Println("kind     connections  p99 ms  waits p99 ms  others  lag p99 ms  verdict")
	found, wrong := 0, 0
	for i := range 60 {
		starved := i%3 == 2
		s := Defaults()
		s.Start, s.Targets = []string{peal + " serve --listen 127.0.0.1:{port}"}, []string{"ws://127.0.0.1:{port}/ws?channel=bench"}
		s.Duration, s.Idle = 3*time.Second, 100*time.Millisecond
		if i%2 == 1 {
			s.Connections, s.Rate = 10, 100
		}
		end := func() {}
		s.Progress = func(p Progress) {
			if starved && strings.HasPrefix(p.Text, "publishing") {
				end = starve(t)
			}
		}
		r, err := Run(t.Context(), "fanout", s)
		end()
		if err != nil {
			t.Fatal(err)
		}
		late := strings.Contains(strings.Join(r.Validity.Reasons, ";"), "read late")
		kind := "quiet"
		switch {
		case starved && late:
			kind, found = "starved", found+1
		case starved:
			kind = "starved"
		case !r.Validity.Valid:
			wrong++
		}
		fmt.Printf("%-8s %11d  %6s  %12s  %5.0f%%  %10s  %s\n", kind, s.Connections, shown(r.Latency), shown(r.Generator.Waits),
			100*r.Generator.Machine.Part, shown(r.Lag), strings.Join(append(r.Validity.Reasons, fmt.Sprint("valid: ", r.Validity.Valid)), "; "))
	}
	fmt.Printf("%d of 20 starved runs were found, %d of 40 quiet runs were called invalid\n", found, wrong)
	if found != 20 || wrong != 0 {
		t.Fail()
	}
}

func shown(t *report.Times) string {
	if t == nil || t.P99 == nil {
		return "-"
	}
	return report.Millis(*t.P99)
}

// starve puts the workers of this process on one processor, with a program that
// never rests and has a higher priority. The caller ends that.
func starve(t *testing.T) (end func()) {
	last := &unix.CPUSet{}
	last.Set(runtime.NumCPU() - 1)
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, pid := range strings.Fields(string(children)) {
			if exe, _ := os.Readlink("/proc/" + pid + "/exe"); exe != self {
				continue // the server
			}
			threads, _ := filepath.Glob("/proc/" + pid + "/task/*")
			for _, thread := range threads {
				tid, _ := strconv.Atoi(filepath.Base(thread))
				if err := unix.SchedSetaffinity(tid, last); err != nil {
					t.Error(err)
				}
				if err := unix.Setpriority(unix.PRIO_PROCESS, tid, 10); err != nil {
					t.Error(err)
				}
			}
		}
	}
	busy := exec.Command("sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedSetaffinity(busy.Process.Pid, last); err != nil {
		t.Error(err)
	}
	return func() { _ = busy.Process.Kill(); _ = busy.Wait() }
}
