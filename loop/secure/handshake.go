package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"peal/loop"
)

// maxHandshake is how much is read of a client before its handshake is done, a chain of
// certificates included. A client may send data behind its handshake before the server has
// looked at that: the rest of it is read later.
const maxHandshake = 64 << 10

// handshake is what a connection has until its handshake is done. The goroutine that
// makes it reads and writes here; the loop brings the one and sends the other.
type handshake struct {
	// Fixed when it is queued.
	conn  *conn
	tls   *tls.Conn
	peer  netip.AddrPort
	share uint64
	task  func() // what the loop does when it was told

	// Loop-owned.
	hello hello
	total int  // bytes that have come
	held  int  // bytes counted in kernel.input
	near  bool // its end was announced, and may lie behind what was read

	// The queue's: see queue.go.
	place      place
	prev, next *handshake

	// Shared.
	mu     sync.Mutex // guards the fields below
	came   sync.Cond  // ready returns true
	in     []byte     // what has come and crypto/tls does not have yet
	left   int        // bytes that it has still to get of the record at the front
	out    []byte     // what it has written and the loop has not sent
	waits  bool       // the goroutine waits for more
	ended  bool       // the client has ended its side
	spent  bool       // maxHandshake has come
	over   bool       // interrupted: the loop wants to hear nothing more
	told   bool       // task is under way
	done   bool       // with err as the result
	err    error
	paused chan struct{} // Config.Lockstep: has an element when the goroutine waits or has ended
}

var errInterrupted = errors.New("tls: the handshake was interrupted")

func newHandshake(c *conn, peer netip.AddrPort) *handshake {
	h := &handshake{conn: c, peer: peer}
	h.came.L = &h.mu
	h.task = func() { c.kernel.progress(h) }
	if c.kernel.layer.config.Lockstep {
		h.paused = make(chan struct{}, 1)
	}
	return h
}

// What follows runs in the goroutine of the handshake.

// start runs a handshake that the queue has let through.
func (l *Layer) start(h *handshake) {
	go l.run(h) // ends with the handshake: kernel.Close interrupts it and waits
	if h.paused != nil {
		<-h.paused
	}
}

func (l *Layer) run(h *handshake) {
	l.computing <- struct{}{}
	err := h.tls.Handshake()
	<-l.computing
	h.mu.Lock()
	h.done, h.err = true, err
	h.tell()
	h.mu.Unlock()
	for _, next := range l.queue.leave(h) {
		l.start(next)
	}
	h.conn.kernel.running.Done()
	if h.paused != nil {
		h.paused <- struct{}{}
	}
}

// read gives crypto/tls the record at the front, as far as p has room, and waits until it is
// complete. It never gives a part of the next: crypto/tls must not keep it.
func (h *handshake) read(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ready() { // somebody else may compute
		<-h.conn.kernel.layer.computing
		for h.waits = true; !h.ready(); {
			if h.paused != nil {
				h.paused <- struct{}{}
			}
			h.came.Wait()
		}
		h.waits = false
		h.mu.Unlock()
		h.conn.kernel.layer.computing <- struct{}{}
		h.mu.Lock()
	}
	if h.over {
		return 0, errInterrupted
	}
	if h.left == 0 {
		size, whole := recordSize(h.in)
		switch {
		case whole:
		case h.spent:
			return 0, errOversize
		default:
			return 0, io.EOF
		}
		h.left = size
	}
	n = copy(p, h.in[:h.left])
	h.in = h.in[n:]
	h.left -= n
	return n, nil
}

// ready reports whether read can return. mu is held.
func (h *handshake) ready() bool {
	_, whole := recordSize(h.in)
	return whole || h.left > 0 || h.ended || h.spent || h.over
}

func (h *handshake) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out = append(h.out, p...)
	h.tell()
	return len(p), nil
}

// tell has the loop look at the handshake. mu is held.
func (h *handshake) tell() {
	if !h.told && !h.over {
		h.told = true
		h.conn.kernel.poke(h.task)
	}
}

// What follows runs on the loop.

// bring hands on what has come.
func (h *handshake) bring(b []byte, ended bool) {
	h.mu.Lock()
	h.in = append(h.in, b...)
	h.ended = ended
	h.spent = h.total == maxHandshake
	h.signal()
}

// interrupt ends the handshake as soon as possible.
func (h *handshake) interrupt() {
	h.mu.Lock()
	h.over, h.in, h.out, h.left = true, nil, nil, 0
	h.signal()
}

// signal wakes the goroutine if it has something to do. mu is held, and given back.
func (h *handshake) signal() {
	wake := h.waits && h.ready()
	if wake {
		h.came.Signal()
	}
	h.mu.Unlock()
	if wake && h.paused != nil {
		<-h.paused
	}
}

// receive takes what has come of a handshake. near: the end is announced, and must be read.
func (k *kernel) receive(c *conn, near bool) {
	c.shake.near = c.shake.near || near
	for {
		b := k.cipher[:min(cipherBytes, maxHandshake-c.shake.total)]
		if len(b) == 0 {
			return // opened has the rest read
		}
		n, err := k.below.Read(c.fd, b)
		switch {
		case err == loop.ErrAgain:
			return
		case err == io.EOF:
			c.ended = true
			if c.state == stateHello || k.layer.queue.abandon(c.shake) {
				k.fail(c, ReasonGone)
				return
			}
			c.shake.bring(nil, true) // what it has sent may suffice
			return
		case err != nil:
			c.ended = true
			k.fail(c, ReasonGone)
			return
		}
		k.gather(c, b[:n])
		if c.state != stateHello && c.state != stateShaking || n < len(b) && !near {
			return
		}
	}
}

// gather is receive for what was read.
func (k *kernel) gather(c *conn, b []byte) {
	h := c.shake
	h.total += len(b)
	h.held += len(b)
	k.hold(len(b))
	h.bring(b, false)
	if c.state == stateHello {
		whole, err := h.hello.advance(h.in) // no goroutine has it yet
		switch {
		case err == errOversize, !whole && err == nil && h.total == maxHandshake:
			k.fail(c, ReasonOversize)
			return
		case err != nil:
			if is, maybe := isHTTP(h.in); is {
				k.fail(c, ReasonPlain)
			} else if !maybe {
				k.fail(c, ReasonNotTLS)
			}
			return
		case whole:
			k.begin(c)
		}
	}
	k.limitInput()
}

// begin gives the handshake a goroutine, now or when it is its turn.
func (k *kernel) begin(c *conn) {
	h := c.shake
	c.tls = tls.Server(c, k.layer.config.TLS)
	c.state, h.tls, h.share = stateShaking, c.tls, c.share
	now, victim := k.layer.queue.join(h)
	if now {
		k.layer.start(h)
	}
	if victim != nil {
		k.complain()
		victim.refuse()
	}
}

// refuse ends a handshake, of any loop, that has no place in the queue.
func (h *handshake) refuse() {
	h.mu.Lock()
	h.done, h.err = true, errRefused
	h.tell()
	h.mu.Unlock()
}

var errRefused = errors.New("tls: too many clients wait for their handshake")

// progress sends what the goroutine has written, and takes the result.
func (k *kernel) progress(h *handshake) {
	h.mu.Lock()
	out, done, err := h.out, h.done, h.err
	h.out, h.told = nil, false
	h.mu.Unlock()
	c := h.conn
	if c.state != stateShaking {
		return
	}
	if len(out) > 0 {
		k.put(c, out)
	}
	switch {
	case c.err != nil:
		k.fail(c, ReasonGone)
	case done && err != nil:
		k.fail(c, reasonOf(err))
	case done:
		k.opened(c)
	}
}

// opened is called once the handshake is done: nothing of it is kept.
func (k *kernel) opened(c *conn) {
	h := c.shake
	c.shake, c.state = nil, stateOpen
	k.hold(-h.held)
	k.holdIn(c, h.in)
	takeBack(c.tls)
	counts := &k.layer.counts
	s := c.tls.ConnectionState()
	if s.DidResume {
		counts.resumed.Add(1)
	} else {
		counts.full.Add(1)
	}
	if s.Version == tls.VersionTLS13 {
		counts.tls13.Add(1)
	} else {
		counts.tls12.Add(1)
	}
	e := loop.Readable
	if !c.full {
		e |= loop.Writable
	}
	if c.ended || h.near {
		e |= loop.NearEnd
	}
	k.above.Ready(c.fd, e)
	k.above.Polled() // it may be in a task, behind which none follows
}

// interrupt ends a handshake that is not done.
func (k *kernel) interrupt(c *conn, r Reason) {
	k.layer.counts.failed[r].Add(1)
	h := c.shake
	k.layer.queue.abandon(h)
	h.interrupt()
	k.hold(-h.held)
	h.held = 0
}

// fail ends a connection before its handshake is done.
func (k *kernel) fail(c *conn, r Reason) {
	h := c.shake
	if c.state == stateHello { // crypto/tls has said nothing
		switch {
		case r == ReasonGone, r == ReasonTimeout:
		case r == ReasonPlain:
			k.put(c, []byte(plainAnswer))
		case len(h.in) > 0 && h.in[0] == typeHandshake:
			k.put(c, alertFor(r))
		}
	} else if r == ReasonRefused {
		k.put(c, alertFor(r))
	}
	k.interrupt(c, r)
	if r == ReasonGone || r == ReasonTimeout || r == ReasonMemory || c.ended || c.err != nil {
		k.part(c)
		return
	}
	c.state = stateParting
	if c.shut = len(c.kept) > 0; !c.shut {
		k.below.Shutdown(c.fd)
	}
	k.await(&k.partings, c)
}

// discard reads what a client sends that has time to read why its handshake has
// failed: closed with input unread, the connection would be reset.
func (k *kernel) discard(c *conn) {
	for range 4 {
		n, err := k.below.Read(c.fd, k.cipher[:])
		if err == loop.ErrAgain {
			return
		}
		if err != nil {
			k.part(c)
			return
		}
		if n < len(k.cipher) {
			return
		}
	}
	k.later(c, loop.Readable)
}

// part has the loop above close a connection without a handshake.
func (k *kernel) part(c *conn) {
	c.state, c.err = stateEnded, errFailed
	k.keep(c, nil)
	k.later(c, loop.Readable|loop.NearEnd|loop.Broken)
}

// alertFor is an alert before there are keys.
func alertFor(r Reason) []byte {
	const (
		fatal             = 2
		unexpectedMessage = 10
		recordOverflow    = 22
		internalError     = 80
	)
	code := byte(internalError)
	switch r {
	case ReasonNotTLS:
		code = unexpectedMessage
	case ReasonOversize:
		code = recordOverflow
	}
	return []byte{typeAlert, 3, 1, 0, 2, fatal, code}
}

// reasonOf sorts the errors of crypto/tls.
func reasonOf(err error) Reason {
	var remote *net.OpError
	var header tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	switch {
	case err == errRefused:
		return ReasonRefused
	case errors.Is(err, errOversize):
		return ReasonOversize
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ReasonGone
	case errors.As(err, &remote) && remote.Op == "remote error":
		return ReasonAlert
	case errors.As(err, &certificate), err.Error() == "tls: client didn't provide a certificate":
		return ReasonCertificate
	case errors.As(err, &header):
		return ReasonNotTLS
	}
	return ReasonProtocol
}

// plainBody is for a client that speaks HTTP without TLS.
const plainBody = `{"error":{"code":"https_required","message":"this port speaks HTTPS: use an address that begins with https:// or wss://"}}`

var plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(plainBody)) + "\r\nConnection: close\r\n\r\n" + plainBody
