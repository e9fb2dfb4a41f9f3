package frame

import "encoding/binary"

// Opcode is the kind of a frame (§5.2, §11.8).
type Opcode uint8

const (
	OpContinuation Opcode = 0x0 // §5.4
	OpText         Opcode = 0x1 // §5.6
	OpBinary       Opcode = 0x2 // §5.6
	OpClose        Opcode = 0x8 // §5.5.1
	OpPing         Opcode = 0x9 // §5.5.2
	OpPong         Opcode = 0xA // §5.5.3
)

// IsControl reports whether o is that of a control frame: at most 125 bytes,
// never fragmented, allowed between the fragments of a message (§5.5).
func (o Opcode) IsControl() bool { return o&0x8 != 0 }

// knownOpcodes has a bit for each opcode that §5.2 defines.
const knownOpcodes = 1<<OpContinuation | 1<<OpText | 1<<OpBinary | 1<<OpClose | 1<<OpPing | 1<<OpPong

const (
	// MaxHeader is the length of the longest header: 2 bytes, 8 of length, 4 of mask.
	MaxHeader = 14
	// MaxControl is the longest payload of a control frame (§5.5).
	MaxControl = 125

	minClientHeader = 6 // 2 bytes, 4 of mask
)

// A header on the wire (§5.2):
//
//	 byte 0     byte 1      0, 2 or 8 bytes       0 or 4 bytes
//	┌─┬───┬────┬─┬───────┐ ┌───────────────────┐ ┌────────────┐
//	│F│RSV│ op │M│  len  │ │ length, if len is │ │ mask,      │
//	│ │   │    │ │       │ │ 126 (2) / 127 (8) │ │ if M is set│
//	└─┴───┴────┴─┴───────┘ └───────────────────┘ └────────────┘
//	 1  3   4   1    7      big-endian
const (
	finBit    = 0x80
	rsvBits   = 0x70
	rsv1Bit   = 0x40 // compressed (RFC 7692 §6)
	opBits    = 0x0F
	maskBit   = 0x80
	lenBits   = 0x7F
	lenIn2    = 126 // the 16-bit length follows
	lenIn8    = 127 // the 64-bit length follows
	maxLenIn1 = 125
	maxLenIn2 = 1<<16 - 1
)

// Header is the part of a client's frame before its payload.
type Header struct {
	Length     int64  // of the payload, in bytes
	Mask       uint32 // the four key bytes, the first one lowest, as Unmask expects them
	Op         Opcode
	Fin        bool // last or only fragment of a message
	Compressed bool // the message is compressed: RSV1 of its first frame (RFC 7692 §6)
}

// ParseHeader decodes the frame header at the start of b, which a client sent,
// and returns its length n. n == 0 with a nil error means b ends inside the
// header: call again with more bytes. Any error is final: see CloseCode. An
// error in the first two bytes is found without the rest. No extension is negotiated.
//
// b is not kept.
func ParseHeader(b []byte) (h Header, n int, err error) { return parseHeader(b, false) }

// parseHeader is ParseHeader with or without permessage-deflate.
func parseHeader(b []byte, deflate bool) (h Header, n int, err error) {
	if len(b) == 0 {
		return Header{}, 0, nil
	}
	if err := checkFirst(b[0], deflate); err != nil {
		return Header{}, 0, err
	}
	if len(b) < 2 {
		return Header{}, 0, nil
	}
	h.Op, h.Fin, h.Compressed = Opcode(b[0]&opBits), b[0]&finBit != 0, b[0]&rsv1Bit != 0
	short := b[1] & lenBits
	if b[1]&maskBit == 0 {
		return Header{}, 0, ErrUnmasked
	}
	if h.Op.IsControl() && short > MaxControl {
		return Header{}, 0, ErrControlLength
	}
	n = clientHeaderLen(b[1])
	if len(b) < n {
		return Header{}, 0, nil
	}
	switch short {
	case lenIn2:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.Length <= maxLenIn1 {
			return Header{}, 0, ErrLength
		}
	case lenIn8:
		h.Length = int64(binary.BigEndian.Uint64(b[2:]))
		if h.Length <= maxLenIn2 { // also the top bit, which makes it negative
			return Header{}, 0, ErrLength
		}
	default:
		h.Length = int64(short)
	}
	h.Mask = binary.LittleEndian.Uint32(b[n-4:])
	return h, n, nil
}

// checkFirst checks the first byte of a header. RSV1 belongs to the first frame of a
// message only, never to a control frame (RFC 7692 §6.1).
func checkFirst(b byte, deflate bool) error {
	op := Opcode(b & opBits)
	reserved := b & rsvBits
	if deflate && (op == OpText || op == OpBinary) {
		reserved &^= rsv1Bit
	}
	switch {
	case reserved != 0:
		return ErrRSV
	case knownOpcodes>>op&1 == 0:
		return ErrOpcode
	case op.IsControl() && b&finBit == 0:
		return ErrControlFragmented
	}
	return nil
}

// clientHeaderLen returns the length of a masked header whose second byte is b1.
func clientHeaderLen(b1 byte) int {
	switch b1 & lenBits {
	case lenIn2:
		return minClientHeader + 2
	case lenIn8:
		return minClientHeader + 8
	}
	return minClientHeader
}

// AppendHeader appends the header of a server's frame, which is not masked
// (§5.1), for a payload of length bytes, which is not negative.
func AppendHeader(dst []byte, fin bool, op Opcode, length int) []byte {
	return appendHeader(dst, fin, op, length, 0)
}

// AppendCompressedHeader appends the header of a server's whole message that is
// compressed, in one frame (RFC 7692 §6.1).
func AppendCompressedHeader(dst []byte, op Opcode, length int) []byte {
	first := len(dst)
	dst = appendHeader(dst, true, op, length, 0)
	dst[first] |= rsv1Bit
	return dst
}

// AppendMaskedHeader appends the header of a client's frame. The payload that
// follows must be masked: Unmask(payload, mask, 0).
func AppendMaskedHeader(dst []byte, fin bool, op Opcode, length int, mask uint32) []byte {
	dst = appendHeader(dst, fin, op, length, maskBit)
	return binary.LittleEndian.AppendUint32(dst, mask)
}

func appendHeader(dst []byte, fin bool, op Opcode, length int, masked byte) []byte {
	first := byte(op)
	if fin {
		first |= finBit
	}
	switch {
	case length <= maxLenIn1:
		return append(dst, first, masked|byte(length))
	case length <= maxLenIn2:
		return append(dst, first, masked|lenIn2, byte(length>>8), byte(length))
	}
	dst = append(dst, first, masked|lenIn8)
	return binary.BigEndian.AppendUint64(dst, uint64(length))
}
