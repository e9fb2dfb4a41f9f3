package proxied

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Limits of a header. The addresses of version 2 need 232 bytes; the rest is for TLVs,
// of which the largest in use is a certificate.
const (
	maxLine   = 107          // version 1, by its specification (§2.1)
	fixed     = 16           // version 2: signature, version, family and length (§2.2)
	MaxHeader = fixed + 4096 // version 2; what the library takes
)

// proxyCommand is version 2 and the command PROXY, in one byte.
const proxyCommand = 0x21

var (
	signature1 = []byte("PROXY ")
	signature2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

var (
	errTooLong  = fmt.Errorf("the PROXY header is longer than %d bytes (version 1) or %d bytes (version 2)", maxLine, MaxHeader)
	errVersion  = errors.New("the PROXY header has a version other than 1 and 2")
	errChecksum = errors.New("the checksum in the PROXY header (CRC-32C) is not the header's")
	errNoClient = errors.New("the PROXY header names the unspecified address as the client")
)

// Begins reports whether b begins with a PROXY header, or with so much of it that it is
// nothing else.
func Begins(b []byte) bool {
	for _, line := range []string{"PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN"} {
		if bytes.HasPrefix(b, []byte(line)) {
			return true
		}
	}
	return bytes.HasPrefix(b, signature2)
}

// state is what is known of the beginning of a connection.
type state uint8

const (
	partial state = iota // it may be a header, and more bytes are needed
	absent               // it is none
	whole                // a header is here
)

// measure returns the length of the header at the beginning of b, which has at least
// one byte, once it is whole. An error is found as soon as its byte is there.
func measure(b []byte) (s state, n int, err error) {
	if begins, rest := compare(b, signature1); begins {
		if rest == nil {
			return partial, 0, nil
		}
		end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
		switch {
		case end >= 0:
			return whole, end + 1, nil
		case len(b) >= maxLine:
			return 0, 0, errTooLong
		}
		return partial, 0, nil
	}
	begins, rest := compare(b, signature2)
	switch {
	case !begins:
		return absent, 0, nil
	case len(rest) > 0 && rest[0]>>4 != 2:
		return 0, 0, errVersion
	case len(b) < fixed:
		return partial, 0, nil
	}
	if n = fixed + int(binary.BigEndian.Uint16(b[fixed-2:])); n > MaxHeader {
		return 0, 0, errTooLong
	}
	if len(b) < n {
		return partial, 0, nil
	}
	return whole, n, nil
}

// compare reports whether b begins like signature, and what is behind it; nil if b
// ends before.
func compare(b, signature []byte) (begins bool, rest []byte) {
	if len(b) < len(signature) {
		return bytes.HasPrefix(signature, b), nil
	}
	return bytes.HasPrefix(b, signature), b[len(signature):]
}

// parse reads a whole header. named is false if it names nobody; a client that is named
// and not valid is one of a Unix socket.
func parse(b []byte) (client netip.AddrPort, named bool, err error) {
	if b[0] == signature2[0] && b[fixed-4] == proxyCommand && b[fixed-3] == 0 {
		// UNSPEC (§2.2): HAProxy sends it for the clients of its Unix sockets. The
		// library refuses it.
		return client, false, nil
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)))
	if err != nil {
		return client, false, err
	}
	if h.Command != proxyproto.PROXY {
		return client, false, nil
	}
	if h.Version == 2 && !intact(b) {
		return client, false, errChecksum
	}
	switch a := h.SourceAddr.(type) {
	case *net.TCPAddr:
		client = a.AddrPort()
	case *net.UDPAddr:
		client = a.AddrPort()
	case *net.UnixAddr:
		return client, true, nil
	default:
		return client, false, nil
	}
	client = netip.AddrPortFrom(client.Addr().Unmap().WithZone(""), client.Port())
	if !client.IsValid() || client.Addr().IsUnspecified() {
		return netip.AddrPort{}, false, errNoClient
	}
	return client, true, nil
}

// typeChecksum is the TLV with the CRC-32C of the header (§2.2.3).
const typeChecksum = 3

// addressBytes are how long the addresses of version 2 are, by family.
var addressBytes = [16]int{1: 12, 2: 36, 3: 216}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// intact reports whether the whole header b of version 2 has the checksum that it says,
// or says none. TLVs that end behind the header are passed over, like others.
func intact(b []byte) bool {
	for at := fixed + addressBytes[b[fixed-3]>>4]; at+3 <= len(b); {
		kind, value := b[at], at+3
		at = value + int(binary.BigEndian.Uint16(b[at+1:]))
		if kind != typeChecksum || at > len(b) {
			continue
		}
		sum := crc32.Update(0, castagnoli, b[:value])
		sum = crc32.Update(sum, castagnoli, make([]byte, at-value)) // it was computed with zeros here
		sum = crc32.Update(sum, castagnoli, b[at:])
		return at-value == crc32.Size && binary.BigEndian.Uint32(b[value:]) == sum
	}
	return true
}
