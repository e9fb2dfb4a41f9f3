package loadtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// This file says when the epoll kind opens its connections, and what becomes of
// those that end. It runs on the goroutine of loop, but for drop.

// retry is a connection to open again at a time.
type retry struct {
	conn int
	at   int64
}

// retryAfter is how long a client waits that could not come back, without a Backoff.
const retryAfter = 100 * time.Millisecond

// begin starts opening everything, in wait from now.
func (k *epollKind) begin(wait time.Duration) {
	k.next, k.opening, k.retries = 0, 0, k.retries[:0]
	k.opened = Opened{Handshake: NewLatency()}
	k.due = Now() + int64(wait)
	k.deadline = k.due + int64(k.spec.Timeout)
}

// openMore starts the connections that are due until Window of them are under
// way. It returns the milliseconds until the next is due, −1 if none waits for
// its time.
func (k *epollKind) openMore() (timeout int) {
	now := Now()
	for len(k.retries) > 0 && k.retries[0].at <= now {
		i := k.retries[0].conn
		k.retries = k.retries[1:]
		k.opening++
		k.start(i)
	}
	for k.next < len(k.conns) && k.opening < k.spec.Window && k.dueAt(k.next) <= now {
		i := k.next
		k.next++
		k.opening++
		if k.spec.OpenRate > 0 {
			k.conns[i].began = k.dueAt(i)
		}
		k.start(i)
	}
	timeout = -1
	if len(k.retries) > 0 {
		timeout = untilMs(k.retries[0].at, now)
	}
	if k.next < len(k.conns) && k.opening < k.spec.Window {
		if t := untilMs(k.dueAt(k.next), now); timeout < 0 || t < timeout {
			timeout = t
		}
	}
	return timeout
}

func (k *epollKind) dueAt(i int) int64 {
	if k.spec.OpenRate > 0 {
		return k.due + int64(float64(i)/k.spec.OpenRate*1e9)
	}
	return k.due
}

// untilMs rounds up, so that what is waited for is due.
func untilMs(at, now int64) int { return int(max(at-now+999_999, 0) / 1e6) }

func (k *epollKind) start(i int) {
	if err := k.connect(i); err != nil {
		k.sink.mu.Lock()
		k.fail(&k.conns[i], i, err)
		k.sink.mu.Unlock()
	}
}

// subscribed counts a connection as opened. The sink's lock is held.
func (k *epollKind) subscribed(c *leanConn) {
	c.known, c.attempts = true, 0
	if c.continuing { // it always was
		c.continuing = false
		return
	}
	k.opening--
	if c.stalled {
		_ = unix.EpollCtl(k.ep, unix.EPOLL_CTL_DEL, c.fd, nil) // from here on it is not read
		return
	}
	now := Now()
	k.opened.Connections++
	if c.deflated {
		k.opened.Deflated++
	}
	k.opened.Handshake.Record(now - c.began)
	k.sink.open++
	k.sink.backLocked(c.sub, now, k.spec.Backoff != nil)
}

// fail closes c, which is connection i. Before it was subscribed that is a
// failure to open; with Resume it comes back until the deadline. The sink's
// lock is held.
func (k *epollKind) fail(c *leanConn, i int, err error) {
	streamed := c.state == leanStream || c.continuing
	if errors.Is(err, ErrUnreadable) {
		k.sink.unreadLocked(c.sub, err)
	}
	k.sink.ends = AddEnd(k.sink.ends, endOf(err))
	if streamed {
		k.sink.closed++
		k.sink.open--
		k.opened.Connections--
		if c.deflated {
			k.opened.Deflated--
		}
	} else {
		k.opening--
	}
	k.shut(c)
	now := Now()
	switch {
	case k.spec.Resume && !c.stalled && !final(err) && (streamed || now < k.deadline || c.known && k.spec.Backoff != nil):
		if streamed {
			k.deadline = max(k.deadline, now+int64(k.spec.Timeout))
			c.began = 0
			k.sink.droppedLocked(c.sub, now)
		}
		k.retryLater(c, i, now)
		return
	case streamed:
		return
	}
	k.opened.Failed++
	k.opened.FirstError = cmp.Or(k.opened.FirstError, err.Error())
}

// retryLater lets connection i come back after its delay.
func (k *epollKind) retryLater(c *leanConn, i int, now int64) {
	first := time.Duration(0)
	if c.wire != nil {
		first = c.wire.retry
	}
	at := now + int64(k.spec.Backoff.delay(c.attempts, first))
	c.attempts = min(c.attempts, 200) + 1
	n, _ := slices.BinarySearchFunc(k.retries, at, func(r retry, at int64) int { return cmp.Compare(r.at, at) })
	k.retries = slices.Insert(k.retries, n, retry{i, at})
}

// shut closes c and forgets what was half read.
func (k *epollKind) shut(c *leanConn) {
	if c.fd != 0 {
		unix.Close(c.fd)
	}
	*c = leanConn{sub: c.sub, wire: c.wire.kept(), dials: c.dials, attempts: c.attempts, known: c.known, stalled: c.stalled, state: leanClosed, began: c.began, cursor: c.cursor}
}

// giveUp fails what is not open at the deadline.
func (k *epollKind) giveUp() {
	k.sink.mu.Lock()
	defer k.sink.mu.Unlock()
	k.opening += len(k.conns) - k.next + len(k.retries)
	for _, r := range k.retries {
		k.conns[r.conn].state = leanConnect
	}
	k.next, k.retries = len(k.conns), nil
	for i := range k.conns {
		if s := k.conns[i].state; s != leanStream && s != leanClosed && !k.conns[i].continuing {
			k.fail(&k.conns[i], i, k.late(&k.conns[i]))
		}
	}
}

// late is the error of a connection that was not open in time.
func (k *epollKind) late(c *leanConn) error {
	switch {
	case c.fd == 0:
		return fmt.Errorf("opening took longer than %v", k.spec.Timeout)
	case c.state == leanConnect:
		return &sided{fmt.Errorf("no TCP connection within %v", k.spec.Timeout), SideNetwork}
	}
	return fmt.Errorf("opening took longer than %v: ended %s", k.spec.Timeout, k.waitsFor(c, len(c.partial) > 0))
}

// dropAll ends all connections and lets them come back after away.
func (k *epollKind) dropAll(away time.Duration) {
	k.sink.mu.Lock()
	defer k.sink.mu.Unlock()
	now := Now()
	for i := range k.conns {
		c := &k.conns[i]
		if c.stalled {
			continue
		}
		k.shut(c)
		c.state, c.began = leanConnect, 0
		k.sink.droppedLocked(c.sub, now)
	}
	k.sink.open = 0
	k.begin(away)
}

// drop is called by another goroutine, after open has returned.
func (k *epollKind) drop(away time.Duration) error {
	if !k.spec.Resume || k.spec.Stalled > 0 {
		return errors.New("only subscribers that resume and do not stall can be dropped")
	}
	select {
	case <-k.result: // of an earlier drop, not collected by open
	default:
	}
	k.drops <- away
	wakeUp(k.wake)
	return nil
}
