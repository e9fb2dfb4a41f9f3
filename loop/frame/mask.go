package frame

import (
	"encoding/binary"
	"math/bits"
)

// Unmask applies a frame's mask (§5.3) to b in place. b is the part of the
// payload that begins offset bytes behind its start, so a payload may be
// unmasked in pieces. Masking is its own inverse.
func Unmask(b []byte, mask uint32, offset int) {
	// mask's lowest byte belongs to b[0] from here on.
	mask = bits.RotateLeft32(mask, -8*(offset&3))
	wide := uint64(mask)<<32 | uint64(mask)

	// Four words a turn, each one load, one XOR and one store; see BenchmarkUnmask.
	for len(b) >= 32 {
		x := b[:32]
		binary.LittleEndian.PutUint64(x, binary.LittleEndian.Uint64(x)^wide)
		binary.LittleEndian.PutUint64(x[8:], binary.LittleEndian.Uint64(x[8:])^wide)
		binary.LittleEndian.PutUint64(x[16:], binary.LittleEndian.Uint64(x[16:])^wide)
		binary.LittleEndian.PutUint64(x[24:], binary.LittleEndian.Uint64(x[24:])^wide)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b { // at most 7
		b[i] ^= byte(wide)
		wide >>= 8
	}
}

// unmaskPlain is Unmask as §5.3 describes it, and the reference in its tests.
func unmaskPlain(b []byte, mask uint32, offset int) {
	key := [4]byte{byte(mask), byte(mask >> 8), byte(mask >> 16), byte(mask >> 24)}
	for i := range b {
		b[i] ^= key[(offset+i)%4]
	}
}
