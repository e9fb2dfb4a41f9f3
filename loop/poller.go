package loop

import (
	"github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"
)

// poller is what a loop needs of an event loop: little enough that a test, or
// another library, can be one.
type poller interface {
	// Add registers fd edge-triggered for reading and writing, for good.
	Add(fd int) error
	// Trigger has task run on the loop soon. Any goroutine may call it.
	Trigger(task func() error) error
	// Polling calls event for what is ready until event or a task returns errStop.
	Polling(event func(fd int, e events) error) error
	Close() error
}

// events is a set of epoll's event bits.
type events uint32

func (e events) readable() bool {
	return e&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLERR|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0
}
func (e events) writable() bool { return e&unix.EPOLLOUT != 0 }

// ending says that the peer's end may be close behind what can be read.
func (e events) ending() bool { return e&(unix.EPOLLERR|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0 }

// broken says that nothing can be sent to the peer any more.
func (e events) broken() bool { return e&(unix.EPOLLERR|unix.EPOLLHUP) != 0 }

// errStop ends Polling.
var errStop = errors.ErrEngineShutdown

// gnetPoller is gnet's epoll loop.
type gnetPoller struct{ p *netpoll.Poller }

func openPoller() (poller, error) {
	p, err := netpoll.OpenPoller()
	if err != nil {
		return nil, err
	}
	return &gnetPoller{p}, nil
}

func (g *gnetPoller) Add(fd int) error {
	return g.p.AddReadWrite(&netpoll.PollAttachment{FD: fd}, true)
}

func (g *gnetPoller) Trigger(task func() error) error {
	return g.p.Trigger(queue.HighPriority, run, task)
}

// run is one function for all tasks, so that Trigger makes no closure.
func run(task any) error { return task.(func() error)() }

func (g *gnetPoller) Polling(event func(fd int, e events) error) error {
	return g.p.Polling(func(fd int, e netpoll.IOEvent, _ netpoll.IOFlags) error { return event(fd, events(e)) })
}

func (g *gnetPoller) Close() error { return g.p.Close() }
