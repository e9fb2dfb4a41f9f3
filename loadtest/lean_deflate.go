package loadtest

import (
	"bytes"
	"io"
	"strings"

	"github.com/klauspost/compress/flate"
)

// This file is about permessage-deflate (RFC 7692): messages of the server that are
// compressed. Ours are not.

// offer is the header line that offers it, if it is to be offered.
func (k *epollKind) offer() string {
	if !k.spec.Deflate {
		return ""
	}
	return "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
}

// deflateEnd is what a sender leaves out of each message, and an empty last block.
const deflateEnd = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// deflateWindow is how far back a message may refer to those before it.
const deflateWindow = 32 << 10

// extended takes the extensions that the server has chosen: none, or what was offered.
func (k *epollKind) extended(c *leanConn, chosen string) error {
	name, parameters, _ := strings.Cut(chosen, ";")
	switch {
	case chosen == "" || !k.spec.Deflate:
		return nil
	case strings.TrimSpace(name) != "permessage-deflate":
		return unreadable("a WebSocket extension that was not offered: %.100q", chosen)
	}
	takeover := true
	for parameter := range strings.SplitSeq(parameters, ";") {
		switch name, _, _ := strings.Cut(strings.TrimSpace(parameter), "="); name {
		case "server_no_context_takeover":
			takeover = false
		case "client_no_context_takeover", "server_max_window_bits", "":
		default:
			return unreadable("a parameter of permessage-deflate that was not offered: %.100q", chosen)
		}
	}
	if c.deflated = true; !takeover {
		return nil
	}
	if c.wire == nil {
		c.wire = &wire{}
	}
	c.wire.takeover = true
	return nil
}

// inflater is of all connections of a loop, one after another.
type inflater struct {
	reader io.Reader // flate's
	packed bytes.Reader
	in     []byte
	out    bytes.Buffer
}

// inflate returns a message's bytes, which are the inflater's until the next.
func (k *epollKind) inflate(c *leanConn, message []byte) ([]byte, error) {
	f := &k.inflater
	f.in = append(append(f.in[:0], message...), deflateEnd...)
	f.packed.Reset(f.in)
	if f.reader == nil {
		f.reader = flate.NewReader(&f.packed)
	}
	var window []byte
	if c.wire != nil {
		window = c.wire.window
	}
	err := f.reader.(flate.Resetter).Reset(&f.packed, window)
	f.out.Reset()
	if err == nil {
		_, err = f.out.ReadFrom(io.LimitReader(f.reader, partialLimit+1))
	}
	out := f.out.Bytes()
	switch {
	case err != nil:
		return nil, unreadable("a compressed message: %w", err)
	case len(out) > partialLimit:
		return nil, unreadable("a compressed message of more than %d bytes", partialLimit)
	case c.wire != nil && c.wire.takeover:
		c.wire.keep(out)
	}
	k.sink.traffic.Compressed += uint64(len(message))
	k.sink.traffic.Inflated += uint64(len(out))
	return out, nil
}

// keep puts the end of a message behind the window, for the next.
func (w *wire) keep(message []byte) {
	message = message[max(0, len(message)-deflateWindow):]
	if spare := len(w.window) + len(message) - deflateWindow; spare > 0 {
		w.window = append(w.window[:0], w.window[spare:]...)
	}
	w.window = append(w.window, message...)
}
