package loop

import (
	"log/slog"
	"syscall"

	"golang.org/x/sys/unix"
)

// LimitSubmissions has the kernel take at most n sends of a submission.
func LimitSubmissions(k Gatherer, n int) {
	u := k.(*gathering).ring
	u.enter = func(fd, sends, wait int) (int, syscall.Errno) {
		if n == 0 && sends > 0 {
			return 0, unix.EAGAIN
		}
		return enterRing(fd, min(n, sends), wait)
	}
}

// TryWaitingRing tries a ring as of a kernel in which sends wait in spite of MSG_DONTWAIT.
func TryWaitingRing() error {
	u := &uring{fd: -1}
	u.enter = func(fd, n, wait int) (int, syscall.Errno) {
		for i := range n {
			u.sqes[(*u.submitHead+uint32(i))&u.submitMask].msgFlags &^= unix.MSG_DONTWAIT
		}
		return enterRing(fd, n, wait)
	}
	defer u.close()
	if err := u.open(); err != nil {
		return err
	}
	return u.try()
}

// OpenForbidden is OpenGathering on a system that forbids io_uring.
func OpenForbidden(log *slog.Logger) OpenKernel {
	return openGathering(log, func() (*uring, error) { return nil, unix.EPERM })
}
