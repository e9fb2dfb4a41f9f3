package loadtest

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockBase ties this process' monotonic reading to the machine's
// CLOCK_MONOTONIC, which all processes share. time.Since is answered by the
// vDSO; unix.ClockGettime would be a system call per message.
var clockStart, clockBase = func() (time.Time, int64) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("loadtest: CLOCK_MONOTONIC: " + err.Error()) // exists on every Linux
	}
	return time.Now(), ts.Nano()
}()

// Now returns the machine's monotonic time in nanoseconds. Values of different
// processes on one machine can be compared, to within a microsecond or so.
func Now() int64 { return clockBase + int64(time.Since(clockStart)) }
