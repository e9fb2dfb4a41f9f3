package loadtest

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// heartbeat measures how late a receiving loop is: a timer beside the connections,
// in the same poller, is due every beatEvery, and is handled like what they
// receive. It belongs to the loop's goroutine.
type heartbeat struct {
	timer     int
	due       int64         // Now() of the next beat
	cpu       time.Duration // of the process, at the last
	delivered uint64        // to the sink, at the last
}

const (
	beatEvery = 5 * time.Millisecond
	beatIndex = -2 // marks the timer among a poller's events, as wakeIndex does
)

func newHeartbeat(ep int) (*heartbeat, error) {
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	every := unix.NsecToTimespec(int64(beatEvery))
	h := &heartbeat{timer: timer, due: Now() + int64(beatEvery), cpu: ownCPU()}
	if err = unix.TimerfdSettime(timer, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Interval: every, Value: unix.NsecToTimespec(h.due)}, nil); err == nil {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: beatIndex})
	}
	if err != nil {
		unix.Close(timer)
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	return h, nil
}

// beat notes, for each delivery since the last beat, for how long the loop did not
// run although this one was due: without what the process itself ran meanwhile, for
// that is the cost of reading. The sink's lock is held.
func (h *heartbeat) beat(s *sink) {
	var b [8]byte
	if n, err := unix.Read(h.timer, b[:]); n < len(b) || err != nil {
		return // it was not due
	}
	cpu := ownCPU()
	late := Now() - h.due - int64(cpu-h.cpu)
	if s.counts.Delivered < h.delivered { // a new run has begun
		h.delivered = 0
	}
	if s.counts.Delivered > h.delivered {
		s.waits.recordMany(late, s.counts.Delivered-h.delivered)
	}
	h.due += int64(binary.NativeEndian.Uint64(b[:])) * int64(beatEvery)
	h.cpu, h.delivered = cpu, s.counts.Delivered
}

func ownCPU() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) // it cannot fail with a good pointer
	return time.Duration(ts.Nano())
}

func (h *heartbeat) close() { unix.Close(h.timer) }
