package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// IDs are the ids of the connections of one process. Fixed by New; any goroutine may
// call its methods, which do not allocate.
type IDs struct {
	key     [16]byte
	block   cipher.Block
	scratch sync.Pool // of *[2 * len(ID)]byte: the arguments of block escape
	fresh   atomic.Uint64
}

// New returns the ids of one key. Other keys have other ids for the same sessions, and
// do not know those of this one.
func New(key [16]byte) *IDs {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("session: " + err.Error()) // 16 bytes are a key of AES
	}
	return &IDs{key: key, block: block, scratch: sync.Pool{New: func() any { return new([2 * len(ID{})]byte) }}}
}

// Random is New with a random key.
func Random() *IDs {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	return New(key)
}

// Of returns the ID of a connection by its session number, which is not 0.
func (s *IDs) Of(session uint64) ID { return s.encrypt(session, ofConnection) }

// Fresh returns an ID that is no connection's, and another one in each call. A client of
// long polling has one: its polls share connections with those of other clients where
// a proxy is between.
func (s *IDs) Fresh() ID { return s.encrypt(s.fresh.Add(1), ofClient) }

// What the number in an ID counts.
const (
	ofConnection uint64 = iota
	ofClient
)

func (s *IDs) encrypt(number, of uint64) (id ID) {
	b := s.scratch.Get().(*[2 * len(id)]byte)
	plain, text := b[:len(id)], b[len(id):]
	binary.LittleEndian.PutUint64(plain, number)
	binary.LittleEndian.PutUint64(plain[8:], of)
	s.block.Encrypt(text, plain)
	copy(id[:], text)
	s.scratch.Put(b)
	return id
}

// Session returns the session number of an ID; ok is false if it is not that of a
// connection of this process. An ID that somebody has made up has a number with a probability of 2⁻⁶⁴.
func (s *IDs) Session(id ID) (session uint64, ok bool) {
	b := s.scratch.Get().(*[2 * len(id)]byte)
	plain, text := b[:len(id)], b[len(id):]
	copy(text, id[:])
	s.block.Decrypt(plain, text)
	session = binary.LittleEndian.Uint64(plain)
	ok = session != 0 && binary.LittleEndian.Uint64(plain[8:]) == ofConnection
	s.scratch.Put(b)
	if !ok {
		return 0, false
	}
	return session, true
}
