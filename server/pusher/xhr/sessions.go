package xhr

import (
	"strings"
	"sync"
	"sync/atomic"

	"peal/loop"
)

// Name is what a client calls its session, together with the key of its app:
// KEY/SERVER/SESSION, as in the path.
type Name string

// Lengths of the parts that a client makes itself. pusher-js has 1 to 3 digits and 8 characters.
const (
	maxServer  = 3
	minSession = 8
	maxSession = 32
)

// ParseName returns the name in the parts of a path; ok is false if they are none.
func ParseName(key, server, session []byte) (name Name, ok bool) {
	if len(server) == 0 || len(server) > maxServer || len(session) < minSession || len(session) > maxSession {
		return "", false
	}
	for _, c := range session {
		if (c < '0' || '9' < c) && (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && c != '_' && c != '-' {
			return "", false
		}
	}
	for _, c := range server {
		if c < '0' || '9' < c {
			return "", false
		}
	}
	var b strings.Builder
	for _, part := range [][]byte{key, server, session} {
		b.Write(part)
		b.WriteByte('/')
	}
	return Name(b.String()), true
}

// maxWaiting is how many messages of a client may wait for the loop of its session.
const maxWaiting = 64

// Room carries out what clients send: a room.Room. On its loop.
type Room interface {
	Message(c loop.Client, binary bool, payload []byte)
}

// Session is an open one.
type Session struct {
	Ref  loop.Ref // of its response
	Room Room     // of its loop

	name    Name
	number  uint64 // of the connection
	waiting atomic.Int32
}

// Enter notes that n messages are on their way to the loop of the session; it reports false
// if there are too many. Done must follow for each.
func (s *Session) Enter(n int) bool {
	if s.waiting.Add(int32(n)) > maxWaiting {
		s.waiting.Add(int32(-n))
		return false
	}
	return true
}

// Done says that n messages have come.
func (s *Session) Done(n int) { s.waiting.Add(int32(-n)) }

// Sessions are the open sessions of a server: at most as many as it has connections, each of
// which is limited and counted as any other.
type Sessions struct {
	mu       sync.Mutex
	byName   map[Name]*Session
	byNumber map[uint64]*Session
}

// NewSessions returns an empty one.
func NewSessions() *Sessions {
	return &Sessions{byName: map[Name]*Session{}, byNumber: map[uint64]*Session{}}
}

// Open makes the connection of a session number the session of that name. If another
// connection is, it is returned, and nothing is changed.
func (t *Sessions) Open(name Name, number uint64, ref loop.Ref, room Room) (other *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.byName[name]; other != nil {
		return other
	}
	s := &Session{Ref: ref, Room: room, name: name, number: number}
	t.byName[name], t.byNumber[number] = s, s
	return nil
}

// Find is the session of that name, nil for none.
func (t *Sessions) Find(name Name) *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byName[name]
}

// Left forgets the session of a connection that has ended, if it has one.
func (t *Sessions) Left(number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.byNumber[number]; s != nil {
		delete(t.byNumber, number)
		delete(t.byName, s.name)
	}
}

// Len is how many there are.
func (t *Sessions) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byName)
}
