package webhook

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

// Names of events.
const (
	Occupied    = "channel_occupied"
	Vacated     = "channel_vacated"
	Added       = "member_added"
	Removed     = "member_removed"
	ClientEvent = "client_event"
	Count       = "subscription_count"
	Publication = "publication"
	CacheMiss   = "cache_miss"
	Gap         = "gap" // sent to every endpoint that misses something
)

// Events are the names that an endpoint may ask for.
func Events() []string {
	return []string{Occupied, Vacated, Added, Removed, ClientEvent, Count, Publication, CacheMiss}
}

// Definition is one endpoint in the configuration.
type Definition struct {
	Name         string   // in metrics and the log, and of its cursor: 1 to 64 bytes, different for each
	URL          string   // https://…, or http://… with AllowPrivate
	Events       []string // see Events
	Channels     []string // patterns; of an app's endpoint without its namespace. Default all
	Secret       string   // of the signature; not with App
	SecretFile   string   // file with it
	App          string   // id of the app whose key and secret sign, in the form of Pusher
	RetryFor     time.Duration
	Timeout      time.Duration
	AllowPrivate bool // the endpoint may have an address that is not public
}

// Limits and defaults.
const (
	Most            = 100 // endpoints
	mostName        = 64
	mostPatterns    = 100
	DefaultRetryFor = 24 * time.Hour
	DefaultTimeout  = 10 * time.Second
)

// Fault is a mistake in one definition.
type Fault struct {
	Endpoint int // its index, from 0
	Name     string
	What     string // what is wrong and what to change; no secret
}

func (f *Fault) Error() string {
	return fmt.Sprintf("webhook %d, %q: %s", f.Endpoint+1, f.Name, f.What)
}

// Validate reports all mistakes at once: joined Faults, or an error about all definitions. It
// does not read files.
func Validate(definitions []Definition) error {
	if len(definitions) > Most {
		return fmt.Errorf("%d webhooks: must be at most %d, because each reads the log for itself", len(definitions), Most)
	}
	var faults []error
	names := map[string]int{}
	for i := range definitions {
		d := &definitions[i]
		fault := func(format string, args ...any) {
			faults = append(faults, &Fault{i, d.Name, fmt.Sprintf(format, args...)})
		}
		switch {
		case d.Name == "":
			fault("has no name: set name, which metrics and the log show, and which its position in the log is stored under")
		case len(d.Name) > mostName || !pattern.IsPrintable([]byte(d.Name)):
			fault("a name is 1 to %d bytes of printable UTF-8", mostName)
		case names[d.Name] > 0:
			fault("webhook %d has this name already: use another", names[d.Name])
		default:
			names[d.Name] = i + 1
		}
		if err := outbound.CheckURL(d.URL, d.AllowPrivate); err != nil {
			fault("%v", err)
		}
		if len(d.Events) == 0 {
			fault("has no events: set events to one or more of %s", strings.Join(Events(), ", "))
		}
		for _, name := range d.Events {
			if !slices.Contains(Events(), name) {
				fault("%s", unknownEvent(name))
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
		if slices.Contains(d.Events, Publication) && len(d.Channels) == 0 {
			fault("wants publications, and has no channels: set channels to patterns of those that it is to get, as in channels: [\"orders.*\"]")
		}
		if err := outbound.CheckSecret(d.Secret, d.SecretFile, &d.App); err != nil {
			fault("%v", err)
		}
	}
	return errors.Join(faults...)
}

func unknownEvent(name string) string {
	known := strings.Join(Events(), ", ")
	if near := spelling.Nearest(name, Events()); near != "" {
		return fmt.Sprintf("events: unknown event %q; did you mean %s? (%s)", name, near, known)
	}
	return fmt.Sprintf("events: unknown event %q: must be one of %s", name, known)
}

// secret is what signs, of an endpoint without an app.
func (d *Definition) secret() ([]byte, error) { return outbound.ReadSecret(d.Secret, d.SecretFile) }
