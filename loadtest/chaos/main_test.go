package chaos

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails on goroutines that outlive the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leaked(5 * time.Second); left != "" {
			fmt.Fprintln(os.Stderr, "goroutines left behind:\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines of ours that do not end within wait.
func leaked(wait time.Duration) string {
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		buffer := make([]byte, 1<<20)
		left := ""
		for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
			if strings.Contains(stack, "peal/loadtest") && !strings.Contains(stack, "TestMain") {
				left += stack + "\n\n"
			}
		}
		if left == "" || time.Now().After(end) {
			return left
		}
	}
}
