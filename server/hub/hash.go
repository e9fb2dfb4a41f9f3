package hub

import (
	"crypto/rand"
	"encoding/binary"
	"unsafe"

	"github.com/dchest/siphash"
)

// key is the secret of a hub's hash: clients cannot choose names that collide. It is handed over with what is
// recorded by hash, which is why the hash is not that of hash/maphash: another process cannot compute that.
type key [2]uint64

// hashName names the hash in a hand-over.
const hashName = "siphash-2-4"

func randomKey() (k key) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return key{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

func (k key) hash(name string) uint64 {
	return siphash.Hash(k[0], k[1], unsafe.Slice(unsafe.StringData(name), len(name))) // only read
}
