package gate

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Here is this machine, with the Go that this program was built by.
func Here() Environment {
	var kernel unix.Utsname
	_ = unix.Uname(&kernel) // it cannot fail with a good pointer
	return Environment{CPU: cpuModel(), CPUs: runtime.NumCPU(), Kernel: unix.ByteSliceToString(kernel.Release[:]), Go: runtime.Version()}
}

// cpuModel is the first processor's name, and its architecture where the kernel
// says no name.
func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // missing: no name
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
