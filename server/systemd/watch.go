package systemd

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// WatchdogInterval is WatchdogSec= of the unit, 0 without: systemd ends a server from
// which it hears nothing for that long.
func WatchdogInterval() (time.Duration, error) {
	process, text := take("WATCHDOG_PID"), take("WATCHDOG_USEC")
	if text == "" || process != "" && process != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q: must be a positive number of microseconds", text)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Watch calls check four times in each interval, until ctx ends, and reports success
// to systemd. check gets a quarter of the interval. After a failure, which is passed to
// failed, nothing is reported: if check does not succeed again in time, systemd ends
// the server.
func (n *Notifier) Watch(ctx context.Context, interval time.Duration, check func(context.Context) error, failed func(error)) {
	every := time.NewTicker(interval / 4)
	defer every.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, interval/4)
		err := check(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = n.send("WATCHDOG=1")
		}
		if err != nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
