package webhook

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"peal/server/log"
	"peal/server/outbound"
	"peal/server/pattern"
)

// line is what an endpoint keeps when its definition changes.
type line struct {
	wake    chan struct{} // there is more in the log
	sending chan struct{} // has one while a request is on its way
	kick    chan struct{} // ends the pause before the next attempt
	holding atomic.Uint64 // the lease under which this node delivers, 1 beyond its number; 0: it does not
	counts  counts
	now     atomic.Pointer[endpoint] // as it is defined, nil if it was removed; stored with the lock of recent
}

func newLine() *line {
	return &line{wake: make(chan struct{}, 1), sending: make(chan struct{}, 1), kick: make(chan struct{}, 1)}
}

// endpoint is one that is configured. Fixed, but for its line.
type endpoint struct {
	Definition
	*line
	added    bool   // by a reload: it begins with since, if it has no cursor
	since    uint64 // the recent entries from there on have what it wants; what is before must be read, if it can be
	url      string
	secret   []byte // of Standard Webhooks
	app      *App   // as at the start, nil without one
	apps     func(id string) (App, bool)
	events   map[string]bool
	patterns []pattern.Pattern // of names without the namespace; none: all
	client   *http.Client
}

func newEndpoint(d Definition, apps func(id string) (App, bool), roots *x509.CertPool) (*endpoint, error) {
	if d.RetryFor <= 0 {
		d.RetryFor = DefaultRetryFor
	}
	if d.Timeout <= 0 {
		d.Timeout = DefaultTimeout
	}
	p := &endpoint{Definition: d, url: d.URL, events: map[string]bool{}, client: outbound.NewClient(d.Timeout, d.AllowPrivate, 1, roots)}
	for _, name := range d.Events {
		p.events[name] = true
	}
	for _, text := range d.Channels {
		compiled, err := pattern.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("webhook %q: channels %q: %w", d.Name, text, err)
		}
		p.patterns = append(p.patterns, compiled)
	}
	if d.App == "" {
		secret, err := d.secret()
		if err != nil {
			return nil, fmt.Errorf("webhook %q: %w", d.Name, err)
		}
		p.secret = secret
		return p, nil
	}
	if apps != nil {
		if app, ok := apps(d.App); ok {
			p.app, p.apps = &app, apps
			return p, nil
		}
	}
	return nil, fmt.Errorf("webhook %q: there is no app %q: set app to the id of one of apps, or sign with secret-file", d.Name, d.App)
}

// channel is the name of a channel as the endpoint sees it; ok is false if it is none of its own.
func (p *endpoint) channel(name string) (shown string, ok bool) {
	if strings.HasPrefix(name, log.PresencePrefix) {
		return "", false
	}
	shown = name
	if p.app != nil {
		if shown, ok = strings.CutPrefix(name, p.app.Namespace); !ok || strings.ContainsRune(shown, ':') || strings.HasPrefix(shown, "$") || strings.HasPrefix(shown, "#") {
			return "", false
		}
	}
	if len(p.patterns) == 0 {
		return shown, !strings.HasPrefix(shown, "$")
	}
	for i := range p.patterns {
		if p.patterns[i].Match(shown) {
			return shown, true
		}
	}
	return "", false
}

// clientPrefix begins the names of events that clients publish, in the Pusher protocol and here.
const clientPrefix = "client-"

// isOfClient reports whether a client has sent an event of that kind. A backend can publish one of such a name, too.
func isOfClient(e *log.Entry) bool {
	return strings.HasPrefix(e.Event, clientPrefix) && e.Tags[log.ClientTag] != ""
}

// wants reports whether the entry may be an event for the endpoint. It runs under the append lock.
func (p *endpoint) wants(e *log.Entry) bool {
	switch e.Kind {
	case log.KindControl:
		return e.Event == eventChanges || e.Event == eventMisses && p.events[CacheMiss]
	case log.KindPublication:
		if !p.events[Publication] && !(p.events[ClientEvent] && isOfClient(e)) {
			return false
		}
		if _, ok := p.channel(e.Channel); ok {
			return true
		}
		return slices.ContainsFunc(e.Also, func(name string) bool { _, ok := p.channel(name); return ok })
	}
	return false
}

// observes reports whether the endpoint wants what an observer finds: of channels, of members.
func (d *Definition) observes() (channels, members bool) {
	for _, name := range d.Events {
		channels = channels || name == Occupied || name == Vacated || name == Count
		members = members || name == Added || name == Removed
	}
	return channels, members
}
