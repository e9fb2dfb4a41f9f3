package xhr

import (
	"strings"
	"sync"
	"time"

	"peal/server/refusal"
	"peal/server/share"
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

// Limits are those of all sessions of a server. Zero values have defaults.
type Limits struct {
	Sessions   int           // at a time, 10,000
	PerAddress int           // of one share, as many as Sessions
	Patience   time.Duration // how long a session lives without a request that receives, 15 s

	// Descriptors counts the one that a session has beside its stream: a loop.Group. nil: nothing
	// counts it.
	Descriptors interface {
		Reserve() (ok bool)
		Release()
	}
}

// Found where a session would be opened. A client comes back after a second.
var (
	errFull        = &refusal.Error{Status: 503, Code: "too_many_connections", Message: "the server has as many sessions over plain HTTP as it may have (fallback-sessions): try again later"}
	errNoRoom      = &refusal.Error{Status: 503, Code: "too_many_connections", Message: "the server has as many connections as it may have (max-connections), of which each session over plain HTTP takes two beside that of its client: try again later"}
	errAddressFull = &refusal.Error{Status: 429, Code: "too_many_connections", Message: "this address has as many sessions over plain HTTP as it may have (fallback-sessions, address-share): try again later"}
)

// Sessions are those of a server.
type Sessions struct {
	limits Limits
	door   Door

	running sync.WaitGroup // goroutines of sessions

	mu        sync.Mutex
	closed    bool
	byName    map[Name]*Session
	receivers map[uint64]*Receiver // by the number of their connections
	ledger    share.Ledger[struct{}]
}

// NewSessions returns an empty table. door leads to the connections of clients.
func NewSessions(l Limits, door Door) *Sessions {
	if l.Sessions <= 0 {
		l.Sessions = 10_000
	}
	if l.PerAddress <= 0 {
		l.PerAddress = l.Sessions
	}
	if l.Patience <= 0 {
		l.Patience = 15 * time.Second
	}
	return &Sessions{limits: l, door: door, byName: map[Name]*Session{}, receivers: map[uint64]*Receiver{}}
}

// Find is the session of that name for a page of that origin, "" for none of them; nil: there is none.
func (t *Sessions) Find(name Name, origin string) *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.byName[name]; s != nil && s.origin == origin {
		return s
	}
	return nil
}

// Open opens a session of that name, whose first receiver is r. by is the share of its address.
// If there is one of that name already, taken is true, and nothing is changed.
func (t *Sessions) Open(name Name, origin string, by share.Key, r *Receiver, start Start) (taken bool, _ *refusal.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.byName[name] != nil:
		return true, nil
	case t.closed:
		return false, refusal.ErrDraining
	case len(t.byName) >= t.limits.Sessions:
		return false, errFull
	case t.ledger.Held(by) >= t.limits.PerAddress:
		return false, errAddressFull
	case !t.reserve():
		return false, errNoRoom
	}
	s, err := newSession(t, name, origin, start)
	if err != nil {
		t.unreserve()
		return false, errNoRoom
	}
	s.account = t.ledger.Open(by)
	t.ledger.Add(s.account, 1)
	t.byName[name] = s
	s.attach(r)
	t.receivers[r.Number] = r
	t.running.Go(func() {
		s.relay()
		t.forget(s)
	})
	return false, nil
}

func (t *Sessions) reserve() (ok bool) {
	return t.limits.Descriptors == nil || t.limits.Descriptors.Reserve()
}

func (t *Sessions) unreserve() {
	if t.limits.Descriptors != nil {
		t.limits.Descriptors.Release()
	}
}

// Receive makes r the receiver of a session. ok is false if it has another one, which still
// receives: then somebody has guessed the name, and nobody is to have what is another's.
func (t *Sessions) Receive(s *Session, r *Receiver) (ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[s.name] != s || !s.attach(r) {
		return false
	}
	t.receivers[r.Number] = r
	return true
}

// Lost says that a connection has ended. If it received a stream, its session ends, because its
// client takes that for the end; if it waited as a poll, the next one may come.
func (t *Sessions) Lost(number uint64) {
	t.mu.Lock()
	r := t.receivers[number]
	delete(t.receivers, number)
	t.mu.Unlock()
	if r != nil {
		r.session.lost(r)
	}
}

// Ended says that the client of a connection has ended its side: it is gone, as far as one can know. A
// poll that waits on it is answered with nothing, so that the next one has what comes.
func (t *Sessions) Ended(number uint64) {
	t.mu.Lock()
	r := t.receivers[number]
	t.mu.Unlock()
	if r != nil && r.Respond != nil {
		r.session.forsake(r)
		t.release(r)
	}
}

// release forgets a receiver that has received all it may.
func (t *Sessions) release(r *Receiver) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.receivers[r.Number] == r { // and not the next poll on its connection
		delete(t.receivers, r.Number)
	}
}

func (t *Sessions) forget(s *Session) {
	t.unreserve()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byName, s.name)
	t.ledger.Add(s.account, -1)
}

// Close ends all sessions and waits for their goroutines.
func (t *Sessions) Close() {
	t.mu.Lock()
	t.closed = true
	for _, s := range t.byName {
		s.End()
	}
	t.mu.Unlock()
	t.running.Wait()
}

// Len is how many there are.
func (t *Sessions) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byName)
}
