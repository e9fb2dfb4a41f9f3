// Package leak fails a test binary whose tests leave goroutines or descriptors
// behind. It is for TestMain only.
package leak

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// patience is how long what the tests started may take to end after them.
var patience = 5 * time.Second

// Main runs the tests of m, a *testing.M, and returns the exit code: that of the
// tests, or 1 if they passed and something that they started is still there. A
// fuzzing run is not checked: the fuzzer leaves goroutines of its own.
func Main(m interface{ Run() int }) (code int) {
	// What the runtime opens once (its own poller) is not a leak.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	before := Descriptors()
	if code = m.Run(); code != 0 || flag.Lookup("test.fuzz").Value.String() != "" {
		return code
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		left, after := goroutines(), Descriptors()
		if left == "" && after <= before {
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "left behind by the tests: %d descriptors (%d before), goroutines:\n%s", after, before, left)
			return 1
		}
	}
}

// goroutines returns the stacks of all goroutines but the caller's and the
// runtime's own, which waits for signals.
func goroutines() (left string) {
	buffer := make([]byte, 4<<20)
	for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		if !strings.Contains(stack, "peal/scripts/leak.Main(") && !strings.Contains(stack, "os/signal.") {
			left += stack + "\n\n"
		}
	}
	return left
}

// Descriptors counts the open descriptors of this process.
func Descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries) - 1 // the directory itself
}
