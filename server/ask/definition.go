package ask

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"peal/server/outbound"
	"peal/server/pattern"
	"peal/server/spelling"
)

// Action is what a client wants.
type Action uint8

const (
	Connect Action = iota
	Subscribe
	Publish
	actions
)

// Actions are the names of all, as they are in configuration and requests.
var Actions = []string{Connect: "connect", Subscribe: "subscribe", Publish: "publish"}

func (a Action) String() string { return Actions[a] }

// Values of Definition.OnError.
const (
	Deny  = "deny"
	Allow = "allow"
)

// Definition is how Peal asks the backend, in the configuration.
type Definition struct {
	URL          string   // https://…, or http://… with AllowPrivate
	Secret       string   // of the signature
	SecretFile   string   // file with it
	On           []string // Actions
	Channels     []string // patterns of the channels about which Peal asks; default all
	Headers      []string // of clients, that the backend gets; default none
	Timeout      time.Duration
	TTL          time.Duration // how long an answer about a connection or subscription holds; negative: 0
	CacheEntries int           // answers
	Concurrency  int           // requests at a time
	Queue        int           // questions that wait
	OnError      string        // Deny, the default, or Allow
	AllowPrivate bool          // the backend may have an address that is not public
}

// Limits and defaults.
const (
	Most         = 1 // definitions
	mostPatterns = 100
	mostHeaders  = 20
	mostTTL      = time.Hour

	DefaultTimeout     = 2 * time.Second
	DefaultTTL         = 10 * time.Second
	DefaultEntries     = 10_000
	DefaultConcurrency = 16
	DefaultQueue       = 1000
)

// withDefaults fills in what is not set.
func (d Definition) withDefaults() Definition {
	number := func(v *int, is int) {
		if *v <= 0 {
			*v = is
		}
	}
	number(&d.CacheEntries, DefaultEntries)
	number(&d.Concurrency, DefaultConcurrency)
	number(&d.Queue, DefaultQueue)
	if d.Timeout <= 0 {
		d.Timeout = DefaultTimeout
	}
	if d.TTL == 0 {
		d.TTL = DefaultTTL
	}
	if d.OnError == "" {
		d.OnError = Deny
	}
	return d
}

// Fault is a mistake in one definition.
type Fault struct {
	Index int    // of the definition, from 0
	What  string // what is wrong and what to change; no secret
}

func (f *Fault) Error() string { return "ask: " + f.What }

// Validate reports all mistakes at once: joined Faults. It does not read files.
func Validate(definitions []Definition) error {
	var faults []error
	for i := range definitions {
		d := &definitions[i]
		fault := func(format string, args ...any) {
			faults = append(faults, &Fault{i, fmt.Sprintf(format, args...)})
		}
		if i >= Most {
			fault("there can be only one: merge the items, and have the backend tell the channels apart")
			continue
		}
		if d.URL == "" {
			fault("has no url: set it to the address at which your backend answers, as in https://app.example/peal/ask")
		} else if err := outbound.CheckURL(d.URL, d.AllowPrivate); err != nil {
			fault("%v", err)
		}
		if err := outbound.CheckSecret(d.Secret, d.SecretFile, nil); err != nil {
			fault("%v", err)
		}
		if len(d.On) == 0 {
			fault("asks about nothing: set on to one or more of %s", strings.Join(Actions, ", "))
		}
		for _, name := range d.On {
			if !slices.Contains(Actions, name) {
				fault("%s", unknownAction(name))
			}
		}
		if len(d.Channels) > mostPatterns {
			fault("has %d patterns in channels: must be at most %d", len(d.Channels), mostPatterns)
		}
		for _, text := range d.Channels {
			if err := pattern.Check(text); err != nil {
				fault("channels %q: %v", text, err)
			}
		}
		if len(d.Headers) > mostHeaders {
			fault("has %d headers: must be at most %d", len(d.Headers), mostHeaders)
		}
		for _, name := range d.Headers {
			if !isHeader(name) {
				fault("headers %q: must be the name of a header, as in Cookie", name)
			}
		}
		if d.OnError != "" && d.OnError != Deny && d.OnError != Allow {
			fault("on-error %q: must be deny or allow", d.OnError)
		}
	}
	return errors.Join(faults...)
}

func unknownAction(name string) string {
	known := strings.Join(Actions, ", ")
	if near := spelling.Nearest(name, Actions); near != "" {
		return fmt.Sprintf("on: unknown action %q; did you mean %s? (%s)", name, near, known)
	}
	return fmt.Sprintf("on: unknown action %q: must be one of %s", name, known)
}

// isHeader reports whether text is a name of a header (RFC 9110 §5.1, without the rare marks).
func isHeader(text string) bool {
	for _, c := range []byte(text) {
		if c != '-' && c != '_' && (c < '0' || '9' < c && c < 'A' || 'Z' < c && c < 'a' || 'z' < c) {
			return false
		}
	}
	return text != "" && len(text) <= 64
}
