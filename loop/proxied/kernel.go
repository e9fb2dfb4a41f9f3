package proxied

import (
	"errors"
	"time"

	"peal/loop"
)

// kernel is the one below, with headers taken off what connections begin with.
type kernel struct {
	loop.Kernel
	layer *Layer
	above loop.Handler
	begun map[int32]*beginning // by socket, of those in layer.awaited from which something was read
	quiet time.Duration        // no line of the log before this
}

// beginning is what has come of a connection before it is known whether that is a
// header, or what a small read has left behind it.
type beginning struct {
	bytes   []byte
	since   time.Duration // when the first of them came
	decided bool          // bytes are behind the header, or there was none
	late    bool
}

var (
	errMalformed = errors.New("malformed PROXY header")
	errUnwelcome = errors.New("no connection is taken of the client of the proxy")
	errLate      = errors.New("the PROXY header was not whole in time")
)

var (
	_ loop.Kernel = (*kernel)(nil)
	_ loop.Keeper = (*kernel)(nil)
)

func (k *kernel) Accept(listener int32) (loop.Arrival, error) {
	a, err := k.Kernel.Accept(listener)
	if err == nil && k.layer.config.Trusted(a.Peer.Addr()) {
		k.layer.awaited.set(a.Socket)
	}
	return a, err
}

// Keeps and Await are loop.Keeper's.
func (k *kernel) Keeps(socket int32) loop.Keeping {
	switch {
	case !k.layer.awaited.has(socket):
		return loop.KeepsOf(k.Kernel, socket)
	case k.begun[socket] == nil:
		return loop.KeepsBeginning
	}
	return loop.KeepsInput
}

func (k *kernel) Await(a loop.Arrival) {
	if k.layer.config.Trusted(a.Peer.Addr()) {
		k.layer.awaited.set(a.Socket)
	}
	loop.AwaitOn(k.Kernel, a)
}

// Gatherer is the one below: only what is read is changed here.
func (k *kernel) Gatherer() loop.Gatherer { return loop.GathererOf(k.Kernel) }

func (k *kernel) CloseSocket(socket int32) {
	k.settled(socket)
	k.Kernel.CloseSocket(socket)
}

// settled forgets what was known of the beginning of a connection.
func (k *kernel) settled(socket int32) {
	if k.layer.awaited.has(socket) {
		k.layer.awaited.clear(socket)
		delete(k.begun, socket)
	}
}

func (k *kernel) Read(socket int32, b []byte) (int, error) {
	if !k.layer.awaited.has(socket) {
		return k.Kernel.Read(socket, b)
	}
	s := k.begun[socket]
	switch {
	case s == nil:
	case s.late:
		return 0, errLate
	case s.decided:
		return k.deliver(socket, s, b)
	}
	for {
		n, err := k.Kernel.Read(socket, b)
		if err != nil {
			return 0, err
		}
		if s == nil {
			if what, _, err := measure(b[:n]); what == absent && err == nil {
				k.settled(socket)
				return n, nil
			}
			s = &beginning{since: k.Now()}
		}
		s.bytes = append(s.bytes, b[:n]...)
		decided, err := k.decide(socket, s)
		if err != nil {
			return 0, err
		}
		if decided {
			return k.deliver(socket, s, b)
		}
		k.begun[socket] = s
	}
}

// decide finds out whether the connection begins with a header, and takes it off.
func (k *kernel) decide(socket int32, s *beginning) (decided bool, err error) {
	what, n, err := measure(s.bytes)
	if err != nil {
		return false, k.refuse(err)
	}
	switch what {
	case partial:
		return false, nil
	case whole:
		client, named, err := parse(s.bytes[:n])
		if err != nil {
			return false, k.refuse(err)
		}
		k.layer.headers.Add(1)
		if s.bytes = s.bytes[n:]; named && !k.above.Peer(socket, client) {
			return false, errUnwelcome
		}
	}
	s.decided = true
	return true, nil
}

// deliver hands on what is behind the header, and then reads on: a result shorter than
// b says that there is no more.
func (k *kernel) deliver(socket int32, s *beginning, b []byte) (int, error) {
	n := copy(b, s.bytes)
	if s.bytes = s.bytes[n:]; len(s.bytes) > 0 {
		k.begun[socket] = s
		return n, nil
	}
	k.settled(socket)
	if n == len(b) {
		return n, nil
	}
	more, err := k.Kernel.Read(socket, b[n:])
	if err != nil && n > 0 {
		return n, nil // the next read has an end again
	}
	return n + more, err
}

func (k *kernel) refuse(err error) error {
	k.layer.malformed.Add(1)
	k.warn("client closed: a trusted proxy sent a malformed PROXY header", err)
	return errMalformed
}

// warn logs a line, at most one a second.
func (k *kernel) warn(message string, err error) {
	if now := k.Now(); now >= k.quiet {
		k.quiet = now + time.Second
		k.layer.config.Log.Warn(message+"; remove the address from trusted-proxies if it is no proxy", "error", err)
	}
}

// expire ends the connections whose header is late: reading them fails from now on.
func (k *kernel) expire() {
	if len(k.begun) == 0 {
		return
	}
	now := k.Now()
	for socket, s := range k.begun {
		if !s.decided && !s.late && now-s.since >= k.layer.config.Timeout {
			s.late = true
			k.layer.late.Add(1)
			k.warn("client closed: the PROXY header of a trusted proxy was not complete within head-timeout", errLate)
			k.above.Ready(socket, loop.Readable|loop.NearEnd|loop.Broken)
			k.above.Polled()
		}
	}
}
