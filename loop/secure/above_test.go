package secure_test

import (
	"fmt"
	"io"
	"net/netip"

	"peal/loop"
)

// above stands for the loop above the layer, and holds the layer to the contract of
// a Kernel: it reads after an event only, goes on only after a full read, and
// sends after it was full only when it is writable.
type above struct {
	kernel loop.Kernel
	m      *machine
	conns  map[int32]*upper
	again  []*upper
	accept func(a loop.Arrival) bool // nil: all are added
}

// upper is a connection as the loop above has it.
type upper struct {
	fd       int32
	secure   bool
	peer     netip.AddrPort
	readable bool
	ending   bool
	stopped  bool // it does not read now
	got      []byte
	ended    bool
	err      error
	closed   bool
	owed     []byte // to be sent
	full     bool
	shut     bool // ends its side behind what is owed
	most     int  // bytes of one read, 0: any number
	events   int
}

var _ loop.Handler = (*above)(nil)

func (a *above) Ready(fd int32, e loop.Events) {
	if fd == listener || fd == plainListener {
		for {
			arrival, err := a.kernel.Accept(fd)
			if err != nil {
				return
			}
			if a.accept != nil && !a.accept(arrival) {
				a.kernel.CloseSocket(arrival.Socket)
				continue
			}
			a.conns[arrival.Socket] = &upper{fd: arrival.Socket, secure: arrival.Secure, peer: arrival.Peer}
			if err := a.kernel.Add(arrival.Socket); err != nil {
				panic(err)
			}
		}
	}
	u := a.conns[fd]
	if u == nil || u.closed {
		panic(fmt.Sprintf("an event of descriptor %d, which is not open", fd))
	}
	u.events++
	if e&loop.Writable != 0 {
		u.full = false
		a.send(u)
	}
	if e&loop.Readable != 0 && !u.closed {
		u.readable = true
		u.ending = u.ending || e&loop.NearEnd != 0
		a.read(u)
	}
}

func (a *above) read(u *upper) {
	for u.readable && !u.stopped && !u.ended && !u.closed {
		size := u.most
		if size == 0 {
			size = 1 << a.m.rnd.IntN(17)
		}
		b := make([]byte, size)
		n, err := a.kernel.Read(u.fd, b)
		switch err {
		case nil:
			if n == 0 {
				panic("a read of nothing without an error")
			}
		case loop.ErrAgain:
			u.readable, u.ending = false, false
			return
		case io.EOF:
			u.ended, u.readable = true, false
			return
		default:
			u.err = err
			a.close(u)
			return
		}
		u.got = append(u.got, b[:n]...)
		if n < size {
			if !u.ending {
				u.readable = false
			}
			continue
		}
		if a.m.rnd.IntN(2) == 0 {
			a.again = append(a.again, u)
			a.kernel.Yield()
			return
		}
	}
}

func (a *above) send(u *upper) {
	for len(u.owed) > 0 && !u.full && !u.closed {
		n, full, err := a.kernel.Send(u.fd, u.owed[:1+a.m.rnd.IntN(len(u.owed))])
		if err != nil {
			u.err = err
			a.close(u)
			return
		}
		u.owed = u.owed[n:]
		u.full = full
	}
	if len(u.owed) == 0 && u.shut && !u.full && !u.closed {
		u.shut = false
		a.kernel.Shutdown(u.fd)
	}
}

func (a *above) close(u *upper) {
	u.closed = true
	a.kernel.CloseSocket(u.fd)
}

func (a *above) Turn() {
	again := a.again
	a.again = nil
	for _, u := range again {
		a.read(u)
	}
}

func (a *above) Polled() {}
func (a *above) Tick()   {}

func (a *above) Peer(fd int32, peer netip.AddrPort) bool {
	a.conns[fd].peer = peer
	return true
}
