package names

import (
	"slices"

	"peal/server/ijson"
	"peal/server/refusal"
)

// Set is the channels that a request names, in its order and without duplicates.
// Its memory is used again after Reset.
type Set struct {
	cache *Cache
	limit int
	user  string // of the request, "" for none: see Me
	list  []*Name
	texts [][]byte
}

// Reset empties the set. At most limit channels fit into it, whose names cache knows.
func (s *Set) Reset(cache *Cache, limit int) {
	s.cache, s.limit, s.list = cache, limit, s.list[:0]
}

// Of says whose request it is: the sub of its token, "" without one. Me is the
// channel of that user from then on.
func (s *Set) Of(user string) { s.user = user }

// List is the channels. It is valid until Reset.
func (s *Set) List() []*Name { return s.list }

// Len is their number.
func (s *Set) Len() int { return len(s.list) }

// Add adds the channel b.
func (s *Set) Add(b []byte) *refusal.Error {
	n, err := s.Get(b)
	if err != nil {
		return err
	}
	return s.add(n)
}

func (s *Set) add(n *Name) *refusal.Error {
	if slices.ContainsFunc(s.list, func(have *Name) bool { return have.Text() == n.Text() }) {
		return nil
	}
	if len(s.list) == s.limit {
		return ErrTooMany
	}
	s.list = append(s.list, n)
	return nil
}

// Get returns the channel b, or why it is none; it is not added. The set must know its
// cache: see Reset.
func (s *Set) Get(b []byte) (*Name, *refusal.Error) {
	if len(b) != len(Me) || string(b) != Me {
		return s.cache.Get(b)
	}
	if s.user == "" {
		return nil, ErrMe
	}
	return s.cache.Of(UserPrefix + s.user), nil
}

// AddUser adds the channel of a user, by the sub of the user's tokens.
func (s *Set) AddUser(user []byte) *refusal.Error {
	if !IsUser(user) {
		return errUser
	}
	var name [MaxBytes]byte
	return s.Add(append(append(name[:0], UserPrefix...), user...))
}

// errNone refuses an empty array: no channel is not the default one.
var errNone = &refusal.Error{Status: 400, Code: "bad_channel", Message: `the list of channels is empty: name at least one, or remove the field to use "main"`}

// AddJSON adds the channels of a JSON value, a string or an array of strings;
// none if v is not there. r is used for an array.
func (s *Set) AddJSON(r *ijson.Reader, v ijson.Value) *refusal.Error {
	texts, err := ijson.AppendTexts(s.texts[:0], r, v)
	s.texts = texts
	switch err {
	case ijson.ErrNoTexts:
		return errNone
	case ijson.ErrNotTexts:
		return ErrName
	}
	for _, text := range texts {
		if err := s.Add(text); err != nil {
			return err
		}
	}
	return nil
}

// AddKnown adds a channel whose name is known to be legal, to an empty set.
func (s *Set) AddKnown(text string) { s.list = append(s.list, s.cache.Of(text)) }

// AddDefault adds the default channel to an empty set.
func (s *Set) AddDefault() {
	if len(s.list) == 0 {
		s.AddKnown(Default)
	}
}

// Clear empties the set.
func (s *Set) Clear() { s.list = s.list[:0] }

// Sorted is the names in their order, as a subscription needs them. Of one channel
// it is the set that all share: do not change it.
func (s *Set) Sorted() []string {
	if len(s.list) == 1 {
		return s.list[0].Alone()
	}
	all := make([]string, len(s.list))
	for i, n := range s.list {
		all[i] = n.Text()
	}
	slices.Sort(all)
	return all
}

// Texts appends the names in the order of the set.
func (s *Set) Texts(dst []string) []string {
	for _, n := range s.list {
		dst = append(dst, n.Text())
	}
	return dst
}
