package apikey

import (
	"errors"
	"fmt"
	"strings"

	"peal/server/grant"
	"peal/server/pattern"
	"peal/server/spelling"
)

// Definition is one key in the configuration.
type Definition struct {
	// Name is the key's name in metrics and in the log: 1 to 64 bytes of printable
	// UTF-8, different for each key.
	Name string

	// Digest is that of the key: see the function Digest.
	Digest string

	// Allow is what the key may do: actions, each with or without a pattern of
	// channels, as in publish:orders.* or disconnect. Without a pattern an action is
	// allowed on every channel, also on those of single users ($user:42). A key without
	// an entry is refused: it could do nothing.
	Allow []string
}

// The most that a configuration may have.
const (
	Most      = 1000 // keys: each request with a key compares it with all of them
	mostAllow = 100  // entries of one key: each request with it may compare its channel with all of them
	mostName  = 64   // bytes
)

// everyChannel are the patterns of an action without one. The star alone leaves out
// names that begin with $.
var everyChannel = []string{"*", "$*"}

// Fault is a mistake in one definition.
type Fault struct {
	Key  int // its index, from 0
	Name string
	What string // what is wrong and what to change; no digest
}

func (f *Fault) Error() string { return fmt.Sprintf("key %d, %q: %s", f.Key+1, f.Name, f.What) }

// Validate reports all mistakes at once. It returns joined Faults, or an error about
// all definitions.
func Validate(definitions []Definition) error {
	if len(definitions) > Most {
		return fmt.Errorf("%d keys: must be at most %d, because a key of a request is compared with all of them", len(definitions), Most)
	}
	var faults []error
	names, digests := map[string]int{}, map[string]int{}
	for i, d := range definitions {
		fault := func(format string, args ...any) {
			faults = append(faults, &Fault{i, d.Name, fmt.Sprintf(format, args...)})
		}
		switch {
		case d.Name == "":
			fault("has no name: set name, which metrics and the log show")
		case !IsName(d.Name):
			fault("a name is 1 to %d bytes of printable UTF-8", mostName)
		case names[d.Name] > 0:
			fault("key %d has this name already: use another", names[d.Name])
		default:
			names[d.Name] = i + 1
		}
		switch err := CheckDigest(d.Digest); {
		case err != nil:
			fault("%v", err)
		case digests[d.Digest] > 0:
			fault("has the digest of key %d: create a key for each name", digests[d.Digest])
		default:
			digests[d.Digest] = i + 1
		}
		if err := CheckAllow(d.Allow); err != nil {
			for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
				fault("%v", err)
			}
		}
	}
	return errors.Join(faults...)
}

// IsName reports whether a text can name a key.
func IsName(text string) bool {
	return text != "" && len(text) <= mostName && pattern.IsPrintable([]byte(text))
}

// CheckDigest returns what is wrong with a digest in the configuration. The error does not repeat the text: it may be
// a key.
func CheckDigest(text string) error {
	_, ok := parseDigest(text)
	switch {
	case ok:
		return nil
	case text == "":
		return errors.New("has no digest: create a key with \"peal key create\", which prints it")
	case Is([]byte(text)):
		return errors.New("its digest is a key, which must not be in a configuration: replace it by its digest, which \"peal key digest\" prints")
	}
	return errors.New("its digest must be sha256: and 64 hexadecimal digits, as \"peal key create\" and \"peal key digest\" print it")
}

// CheckAllow reports all mistakes in the entries of one key, joined.
func CheckAllow(allow []string) error {
	switch {
	case len(allow) == 0:
		return errors.Join(errors.New("allows nothing: set allow to actions, as in allow: [\"publish:orders.*\", disconnect]"))
	case len(allow) > mostAllow:
		return errors.Join(fmt.Errorf("has %d entries in allow: must be at most %d; use patterns to need fewer", len(allow), mostAllow))
	}
	var faults []error
	for _, entry := range allow {
		if _, _, err := parseAllow(entry); err != nil {
			faults = append(faults, fmt.Errorf("allow %q: %w", entry, err))
		}
	}
	return errors.Join(faults...)
}

// parseAllow reads one entry. An action without channels has no patterns.
func parseAllow(entry string) (grant.Action, []string, error) {
	name, channels, narrowed := strings.Cut(entry, ":")
	action, ok := grant.ParseAction(name)
	switch {
	case !ok:
		return 0, nil, unknownAction(name)
	case !narrowed && action.HasChannels():
		return action, everyChannel, nil
	case !narrowed:
		return action, nil, nil
	case !action.HasChannels():
		return 0, nil, fmt.Errorf("%s is not about channels: write %s without a pattern", name, name)
	}
	if err := pattern.Check(channels); err != nil {
		return 0, nil, err
	}
	return action, []string{channels}, nil
}

func unknownAction(name string) error {
	var all []string
	for _, a := range grant.Actions() {
		all = append(all, a.String())
	}
	last := len(all) - 1
	known := strings.Join(all[:last], ", ") + " or " + all[last]
	if near := spelling.Nearest(name, all); near != "" {
		return fmt.Errorf("unknown action; did you mean %s? (%s)", near, known)
	}
	return fmt.Errorf("must be an action, %s, or an action and a pattern of channels, as in publish:orders.*", known)
}

// grant is what a valid definition allows.
func (d Definition) grant() *grant.Grant {
	lists := map[grant.Action][]string{}
	for _, entry := range d.Allow {
		action, patterns, err := parseAllow(entry)
		if err != nil {
			panic(fmt.Sprintf("key %q was not validated: %v", d.Name, err))
		}
		lists[action] = append(lists[action], patterns...)
		if lists[action] == nil {
			lists[action] = []string{} // granted, without channels
		}
	}
	scope, err := grant.NewScope(lists)
	if err != nil {
		panic(fmt.Sprintf("key %q was not validated: %v", d.Name, err))
	}
	return &grant.Grant{Kind: grant.Backend, Subject: d.Name, Scope: scope}
}
