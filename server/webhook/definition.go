package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

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
	mostURL         = 2048
	mostPatterns    = 100
	leastSecret     = 24 // bytes, of Standard Webhooks
	mostSecret      = 512
	DefaultRetryFor = 24 * time.Hour
	DefaultTimeout  = 10 * time.Second
)

// secretPrefix begins secrets of Standard Webhooks, which are base64 behind it.
const secretPrefix = "whsec_"

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
		if err := checkURL(d.URL, d.AllowPrivate); err != nil {
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
		if err := d.checkSecret(); err != nil {
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

// checkURL does not repeat the URL: its query may be secret.
func checkURL(text string, private bool) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return errors.New("has no url: set it to where events are sent, as in https://app.example/hooks")
	case len(text) > mostURL || err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("url: must be an absolute URL of at most 2048 bytes, as in https://app.example/hooks")
	case u.User != nil:
		return errors.New("url: has a user name or password: remove it; the signature says that Peal sends")
	case u.Fragment != "":
		return errors.New("url: has a fragment (#), which is never sent: remove it")
	case u.Scheme == "http" && !private:
		return errors.New("url: http sends events in clear text: use https, or set allow-private: true for an endpoint in your own network")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("url: must begin with https://")
	}
	return nil
}

func (d *Definition) checkSecret() error {
	set := 0
	for _, s := range []string{d.Secret, d.SecretFile, d.App} {
		if s != "" {
			set++
		}
	}
	switch {
	case set == 0:
		return errors.New("has nothing to sign with: set secret-file, secret, or app")
	case set > 1:
		return errors.New("sets more than one of secret, secret-file and app: keep one")
	case d.Secret != "":
		_, err := parseSecret(d.Secret)
		return err
	}
	return nil
}

// parseSecret returns the bytes of a secret. The error does not repeat it.
func parseSecret(text string) ([]byte, error) {
	key := []byte(text)
	if rest, ok := strings.CutPrefix(text, secretPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(rest); err != nil {
			return nil, errors.New("secret: begins with whsec_, and what follows is not base64: copy it again, or use a text without whsec_")
		}
	}
	if len(key) < leastSecret || len(key) > mostSecret {
		return nil, fmt.Errorf("secret: has %d bytes: must have %d to %d, as whsec_ and the output of openssl rand -base64 32", len(key), leastSecret, mostSecret)
	}
	return key, nil
}

// secret is what signs, of an endpoint without an app.
func (d *Definition) secret() ([]byte, error) {
	if d.SecretFile == "" {
		return parseSecret(d.Secret)
	}
	b, err := os.ReadFile(d.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret-file: %w", err)
	}
	key, err := parseSecret(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("secret-file %s: %w", d.SecretFile, err)
	}
	return key, nil
}

// Redacted is a URL without its query, for people.
func Redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not a URL)"
	}
	u.User, u.Fragment = nil, ""
	if u.RawQuery != "" {
		u.RawQuery = "(not shown)"
	}
	return strings.ReplaceAll(u.String(), "%28not%20shown%29", "(not shown)")
}
