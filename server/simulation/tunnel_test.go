package simulation_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"peal/loop"
	"peal/loop/secure"
)

// identity has signatures of one length, so that a seed has one course.
var identity = sync.OnceValue(func() tls.Certificate {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
})

// encrypted puts TLS between the loops and the machine: the server's side of it, and
// below that a tunnel, which is the client's. The world beyond speaks plaintext.
func (w *world) encrypted(below loop.OpenKernel) loop.OpenKernel {
	layer := secure.New(secure.Config{
		TLS:      &tls.Config{Certificates: []tls.Certificate{identity()}},
		Lockstep: true, HandshakeTimeout: time.Hour, RecordTimeout: time.Hour,
	})
	layer.Serve(int(w.machine.listener.fd))
	open := layer.Open(func(number int, h loop.Handler) (loop.Kernel, error) {
		k, err := below(number, tunnelHandler{t: &w.tunnel, number: number})
		t := &tunnel{Kernel: k, w: w, above: h, ends: map[int32]*farEnd{}}
		w.tunnel = append(w.tunnel, t)
		return t, err
	})
	return func(number int, h loop.Handler) (loop.Kernel, error) {
		k, err := open(number, h)
		w.secured = append(w.secured, k)
		return unmarked{k}, err
	}
}

// cut ends what goroutines are left of handshakes when a life ends.
func (w *world) cut() {
	for _, t := range w.tunnel {
		for _, e := range t.ends {
			e.abandon()
		}
	}
	for i, k := range w.secured {
		if !w.tunnel[i].closed {
			k.Close()
		}
	}
	w.tunnel, w.secured = nil, nil
}

// unmarked keeps from the loop that its connections are encrypted: the world expects
// the refusals that those without TLS get.
type unmarked struct{ loop.Kernel }

func (u unmarked) Accept(listener int32) (loop.Arrival, error) {
	a, err := u.Kernel.Accept(listener)
	a.Secure = false
	return a, err
}

// tunnel is a kernel that has a TLS client for each connection of the machine.
type tunnel struct {
	loop.Kernel // the machine's
	w           *world
	above       loop.Handler
	ends        map[int32]*farEnd
	closed      bool
}

// tunnelHandler finds its tunnel when it is there: the machine's kernel is first.
type tunnelHandler struct {
	loop.Handler
	t      *[]*tunnel
	number int
}

func (h tunnelHandler) tunnel() *tunnel { return (*h.t)[h.number] }
func (h tunnelHandler) Polled()         { h.tunnel().above.Polled() }
func (h tunnelHandler) Turn()           { h.tunnel().above.Turn() }
func (h tunnelHandler) Tick()           { h.tunnel().above.Tick() }
func (h tunnelHandler) Ready(fd int32, e loop.Events) {
	t := h.tunnel()
	if end := t.ends[fd]; end != nil {
		t.ready(end, e)
		return
	}
	t.above.Ready(fd, e)
}

func (t *tunnel) ready(end *farEnd, e loop.Events) {
	if e&loop.Writable != 0 && !t.flush(end) {
		e &^= loop.Writable
	}
	if e != 0 {
		t.above.Ready(end.fd, e)
	}
}

// farEnd is the client of one connection.
type farEnd struct {
	t       *tunnel
	fd      int32
	tls     *tls.Conn
	wire    []byte // for the server
	come    []byte // from the server, not decrypted
	said    []byte // from the server, decrypted, and its socket has no room
	shaking bool
	err     error // of the handshake
	heard   bool  // the server has sent data, so that its handshake is done, too
	bye     error // io.EOF: the server has said close_notify
	shut    bool  // the socket ends behind said
	ended   error // of the socket: what comes behind wire
	gone    bool  // closed
	idle    chan struct{}
	goOn    chan struct{}
}

func (t *tunnel) Close() error {
	t.closed = true
	return t.Kernel.Close()
}

func (t *tunnel) Add(fd int32) error {
	if fd == t.w.machine.listener.fd {
		return t.Kernel.Add(fd)
	}
	if err := t.Kernel.Add(fd); err != nil {
		return err
	}
	e := &farEnd{t: t, fd: fd, shaking: true, idle: make(chan struct{}), goOn: make(chan struct{})}
	t.ends[fd] = e
	version := []uint16{tls.VersionTLS12, tls.VersionTLS13}[t.w.rnd.IntN(2)]
	e.tls = tls.Client(e, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, CurvePreferences: []tls.CurveID{tls.X25519}})
	go func() { // ends with the handshake, or by abandon
		e.err = e.tls.Handshake()
		e.shaking = false
		e.idle <- struct{}{}
	}()
	<-e.idle
	t.tell(e, loop.Readable)
	return nil
}

// tell makes an event.
func (t *tunnel) tell(e *farEnd, events loop.Events) {
	t.Trigger(func() {
		if !e.gone {
			t.ready(e, events)
			t.above.Polled()
		}
	})
}

func (t *tunnel) CloseSocket(fd int32) {
	if e := t.ends[fd]; e != nil {
		e.abandon()
		delete(t.ends, fd)
	}
	t.Kernel.CloseSocket(fd)
}

func (t *tunnel) Shutdown(fd int32) {
	e := t.ends[fd]
	if e == nil {
		t.Kernel.Shutdown(fd)
		return
	}
	if e.heard && e.bye != io.EOF && t.w.machine.socket(fd).endOf() != loop.EndBoth {
		t.w.fail("the server ends its side without close_notify: %v", e.bye)
	}
	if e.shut = len(e.said) > 0; !e.shut {
		t.Kernel.Shutdown(fd)
	}
}

func (t *tunnel) Read(fd int32, b []byte) (int, error) {
	e := t.ends[fd]
	if e == nil {
		return t.Kernel.Read(fd, b)
	}
	var plain [3000]byte
	for !e.shaking && e.err == nil && e.ended == nil && len(e.wire) < len(b) {
		n, err := t.Kernel.Read(fd, plain[:1+t.w.rnd.IntN(len(plain))])
		if n > 0 {
			e.tls.Write(plain[:n])
		}
		if err == loop.ErrAgain {
			break
		}
		if err == io.EOF && t.w.rnd.IntN(2) == 0 {
			e.tls.CloseWrite()
		}
		e.ended = err
	}
	switch n := copy(b, e.wire); {
	case n > 1 && t.w.rnd.IntN(8) == 0:
		n = 1 + t.w.rnd.IntN(n-1)
		e.wire = e.wire[n:]
		t.tell(e, loop.Readable|loop.NearEnd)
		return n, nil
	case n > 0:
		e.wire = e.wire[n:]
		return n, nil
	case e.ended != nil:
		return 0, e.ended
	}
	return 0, loop.ErrAgain
}

func (t *tunnel) Send(fd int32, b []byte) (n int, full bool, err error) {
	e := t.ends[fd]
	if e == nil {
		return t.Kernel.Send(fd, b)
	}
	if len(e.said) > 0 {
		if _, _, err := t.Kernel.Send(fd, e.said); err != nil {
			return 0, false, err // which the event before has told
		}
		t.w.fail("the server sends %d bytes to a full socket", len(b))
		return 0, true, nil
	}
	if n = len(b); n > 1 && t.w.rnd.IntN(8) == 0 {
		n = 1 + t.w.rnd.IntN(n-1)
		t.tell(e, loop.Writable) // it says that it is full, and has room soon
	}
	e.come = append(e.come, b[:n]...)
	e.pump()
	if _, _, err := t.push(e); err != nil {
		return 0, false, err
	}
	if full = n < len(b) || len(e.said) > 0; full {
		t.w.machine.socket(fd).fill()
	}
	return n, full, nil
}

// push sends what the server has said, as far as there is room.
func (t *tunnel) push(e *farEnd) (n int, full bool, err error) {
	if len(e.said) > 0 {
		n, full, err = t.Kernel.Send(e.fd, e.said)
		e.said = e.said[n:]
	}
	return n, full, err
}

// flush is push after an event that says that there is room.
func (t *tunnel) flush(e *farEnd) (room bool) {
	_, _, err := t.push(e)
	if len(e.said) > 0 && err == nil {
		return false
	}
	if e.shut {
		e.shut = false
		t.Kernel.Shutdown(e.fd)
	}
	return true
}

// pump has the client take what has come.
func (e *farEnd) pump() {
	if e.shaking {
		e.goOn <- struct{}{}
		<-e.idle
		if len(e.wire) > 0 || !e.shaking { // and what the world has sent meanwhile
			e.t.tell(e, loop.Readable|loop.NearEnd)
		}
		if e.shaking {
			return
		}
	}
	if e.err != nil {
		e.t.w.fail("the handshake of a client: %v", e.err)
		return
	}
	var b [16384]byte
	for e.bye == nil {
		n, err := e.tls.Read(b[:])
		e.said = append(e.said, b[:n]...)
		e.heard = e.heard || n > 0
		if errors.Is(err, errDry{}) {
			return
		}
		if e.bye = err; err != nil && err != io.EOF {
			e.t.w.fail("a client cannot decrypt: %v", err)
		}
	}
}

// abandon ends the client, and its goroutine if it is in a handshake.
func (e *farEnd) abandon() {
	e.gone = true
	if e.shaking {
		e.goOn <- struct{}{}
		<-e.idle
	}
}

// Read and Write are the client's side of the wire.
func (e *farEnd) Read(p []byte) (int, error) {
	for len(e.come) == 0 {
		if e.gone {
			return 0, io.ErrClosedPipe
		}
		if !e.shaking {
			return 0, errDry{}
		}
		e.idle <- struct{}{}
		<-e.goOn
	}
	n := copy(p, e.come)
	e.come = e.come[n:]
	return n, nil
}

func (e *farEnd) Write(p []byte) (int, error) {
	e.wire = append(e.wire, p...)
	return len(p), nil
}

func (*farEnd) Close() error                     { return nil }
func (*farEnd) LocalAddr() net.Addr              { return nil }
func (*farEnd) RemoteAddr() net.Addr             { return nil }
func (*farEnd) SetDeadline(time.Time) error      { return nil }
func (*farEnd) SetReadDeadline(time.Time) error  { return nil }
func (*farEnd) SetWriteDeadline(time.Time) error { return nil }

type errDry struct{}

func (errDry) Error() string   { return "nothing has come" }
func (errDry) Timeout() bool   { return true }
func (errDry) Temporary() bool { return true }

// TestSimulationOverTLS runs schedules with TLS below the loops. What the oracle demands
// is the same. PEAL_SEED and PEAL_SEEDS are as in TestSimulation.
func TestSimulationOverTLS(t *testing.T) {
	seeds := uint64(40)
	if raceEnabled || testing.Short() {
		seeds = 10
	}
	first, seeds := seedsFromEnv(t, seeds)
	var sum counts
	for seed := first; seed < first+seeds && !t.Failed(); seed++ {
		var w *world
		synctest.Test(t, func(*testing.T) {
			w = newWorld(seed, bug{tls: true})
			w.run(stepsOfSeed)
			w.cut()
		})
		if w.failure != "" {
			t.Errorf("%s\nalone: PEAL_SEED=%d go test ./server/simulation -run '^TestSimulationOverTLS$'", w.failure, seed)
		}
		for i, n := range w.counts {
			sum[i] += n
		}
	}
	t.Logf("seeds %d–%d, %d steps each: %s", first, first+seeds-1, stepsOfSeed, sum)
}
