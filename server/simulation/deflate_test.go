package simulation_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// What clients read and say compressed (RFC 7692, RFC 1952), by the standard library.

// flushed ends each message, on WebSockets without being sent.
const flushed = "\x00\x00\xff\xff"

// inflate returns what blocks that end with a flush hold.
func inflate(b []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("\x01\x00\x00\xff\xff"))))
}

// deflated is the payload of a compressed message.
func deflated(b []byte) []byte {
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, 6)
	if err == nil {
		_, err = z.Write(b)
	}
	if err == nil {
		err = z.Flush()
	}
	if err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte(flushed))
}

// extension is the line of a 101 that agrees to compression.
const extension = "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"

// isDeflated reports whether the client of the connection may compress what it says.
func (c *conn) isDeflated() bool {
	if x := c.current(); x != nil {
		d, ok := x.decoder.(*wsDecoder)
		return ok && d.deflated
	}
	return false
}

// gzipDecoder reads an event stream that may be compressed: the server decides. Each
// item of it ends with a flush, and the stream with the checksum of all.
type gzipDecoder struct {
	sseDecoder
	packed bool
	header bool
	plain  []byte // of the stream, not read yet
	crc    uint32
	length uint32
}

func (d *gzipDecoder) next(b []byte) (it item, n int, err error) {
	switch {
	case !d.opened:
		it, n, err = d.sseDecoder.next(b)
		d.packed = n > 0 && strings.Contains(string(b[:n]), "\r\nContent-Encoding: gzip\r\n")
		return it, n, err
	case !d.packed:
		return d.sseDecoder.next(b)
	case !d.header:
		if len(b) < 10 {
			return item{}, 0, nil
		}
		d.header = true
		if string(b[:3]) != "\x1f\x8b\x08" || b[3] != 0 {
			return item{}, 0, fmt.Errorf("not the header of a gzip stream: % x", b[:10])
		}
		return item{}, 10, nil
	case len(b) > 0 && b[0]&1 != 0: // BFINAL
		return d.end(b)
	}
	if n = bytes.Index(b, []byte(flushed)) + len(flushed); n < len(flushed) {
		return item{}, 0, nil
	}
	part, err := inflate(b[:n])
	for err != nil { // it was no flush, but the same bytes inside a block
		more := bytes.Index(b[n:], []byte(flushed))
		if more < 0 {
			return item{}, 0, nil
		}
		n += more + len(flushed)
		part, err = inflate(b[:n])
	}
	d.crc = crc32.Update(d.crc, crc32.IEEETable, part)
	d.length += uint32(len(part))
	d.plain = append(d.plain, part...)
	for len(d.plain) > 0 {
		one, k, err := d.sseDecoder.next(d.plain)
		if err != nil || k == 0 {
			return it, n, err
		}
		d.plain = d.plain[k:]
		if one.kind != (item{}).kind || one.session != "" {
			if it.kind != (item{}).kind || it.session != "" {
				return item{}, 0, fmt.Errorf("two items in one flush: %.300q", part)
			}
			it = one
		}
	}
	return it, n, nil
}

// end reads the last block and the trailer.
func (d *gzipDecoder) end(b []byte) (it item, n int, err error) {
	if len(b) < 10 {
		return item{}, 0, nil
	}
	want := binary.LittleEndian.AppendUint32([]byte("\x03\x00"), d.crc)
	want = binary.LittleEndian.AppendUint32(want, d.length)
	if !bytes.Equal(b[:10], want) || len(b) > 10 {
		return item{}, 0, fmt.Errorf("a gzip stream of %d bytes ends with % x, want % x", d.length, b, want)
	}
	return item{}, 10, nil
}

// unzipped is the body of a response, compressed or not.
func unzipped(body []byte, coding string) ([]byte, error) {
	if coding == "" {
		return body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// isPacked reports whether the connection, which is an event stream, is compressed.
func (w *world) isPacked(c *conn) bool {
	if len(c.exchanges) == 0 {
		return false
	}
	a := c.exchanges[len(c.exchanges)-1].ask
	return a.deflates && slices.ContainsFunc(a.channels, w.plan.rules.Deflates)
}

// stored is b in a stored block, with a flush.
func stored(b []byte) []byte {
	n := uint16(len(b))
	out := binary.LittleEndian.AppendUint16([]byte{0}, n)
	out = append(binary.LittleEndian.AppendUint16(out, ^n), b...)
	return append(out, "\x00"+flushed...)
}
