package webhook

import (
	"bytes"
	"fmt"
	"reflect"

	"peal/server/log"
)

// Prepare reads what the definitions need, which are valid. use replaces the endpoints by them; it does not
// fail. One with a new name begins with what is published from then on, or where another node is. One whose name is not
// there any more ends with the attempt that is on its way. One that has changed goes on from its cursor: the request that waits
// has the body that it had, and goes to the new URL. Any goroutine may call both, one at a time.
func (h *Hooks) Prepare(all []Definition, apps func(id string) (App, bool)) (use func(), err error) {
	next := make([]*endpoint, 0, len(all))
	for _, d := range all {
		p, err := newEndpoint(d, apps, h.config.Roots)
		if err != nil {
			return nil, err
		}
		p.apps = h.config.Apps
		if old := h.endpoint(p.Name); old != nil && (old.app == nil) != (p.app == nil) {
			return nil, fmt.Errorf("webhook %q: app cannot be set or removed while the server runs, because a request that waits has the other form: use another name, or restart the server", p.Name)
		}
		next = append(next, p)
	}
	return func() { h.use(next) }, nil
}

func (h *Hooks) use(next []*endpoint) {
	var definitions []Definition
	h.recent.mu.Lock()
	for i, p := range next {
		definitions = append(definitions, p.Definition)
		old := h.endpoint(p.Name)
		switch {
		case old == nil:
			p.line, p.added = newLine(), h.recent.begun
			if p.since = h.recent.head; p.added { // without endpoints, recent has not followed publications
				p.since = max(p.since, h.config.Log.Head())
			}
		case old.isSame(p):
			next[i] = old
			continue
		default:
			if p.line, p.since = old.line, old.since; !old.wantsSame(p) {
				p.since = h.recent.head
			}
		}
		p.now.Store(p)
	}
	before := h.endpoints()
	h.set.Store(&next)
	for _, p := range before {
		if h.endpoint(p.Name) == nil {
			p.now.Store(nil)
		}
	}
	h.recent.mu.Unlock()
	channels, members := Observed(definitions)
	h.look.channels.Store(channels)
	h.look.members.Store(members)
	h.TouchAll()
	for _, p := range before {
		if h.endpoint(p.Name) != p {
			p.client.CloseIdleConnections()
			signal(p.kick) // the new URL may work
		}
	}
}

// isSame reports whether a reload changes nothing.
func (p *endpoint) isSame(other *endpoint) bool {
	return reflect.DeepEqual(p.Definition, other.Definition) && bytes.Equal(p.secret, other.secret) && p.wantsSame(other)
}

// wantsSame reports whether both want the same entries.
func (p *endpoint) wantsSame(other *endpoint) bool {
	if p.app != nil && (other.app == nil || p.app.Namespace != other.app.Namespace) {
		return false
	}
	return reflect.DeepEqual(p.Events, other.Events) && reflect.DeepEqual(p.Channels, other.Channels)
}

// kickAll has the node that delivers to an endpoint make its next attempt now.
func (h *Hooks) kickAll(p *endpoint) {
	signal(p.kick)
	if h.shared != nil && p.holding.Load() == 0 {
		_ = h.config.Log.Append([]*log.Entry{entry(eventKick, kick{Endpoint: p.Name})}, nil) // else it waits for its time
	}
}

// applyKick follows such an entry.
func (h *Hooks) applyKick(e *log.Entry) {
	if k, err := parse[kick](e); err == nil {
		if p := h.endpoint(k.Endpoint); p != nil {
			signal(p.kick)
		}
	}
}
