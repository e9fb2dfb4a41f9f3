package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"sync"
)

// IDs are the ids of the connections of one process. Fixed by New; any goroutine may
// call its methods, which do not allocate.
type IDs struct {
	block   cipher.Block
	scratch sync.Pool // of *[2 * len(ID)]byte: the arguments of block escape
}

// New returns the ids of one key. Other keys have other ids for the same sessions, and
// do not know those of this one.
func New(key [16]byte) *IDs {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("session: " + err.Error()) // 16 bytes are a key of AES
	}
	return &IDs{block: block, scratch: sync.Pool{New: func() any { return new([2 * len(ID{})]byte) }}}
}

// Random is New with a random key.
func Random() *IDs {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	return New(key)
}

// Of returns the ID of a connection by its session number, which is not 0.
func (s *IDs) Of(session uint64) (id ID) {
	b := s.scratch.Get().(*[2 * len(id)]byte)
	plain, text := b[:len(id)], b[len(id):]
	clear(plain)
	binary.LittleEndian.PutUint64(plain, session)
	s.block.Encrypt(text, plain)
	copy(id[:], text)
	s.scratch.Put(b)
	return id
}

// Session returns the session number of an ID; ok is false if it is not of this
// process. An ID that somebody has made up has a number with a probability of 2⁻⁶⁴.
func (s *IDs) Session(id ID) (session uint64, ok bool) {
	b := s.scratch.Get().(*[2 * len(id)]byte)
	plain, text := b[:len(id)], b[len(id):]
	copy(text, id[:])
	s.block.Decrypt(plain, text)
	session = binary.LittleEndian.Uint64(plain)
	ok = session != 0 && binary.LittleEndian.Uint64(plain[8:]) == 0
	s.scratch.Put(b)
	if !ok {
		return 0, false
	}
	return session, true
}
