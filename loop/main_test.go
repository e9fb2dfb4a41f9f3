package loop_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// childEnv makes the test binary a server of its own: see TestDescriptorExhaustion.
const childEnv = "PEAL_LOOP_TEST_CHILD"

// TestMain fails on goroutines and descriptors that the tests left behind.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(exhaustedServer())
	}
	// What the runtime opens once (its own poller) is not a leak.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	code := m.Run()
	if code == 0 {
		settled := func() bool {
			return runtime.NumGoroutine() <= goroutines && openDescriptors() <= descriptors
		}
		for deadline := time.Now().Add(5 * time.Second); !settled() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if !settled() {
			fmt.Fprintf(os.Stderr, "left behind: %d goroutines (%d before), %d descriptors (%d before)\n",
				runtime.NumGoroutine(), goroutines, openDescriptors(), descriptors)
			stacks := make([]byte, 1<<20)
			os.Stderr.Write(stacks[:runtime.Stack(stacks, true)])
			code = 1
		}
	}
	os.Exit(code)
}

// openDescriptors counts the descriptors of this process.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries) - 1 // the directory itself
}
