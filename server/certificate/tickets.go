package certificate

import (
	"crypto/rand"
	"time"
)

// The key of session tickets is replaced every rotateEvery; the last ticketKeys are
// accepted. A client can therefore resume a session that is at least a day old. A thief
// of the process's memory can decrypt recorded TLS 1.2 sessions, which have no key
// exchange of their own when they are resumed, of at most ticketKeys·rotateEvery. The
// library alone would keep its keys for a week.
//
// The keys are in no file: a restart makes new ones, and clients then make full
// handshakes.
const (
	rotateEvery = 8 * time.Hour
	ticketKeys  = 4
)

// rotate begins a new key of session tickets. One goroutine at a time calls it.
func (s *Store) rotate() {
	var fresh [32]byte
	_, _ = rand.Read(fresh[:]) // never fails
	s.tickets = append([][32]byte{fresh}, s.tickets[:min(len(s.tickets), ticketKeys-1)]...)
	s.config.SetSessionTicketKeys(s.tickets)
}
