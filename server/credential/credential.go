package credential

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"peal/server/apikey"
	"peal/server/spelling"
)

// Right is a part of what the admin listener does.
type Right string

const (
	Read       Right = "read"       // see: dashboard, numbers, connections, channels, metrics, traces
	Publish    Right = "publish"    // send test messages
	Disconnect Right = "disconnect" // end connections, and keep clients away
	Operate    Right = "operate"    // reload, upgrade, webhooks, profiles
)

// Rights are all of them.
func Rights() []Right { return []Right{Read, Publish, Disconnect, Operate} }

// Most is how many keys there may be: a request compares its key with all of them.
const Most = 100

// Definition is one key in the configuration.
type Definition struct {
	// Name is that of the key in the log, different for each.
	Name string

	// Digest is that of the key: see apikey.Digest.
	Digest string

	// Allow is rights. Each includes Read.
	Allow []string
}

// Fault is a mistake in one definition.
type Fault struct {
	Key  int // its index, from 0
	Name string
	What string // what is wrong and what to change; no digest
}

func (f *Fault) Error() string {
	return fmt.Sprintf("operator's key %d, %q: %s", f.Key+1, f.Name, f.What)
}

// Validate reports all mistakes at once: joined Faults, or an error about all definitions.
func Validate(definitions []Definition) error {
	if len(definitions) > Most {
		return fmt.Errorf("%d operator-keys: must be at most %d, because the key of a request is compared with all of them", len(definitions), Most)
	}
	var faults []error
	names, digests := map[string]int{}, map[string]int{}
	for i, d := range definitions {
		fault := func(format string, args ...any) {
			faults = append(faults, &Fault{i, d.Name, fmt.Sprintf(format, args...)})
		}
		switch {
		case !apikey.IsName(d.Name):
			fault("set name, which the log shows, to 1 to 64 bytes of printable UTF-8")
		case names[d.Name] > 0:
			fault("key %d has this name already: use another", names[d.Name])
		default:
			names[d.Name] = i + 1
		}
		switch err := apikey.CheckDigest(d.Digest); {
		case err != nil:
			fault("%v", err)
		case digests[d.Digest] > 0:
			fault("has the digest of key %d: create a key for each name", digests[d.Digest])
		default:
			digests[d.Digest] = i + 1
		}
		if len(d.Allow) == 0 {
			fault("allows nothing: set allow to rights, as in allow: [read]")
		}
		for _, text := range d.Allow {
			if err := checkRight(text); err != nil {
				fault("allow %q: %v", text, err)
			}
		}
	}
	return errors.Join(faults...)
}

func checkRight(text string) error {
	var all []string
	for _, r := range Rights() {
		all = append(all, string(r))
	}
	switch near := spelling.Nearest(text, all); {
	case slices.Contains(all, text):
		return nil
	case near != "":
		return fmt.Errorf("unknown right; did you mean %s?", near)
	}
	return fmt.Errorf("must be one of %s", strings.Join(all, ", "))
}

// Operator is whoever has a key; nil where none is needed.
type Operator struct {
	Name   string
	rights []Right
}

// May reports whether the operator has the right.
func (o *Operator) May(r Right) bool { return o == nil || slices.Contains(o.rights, r) }

// Rights are all that the operator has.
func (o *Operator) Rights() (all []Right) {
	return slices.DeleteFunc(Rights(), func(r Right) bool { return !o.May(r) })
}

// Table finds operators. A nil Table has none.
type Table struct {
	operators []*Operator
	digests   []string
}

// New makes a table of valid definitions; nil without any.
func New(definitions []Definition) *Table {
	if len(definitions) == 0 {
		return nil
	}
	t := &Table{}
	for _, d := range definitions {
		o := &Operator{Name: d.Name, rights: []Right{Read}}
		for _, text := range d.Allow {
			if r := Right(text); !slices.Contains(o.rights, r) {
				o.rights = append(o.rights, r)
			}
		}
		t.operators, t.digests = append(t.operators, o), append(t.digests, d.Digest)
	}
	return t
}

// Find returns the operator of a key. Its time does not depend on what the text has in common with one.
func (t *Table) Find(key string) (o *Operator, ok bool) {
	if t == nil || len(key) != apikey.Length {
		return nil, false
	}
	digest := []byte(apikey.Digest(key))
	for i := range t.digests {
		if subtle.ConstantTimeCompare([]byte(strings.ToLower(t.digests[i])), digest) == 1 {
			o = t.operators[i]
		}
	}
	return o, o != nil
}
