package proxied_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/pires/go-proxyproto"
)

// FuzzPROXY feeds bytes in pieces and compares with the same bytes at once, and with
// the library alone, which may wait.
func FuzzPROXY(f *testing.F) {
	for _, text := range []string{
		request, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n" + request, "PROXY UNKNOWN\r\n", "PROXY TCP6 2001:db8::7 ::1 1 2\r\n\x16\x03\x01",
		signature2 + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb" + request, signature2 + "\x20\x00\x00\x00x",
		signature2 + "\x21\x11\x00\x0f\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb\x04\x00\x00", signature2 + "\x21\x31\xff\xff", "\r\n\r\nGET", "PRO",
		signature2 + "\x21\x11\x00\x0c\xc0\x00\x02\x4200000000", "PROXY TCP4 192.0.2.66 198.51.100.1 4711 443\r\n", haproxyHeader, haproxyHeader[:len(haproxyHeader)-1] + "x",
	} {
		f.Add([]byte(text), uint64(3), uint16(1))
		f.Add([]byte(text), uint64(12345), uint16(9))
	}
	f.Fuzz(func(t *testing.T, b []byte, cuts uint64, size uint16) {
		whole := dial(t, proxy, string(b))
		whole.ended = true
		whole.pass(64 << 10)

		var pieces []string
		for rest := b; len(rest) > 0; cuts = cuts>>5 | cuts<<59 {
			n := min(len(rest), 1+int(cuts%29))
			pieces, rest = append(pieces, string(rest[:n])), rest[n:]
			if cuts&32 != 0 {
				pieces = append(pieces, "") // the next comes later
			}
		}
		cut := dial(t, proxy, pieces...)
		cut.ended = true
		cut.pass(1 + int(size%300))
		same := func(a, b []netip.AddrPort) bool {
			return len(a) == len(b) && (len(a) == 0 || a[0] == b[0])
		}
		if !bytes.Equal(whole.got, cut.got) || !same(whole.named, cut.named) || whole.err != cut.err || len(whole.named) > 1 {
			t.Fatalf("at once: %q, %v, %v; in pieces: %q, %v, %v", whole.got, whole.named, whole.err, cut.got, cut.named, cut.err)
		}

		got, named, bad := alone(b)
		if whole.err == io.EOF && whole.layer.Stats().Headers == 0 && len(whole.got) == 0 {
			return // it ended before it was known what it is
		}
		if bad != (whole.err != io.EOF) || !bad && (!bytes.Equal(got, whole.got) || !same(named, whole.named)) {
			t.Fatalf("%q: %q, %v, %v; the library alone: %q, %v, %v", b, whole.got, whole.named, whole.err, got, named, bad)
		}
	})
}

// alone is what the library makes of bytes that are all there.
func alone(b []byte) (rest []byte, named []netip.AddrPort, bad bool) {
	if !bytes.HasPrefix(b, []byte("PROXY ")) && !bytes.HasPrefix(b, []byte(signature2)) {
		return b, nil, false
	}
	r := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
	if length := 16 + int(b[14%len(b)])<<8 + int(b[15%len(b)]); len(b) >= 16 && b[0] == '\r' && b[12] == 0x21 && b[13] == 0 && length <= 16+4096 {
		if len(b) < length {
			return nil, nil, false
		}
		return b[length:], nil, false // UNSPEC, which the library refuses
	}
	h, err := proxyproto.Read(r)
	if err != nil {
		return nil, nil, !errors.Is(err, io.ErrUnexpectedEOF)
	}
	rest, _ = io.ReadAll(r)
	if h.Version == 2 && h.Command == proxyproto.PROXY && !checked(b[:len(b)-len(rest)]) {
		return nil, nil, true
	}
	if h.Command == proxyproto.PROXY {
		switch a := h.SourceAddr.(type) {
		case *net.TCPAddr:
			named = append(named, netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port()))
		case *net.UDPAddr:
			named = append(named, netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port()))
		case *net.UnixAddr:
			named = append(named, netip.AddrPort{})
		}
	}
	return rest, named, len(named) == 1 && named[0].IsValid() && (named[0].Addr().IsUnspecified() || named[0].Addr() == unwelcome)
}

// checked computes the checksum of a whole header of version 2 in the words of its
// specification: "replace the field with zeros, and compute the CRC-32C of the whole".
func checked(header []byte) bool {
	addresses := map[byte]int{1: 12, 2: 36, 3: 216}[header[13]>>4]
	for at := 16 + addresses; at+3 <= len(header); {
		end := at + 3 + int(header[at+1])<<8 + int(header[at+2])
		if header[at] == 3 && end <= len(header) {
			field := header[at+3 : end]
			zeros := slices.Concat(header[:at+3], make([]byte, len(field)), header[end:])
			return bytes.Equal(field, binary.BigEndian.AppendUint32(nil, crc32.Checksum(zeros, crc32.MakeTable(crc32.Castagnoli))))
		}
		at = end
	}
	return true
}
