package secure

import (
	"errors"
	"io"
	"time"

	"peal/loop"
)

// maxRecords is how many records one call of Read decrypts, so that a client with tiny
// records does not keep the loop for long. The others are read in a turn.
const maxRecords = 128

// maxUnfinished is how much of an unfinished handshake message crypto/tls may keep
// after the handshake. A KeyUpdate has 5 bytes, and nothing else is expected.
const maxUnfinished = 256

var (
	errVain   = errors.New("tls: too many records without data")
	errLate   = errors.New("tls: a record was not complete in time")
	errSlow   = errors.New("tls: too many sockets take nothing, and too much is kept for this one")
	errHeavy  = errors.New("tls: too much input that cannot be decrypted yet")
	errFailed = errors.New("tls: the handshake has failed")
)

// Read decrypts what has come. As of any Kernel, a result shorter than b says that there
// is no more: what is here and was not decrypted has an event to come.
func (k *kernel) Read(fd int32, b []byte) (n int, err error) {
	c := k.conn(fd)
	if c == nil {
		return k.below.Read(fd, b)
	}
	switch c.state {
	case stateOpen:
	case stateEnded:
		return 0, c.err
	default:
		return 0, loop.ErrAgain
	}
	if len(c.plain) > 0 {
		n = copy(b, c.plain)
		k.holdPlain(c, c.plain[n:])
	}
	m, err := k.decrypt(c, b[n:])
	n += m
	if n > 0 && err != nil && err != loop.ErrAgain {
		k.later(c, loop.Readable|loop.NearEnd) // the next call returns it
		return n, nil
	}
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// decrypt reads records until b is full, or there are no more (loop.ErrAgain), or
// the connection has ended.
func (k *kernel) decrypt(c *conn, b []byte) (n int, err error) {
	// What has come and was not decrypted. crypto/tls refers to the last record until
	// the next, which must not hold a buffer of the connection's own in memory.
	here := k.cipher[:copy(k.cipher[:], c.in)]
	short := false
	c.dry = false
	for records := 0; n < len(b); {
		size, whole := recordSize(here)
		switch {
		case whole && records == maxRecords:
			k.holdIn(c, here)
			k.later(c, loop.Readable|loop.NearEnd)
			return n, loop.ErrAgain
		case whole:
			records++
			m, err := k.record(c, here[:size], b[n:])
			if err != nil {
				k.holdIn(c, nil)
				return n, err
			}
			n += m
			here = here[size:]
			continue
		case c.ended:
			k.holdIn(c, nil) // a part of a record is of no use
			if c.err != nil {
				return n, c.err // a send has found the connection gone
			}
			return n, io.EOF
		case short:
			c.dry = true
			k.holdIn(c, here)
			return n, loop.ErrAgain
		}
		have := copy(k.cipher[:], here)
		room := k.cipher[have:min(len(k.cipher), max(have+len(b)-n, maxRecord))]
		m, err := k.below.Read(c.fd, room)
		switch {
		case err == nil:
		case err == loop.ErrAgain:
			m = 0
		case err == io.EOF:
			m, c.ended = 0, true
		default:
			k.holdIn(c, nil)
			c.state, c.err = stateEnded, err
			return n, err
		}
		here, short = k.cipher[:have+m], m < len(room)
	}
	k.holdIn(c, here)
	return n, nil
}

// record decrypts one whole record. What has no room in b is kept in c.plain.
func (k *kernel) record(c *conn, r, b []byte) (n int, err error) {
	to := b
	if len(b) < len(r) {
		to = k.plain[:]
	}
	c.count++
	if !lend(c.tls, r) {
		k.feed = r
	}
	n, err = c.tls.Read(to)
	unfinished := takeBack(c.tls)
	k.feed = nil
	switch {
	case err == io.EOF:
		c.ended = true
		return 0, err
	case err != nil && err != errNothing:
		k.layer.counts.broken.Add(1)
		c.state, c.err = stateEnded, err
		return 0, err
	case n == 0:
		// 1 for the record, and more for a large one: nobody has a use for it.
		if unfinished > maxUnfinished || !c.vain.spend(1+len(r)/256, k.below.Now()) {
			k.layer.counts.broken.Add(1)
			c.state, c.err = stateEnded, errVain
			return 0, errVain
		}
	}
	if len(b) < len(r) {
		m := copy(b, to[:n])
		if m < n {
			k.holdPlain(c, to[m:n])
		}
		return m, nil
	}
	return n, nil
}

// credit limits what a client may do at times, but not all the time.
type credit struct {
	used uint16
	at   uint32 // seconds
}

// maxVain is how many records without data a client may send at once; a further one
// each second. crypto/tls ends a connection after 16 without any data in between.
const maxVain = 64

// spend reports whether the client may do it; cost says how dear it is.
func (v *credit) spend(cost int, now time.Duration) bool {
	s := uint32(now / time.Second)
	v.used -= uint16(min(s-v.at, uint32(v.used)))
	v.at = s
	v.used = uint16(min(int(v.used)+cost, maxVain+1))
	return v.used <= maxVain
}

// holdIn keeps a copy of the input that was not decrypted, which may be a part of
// what is kept. A part of a record has its time.
func (k *kernel) holdIn(c *conn, b []byte) {
	before := cap(c.in)
	c.in = replace(c.in, b)
	k.hold(cap(c.in) - before)
	if len(b) > 0 && !c.timed {
		c.timed = true
		k.await(&k.records, c)
	}
	k.limitInput()
}

// holdPlain keeps a copy of decrypted input, likewise.
func (k *kernel) holdPlain(c *conn, b []byte) {
	before := cap(c.plain)
	c.plain = replace(c.plain, b)
	k.hold(cap(c.plain) - before)
}

// replace returns a buffer with the content of b, which may be a part of old. It keeps
// old where that is not much too large.
func replace(old, b []byte) []byte {
	switch {
	case len(b) == 0:
		return nil
	case cap(old) >= len(b) && cap(old) <= 2*len(b)+1024:
		return append(old[:0], b...)
	}
	return append([]byte(nil), b...)
}
