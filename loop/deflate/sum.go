package deflate

import (
	"encoding/binary"
	"hash/crc32"
)

// Sum is what the trailer of a gzip stream says about its content (RFC 1952 §2.3.1).
type Sum struct {
	CRC    uint32
	Length uint32 // modulo 2³²
}

// SumOf returns the sum of b.
func SumOf(b []byte) Sum { return Sum{crc32.ChecksumIEEE(b), uint32(len(b))} }

// Then returns the sum of the bytes of s followed by those of t.
func (s Sum) Then(t Sum) Sum { return s.ThenBy(t, ShiftOf(t.Length)) }

// ThenBy is Then for those that have the shift of t: most of the cost of Then.
func (s Sum) ThenBy(t Sum, by Shift) Sum {
	return Sum{multiply(uint32(by), s.CRC) ^ t.CRC, s.Length + t.Length}
}

// Shift is what a number of bytes that follow does to a CRC: a power of x modulo the
// polynomial, of which the lowest coefficient is the highest bit.
type Shift uint32

// ShiftOf returns the shift of n bytes.
func ShiftOf(n uint32) Shift {
	p := uint32(1) << 31
	for i := range 32 {
		if n>>i&1 != 0 {
			p = multiply(powers[i], p)
		}
	}
	return Shift(p)
}

// powers[i] is the shift of 2^i bytes.
var powers = func() (all [32]uint32) {
	p := uint32(1) << (31 - 8) // x^8
	for i := range all {
		all[i] = p
		p = multiply(p, p)
	}
	return all
}()

// multiply multiplies two polynomials modulo that of the CRC.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & uint32(int32(a)>>31)
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}

// GzipHeader begins a gzip stream: no name, no time, no system (RFC 1952 §2.3).
const GzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// GzipEnd is the length of what AppendGzipEnd appends.
const GzipEnd = 10

// AppendGzipEnd appends the end of a gzip stream that has carried s, behind blocks that
// end at a byte: an empty last block, and the trailer.
func AppendGzipEnd(dst []byte, s Sum) []byte {
	dst = append(dst, "\x03\x00"...)
	dst = binary.LittleEndian.AppendUint32(dst, s.CRC)
	return binary.LittleEndian.AppendUint32(dst, s.Length)
}

// AppendGzip appends a whole gzip stream.
func AppendGzip(dst, data []byte) []byte {
	dst = append(dst, GzipHeader...)
	dst = AppendFlushed(dst, data, Wide)
	return AppendGzipEnd(dst, SumOf(data))
}

// SumStored returns the sum of what b carries, which has only blocks of AppendStored.
func SumStored(b []byte) (s Sum) {
	for len(b) >= storedHeader {
		n := storedHeader + int(binary.LittleEndian.Uint16(b[1:]))
		s = s.Then(SumOf(b[storedHeader:n]))
		b = b[n:]
	}
	if len(b) > 0 {
		panic("deflate: not stored blocks")
	}
	return s
}
