package token

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"peal/server/grant"
	"peal/server/refusal"
)

// scopes are those of the cached grants, once for all with equal lists.
type scopes struct {
	form  Form // of all. Fixed
	mu    sync.Mutex
	limit int // of bytes
	bytes int
	all   map[digest]*scope
}

// scope is a scope of scopes, or one for which scopes had no room.
type scope struct {
	key    digest
	value  *grant.Scope
	bytes  int
	shared bool // it is in scopes, which account for its bytes
	uses   int  // of grants that are or will be cached; of the lock of scopes
}

// Bytes that a scope takes, and each of its patterns beside the text.
const (
	scopeBytes   = 512
	patternBytes = 96
)

// get returns the scope of lists, with one use more if it is in scopes.
func (s *scopes) get(lists *[len(actions)][]string) (*scope, *refusal.Error) {
	key, bytes := scopeKey(lists)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.all[key]; known != nil {
		known.uses++
		return known, nil
	}
	value, refused := s.form.scope(lists)
	if refused != nil {
		return nil, refused
	}
	made := &scope{key: key, value: value, bytes: bytes}
	if s.bytes+bytes <= s.limit {
		made.shared, made.uses = true, 1
		s.bytes += bytes
		s.all[key] = made
	}
	return made, nil
}

// scope makes the scope of lists.
func (f Form) scope(lists *[len(actions)][]string) (*grant.Scope, *refusal.Error) {
	if f == Mercure {
		return topicScope(lists)
	}
	granted := map[grant.Action][]string{}
	for i, a := range actions {
		granted[a] = lists[i]
	}
	value, err := grant.NewScope(granted)
	if err != nil {
		return nil, errPeal // each pattern was checked
	}
	return value, nil
}

// release takes a use of get back.
func (s *scopes) release(one *scope) {
	if !one.shared {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.uses--; one.uses == 0 {
		s.bytes -= one.bytes
		delete(s.all, one.key)
	}
}

// scopeKey is a digest of the lists. Their lengths are in it, so that no text can
// contain the end of another.
func scopeKey(lists *[len(actions)][]string) (key digest, bytes int) {
	var text []byte
	for _, list := range lists {
		text = binary.AppendUvarint(text, uint64(len(list)))
		for _, one := range list {
			text = binary.AppendUvarint(text, uint64(len(one)))
			text = append(text, one...)
			bytes += 2*len(one) + patternBytes
		}
	}
	return sha256.Sum256(text), bytes + scopeBytes
}
