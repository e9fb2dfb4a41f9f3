package secure

// Send seals what the socket has room for, a record at a time. What the socket does
// not take of the last record is kept, and no more is sealed until that has left.
func (k *kernel) Send(fd int32, b []byte) (n int, full bool, err error) {
	c := k.conn(fd)
	if c == nil {
		return k.below.Send(fd, b)
	}
	if c.state != stateOpen {
		if c.state == stateEnded {
			return 0, false, c.err
		}
		return 0, true, nil
	}
	for n < len(b) && !c.full && c.err == nil {
		m := min(len(b)-n, maxPlaintext)
		if _, err := c.tls.Write(b[n : n+m]); err != nil {
			return n, false, err // it was told of a violation, or an alert has ended it
		}
		n += m
	}
	if c.err != nil {
		return 0, false, c.err
	}
	return n, c.full, nil
}

// put sends what crypto/tls has sealed: a record of data, an alert, a KeyUpdate.
func (k *kernel) put(c *conn, p []byte) {
	if c.err != nil {
		return
	}
	if !c.full {
		n, full, err := k.below.Send(c.fd, p)
		if err != nil {
			c.err = err
			return
		}
		c.full = full
		p = p[n:]
	}
	if len(p) > 0 {
		if len(c.kept) == 0 {
			k.layer.counts.parts.Add(1)
		}
		k.keep(c, append(c.kept, p...))
		k.limitKept()
	}
}

// flush sends what is kept, after an event that says that there is room. It reports
// whether there is room for more.
func (k *kernel) flush(c *conn) (room bool) {
	c.full = false
	if len(c.kept) > 0 {
		n, full, err := k.below.Send(c.fd, c.kept)
		if err != nil {
			c.err = err
			k.keep(c, nil)
			return true // it finds the error
		}
		c.full = full
		if n < len(c.kept) {
			k.keep(c, append(c.kept[:0], c.kept[n:]...))
			return false
		}
		k.keep(c, nil)
	}
	if c.shut {
		c.shut = false
		k.below.Shutdown(c.fd)
	}
	return !c.full
}

// keep replaces what is kept of sealed records.
func (k *kernel) keep(c *conn, b []byte) {
	if d := cap(b) - cap(c.kept); d != 0 {
		k.kept += d
		k.layer.counts.kept.Add(int64(d))
	}
	c.kept = b
}

// Shutdown says close_notify, and ends our side behind what is kept.
func (k *kernel) Shutdown(fd int32) {
	c := k.conn(fd)
	if c == nil {
		k.below.Shutdown(fd)
		return
	}
	switch c.state {
	case stateOpen:
		_ = c.tls.CloseWrite() // errors: see Write
	case stateHello, stateShaking:
		k.fail(c, ReasonGone)
	}
	if len(c.kept) > 0 {
		c.shut = true
		return
	}
	k.below.Shutdown(fd)
}
