package session

// Handover is what the ids of a process depend on, a value for encoding/gob: with it, those of another process
// name the same sessions. It is secret.
type Handover struct {
	Key   [16]byte
	Fresh uint64 // how many ids Fresh has given
}

// HandOver returns it. Fresh must not be called afterwards.
func (s *IDs) HandOver() Handover { return Handover{s.key, s.fresh.Load()} }

// Take has s go on for the ids of another process, in place of its own. Call it before s is used.
func (s *IDs) Take(h Handover) {
	other := New(h.Key)
	s.key, s.block = other.key, other.block
	s.fresh.Store(h.Fresh)
}
