package grant

import (
	"fmt"
	"slices"

	"peal/server/pattern"
)

// Kind is what a principal has proven about itself.
type Kind uint8

const (
	Anonymous Kind = iota // nothing
	User                  // by a token that the application has signed
	Backend               // by a key of the configuration
)

func (k Kind) String() string { return [...]string{"anonymous", "user", "backend"}[k] }

// Grant is what one token or one key allows.
type Grant struct {
	Kind    Kind
	Subject string // of a User its sub, which is the name of the client; of a Backend the name of the key
	ID      string // jti of the token, "" for none

	// In seconds since 1970. Issued is 0 where the token says nothing of it, Expires is
	// 0 for keys, which do not expire.
	Issued, Expires int64

	Info string // what presence shows of the user: the JSON of the claim, "" for none

	// Topics marks a token of the Mercure protocol, which may have no Subject, and lives as
	// long as its signer likes: Expires is 0 if it does not say. Info is its payload.
	Topics bool
	*Scope
}

// Scope is the channels of each action. Equal ones may be shared.
type Scope struct {
	topics *[actions]Selectors // of a Mercure token; nil: lists hold
	lists  [actions][]pattern.Pattern
	any    [actions]bool // the action is granted at all
}

// NewScope compiles the patterns of each action. An action without channels
// (Action.HasChannels) has any list that is not nil. A client that may subscribe to a
// channel may read its history, too.
func NewScope(lists map[Action][]string) (*Scope, error) {
	s := &Scope{}
	for a := Subscribe; a < actions; a++ {
		texts, granted := lists[a]
		if !granted {
			continue
		}
		s.any[a] = !a.HasChannels()
		for _, text := range texts {
			p, err := pattern.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("%s %q: %w", a, text, err)
			}
			s.any[a] = true
			s.lists[a] = append(s.lists[a], p)
		}
	}
	s.any[History] = s.any[History] || s.any[Subscribe]
	s.lists[History] = append(s.lists[History], s.lists[Subscribe]...)
	return s, nil
}

// Selectors are what a Mercure token says of the topics that it grants.
type Selectors interface {
	// Match reports whether the topic is one of them. Any goroutine may call it.
	Match(topic string) bool

	// Texts are the selectors as they were written. Nobody may change them.
	Texts() []string
}

// NewTopicScope returns the scope of a Mercure token. nil grants nothing. A client that
// may subscribe to a topic may read its history, too.
func NewTopicScope(subscribe, publish Selectors) *Scope {
	s := &Scope{topics: &[actions]Selectors{Subscribe: subscribe, History: subscribe, Publish: publish}}
	for a, one := range s.topics {
		s.any[a] = one != nil
	}
	return s
}

// Selectors are those of a Mercure token for an action; nil for none, and of others.
func (s *Scope) Selectors(a Action) Selectors {
	if s.topics == nil {
		return nil
	}
	return s.topics[a]
}

// Allows reports whether the action is granted on the channel.
func (s *Scope) Allows(a Action, channel string) bool {
	if s.topics != nil {
		return s.topics[a] != nil && s.topics[a].Match(channel)
	}
	list := s.lists[a]
	for i := range list {
		if list[i].Match(channel) {
			return true
		}
	}
	return false
}

// Covers reports whether the action is granted on every channel whose name begins with
// prefix, a text without a special meaning.
func (s *Scope) Covers(a Action, prefix string) bool {
	return slices.ContainsFunc(s.lists[a], func(p pattern.Pattern) bool { return p.Covers(pattern.Escape(prefix) + "*") })
}

// May reports whether the action is granted at all: without a channel, or on some.
func (s *Scope) May(a Action) bool { return s.any[a] }
