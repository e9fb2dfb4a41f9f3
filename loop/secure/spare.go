package secure

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// crypto/tls gives no buffer back (go.dev/issue/43563): a connection that has read one
// record of 16 KiB keeps as much for life, and its handshake messages likewise. Here a
// connection has a whole record, or nothing, so that both buffers are empty between
// two calls. The record is therefore put into crypto/tls as its input buffer, without a
// copy, and what is left of both buffers is taken out after the call.
//
// If crypto/tls is another than expected, it reads the record from conn.Read, and
// connections cost more memory: TestBuffersAreFound fails.

var (
	rawInput = bufferIn("rawInput")
	hand     = bufferIn("hand")
)

// bufferIn is where a tls.Conn has the bytes.Buffer of that name; 0: nowhere.
func bufferIn(name string) uintptr {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || f.Type != reflect.TypeFor[bytes.Buffer]() {
		return 0
	}
	return f.Offset
}

// buffer is the buffer at an offset that bufferIn has found.
func buffer(c *tls.Conn, offset uintptr) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset))
}

// lend makes the record r the input of c. It reports whether it could.
func lend(c *tls.Conn, r []byte) bool {
	if rawInput == 0 {
		return false
	}
	*buffer(c, rawInput) = *bytes.NewBuffer(r[:len(r):len(r)]) // it must not write behind r
	return true
}

// takeBack takes the empty buffers from c. It reports the bytes of an unfinished
// handshake message, for which c keeps its buffer.
func takeBack(c *tls.Conn) (unfinished int) {
	if rawInput != 0 {
		*buffer(c, rawInput) = bytes.Buffer{}
	}
	if hand != 0 {
		in := buffer(c, hand)
		if in.Len() > 0 {
			return in.Len()
		}
		*in = bytes.Buffer{}
	}
	return 0
}
