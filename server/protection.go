package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"peal/loop"
	"peal/server/app"
	"peal/server/engine"
	"peal/server/httpapi"
	"peal/server/log"
)

// protection remembers in the log which namespaces apps have had. What was published on their
// private channels outlives the apps: after a restart without them, these channels must not
// be open to everybody. It is a log.Tail, and a part of states.
type protection struct {
	mu    sync.Mutex
	known map[string]struct{}
}

// eventApps is a control entry whose data is a JSON array of namespaces.
const eventApps = "apps"

func (p *protection) Room(int, int) bool { return true }
func (p *protection) Wake()              {}

// Apply implements log.Tail.
func (p *protection) Apply(batch []*log.Entry) {
	for _, e := range batch {
		if e.Kind == log.KindControl && e.Event == eventApps {
			_ = p.Load(e.Data) // of this or a later version of Peal
		}
	}
}

// Save is all namespaces, nil for none.
func (p *protection) Save() []byte {
	all := p.namespaces()
	if len(all) == 0 {
		return nil
	}
	b, _ := json.Marshal(all) // texts
	return b
}

// Load adds what Save has returned.
func (p *protection) Load(saved []byte) error {
	if len(saved) == 0 {
		return nil
	}
	var all []string
	if err := json.Unmarshal(saved, &all); err != nil {
		return errStates
	}
	p.add(all)
	return nil
}

func (p *protection) add(namespaces []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string]struct{}{}
	}
	for _, n := range namespaces {
		p.known[n] = struct{}{}
	}
}

func (p *protection) namespaces() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.known))
}

// missing are those of the namespaces that are not remembered.
func (p *protection) missing(namespaces []string) []string {
	known := p.namespaces()
	return slices.DeleteFunc(slices.Clone(namespaces), func(n string) bool { _, found := slices.BinarySearch(known, n); return found })
}

// rememberApps has the log remember the namespaces of the apps. It does not wait: what clients publish
// comes behind it in the log.
func (s *Server) rememberApps(t *app.Table) {
	missing := s.protection.missing(t.Namespaces())
	if len(missing) == 0 {
		return
	}
	if s.config.Engine == engine.Default && s.config.open == nil { // a restart empties the log: only a hand-over needs them
		s.protection.add(missing)
		return
	}
	data, _ := json.Marshal(missing) // texts
	failed := func(err error) {
		if err != nil {
			s.config.Log.Warn("the log does not remember the namespaces of the apps: after a restart without the apps, their private channels are open", "error", err)
		}
	}
	if err := s.log.Append([]*log.Entry{{Kind: log.KindControl, Event: eventApps, Data: data}}, failed); err != nil {
		failed(err)
	}
}

// endUngranted ends streams and polls that read channels which are protected since an app was
// added, and have not been granted them. before is the table without the app.
func (s *Server) endUngranted(ctx context.Context, before, now *app.Table) error {
	if slices.Equal(before.Namespaces(), now.Namespaces()) {
		return nil
	}
	done := make(chan int, 1)
	pick := func(front loop.Front, session uint64, channels []string) *loop.Ending {
		return front.(*httpapi.Front).Ungranted(session, channels)
	}
	for !s.loops.DismissReaders(pick, func(ended int) { done <- ended }) {
		select {
		case <-time.After(retryDismiss):
		case <-ctx.Done():
			return fmt.Errorf("the apps are in use, but readers of their private channels were not ended: reload again: %w", ctx.Err())
		}
	}
	select {
	case ended := <-done:
		if ended > 0 {
			s.config.Log.Info("ended connections that read private channels of an app that was added", "connections", ended)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("an event loop does not respond: %w", ctx.Err())
	}
}
