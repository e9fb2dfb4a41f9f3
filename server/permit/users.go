package permit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"peal/loop/frame"
	"peal/server/refusal"
)

// ErrUserFull refuses a stream or poll of a user that has too many.
var ErrUserFull = &refusal.Error{Status: 429, Code: "too_many_connections", Message: "this user has too many streams, polls and WebSockets (max-connections-per-user): close one, or try again later", Close: frame.CloseRateLimited}

// Users counts the streams, polls and WebSockets of each user (sub of a token). A user
// without one has no entry. Any goroutine may call it; its locks are held for
// nanoseconds.
type Users struct {
	refused atomic.Uint64

	seed   maphash.Seed
	shards [16]struct {
		mu sync.Mutex
		by map[string]uint32
	}
}

// NewUsers returns an empty one.
func NewUsers() *Users { return &Users{seed: maphash.MakeSeed()} }

// Enter counts one more of a user. Leave must follow.
func (u *Users) Enter(user string) { u.add(user, 1) }

// Leave takes back one Enter.
func (u *Users) Leave(user string) { u.add(user, -1) }

// Of is how many the user has.
func (u *Users) Of(user string) int { return u.add(user, 0) }

func (u *Users) add(user string, n int) int {
	s := &u.shards[maphash.String(u.seed, user)%uint64(len(u.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	has := int(s.by[user]) + n
	switch {
	case has < 0:
		panic("permit: Leave of a user without Enter")
	case has == 0:
		delete(s.by, user)
		return 0
	case n == 0:
		return has
	case s.by == nil:
		s.by = map[string]uint32{}
	}
	s.by[user] = uint32(has)
	return has
}

// full reports whether the user has as many as it may, and counts the refusal.
func (u *Users) full(user string, limit int) bool {
	if u.Of(user) < limit {
		return false
	}
	u.refused.Add(1)
	return true
}

// Refused is how often a user had too many.
func (u *Users) Refused() uint64 { return u.refused.Load() }

// Len is how many users have one.
func (u *Users) Len() (n int) {
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		n += len(s.by)
		s.mu.Unlock()
	}
	return n
}
