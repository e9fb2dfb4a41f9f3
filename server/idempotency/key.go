package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key is the scope of one message: channel, publisher and the publisher's key,
// as 128 bits of SHA-256. Two scopes have the same Key by accident once in 2^64,
// and no publisher can cause it.
type Key [16]byte

// Digest stands for the content of a message, likewise. It does not depend on the
// process, because it is compared with digests from before a restart.
type Digest [16]byte

// KeyOf is the key of a scope. publisher is "" for one without a name.
func KeyOf(channel, publisher, key string) Key {
	var space [512]byte
	b := space[:0]
	for _, part := range [...]string{channel, publisher, key} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return Key(sum[:])
}

// DigestOf is the digest of the parts of a message that subscribers receive. It
// reads all of data: one to two milliseconds for each megabyte.
func DigestOf(event string, binaryData bool, data []byte) Digest {
	var space [256]byte
	head := append(space[:0], 0)
	if binaryData {
		head[0] = 1
	}
	head = binary.AppendUvarint(head, uint64(len(event)))
	head = append(head, event...)
	h := sha256.New()
	h.Write(head)
	h.Write(data)
	var sum [sha256.Size]byte
	return Digest(h.Sum(sum[:0]))
}
