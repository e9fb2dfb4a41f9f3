package webhook

import (
	"encoding/json"
	"slices"
	"sync"

	"peal/server/log"
)

// state is what the entries of this package have led to: the same on all nodes.
type state struct {
	// fold guards what was reported, which may be large. Apply never takes it: changes wait
	// until somebody else folds them in. It is taken before mu.
	fold     sync.Mutex
	channels map[string]*channel // that were reported as occupied, or have members
	names    int                 // channels and members
	saved    []byte              // of the state as it is, nil if it has changed since

	mu      sync.Mutex
	look    lease // of the observer
	places  map[string]position
	pending []changes
	changed bool // since saved
}

// lease is that of an endpoint, or of the observer. A log of one node has none: all of it is zero.
type lease struct {
	Node   uint64 `json:"node,omitempty"`  // that holds it, 0 for none
	Number uint64 `json:"lease,omitempty"` // 1 more each time that it changes hands
	Asked  uint64 `json:"asked,omitempty"` // node that asks for it, 0 for none
}

// position are the lease and the newest bounds of an endpoint. Entry is the newest of either; Time
// is that of the bounds. From is "" before the first bounds.
type position struct {
	lease
	From  string `json:"from,omitempty"`
	Upto  string `json:"upto,omitempty"`
	Gap   bool   `json:"gap,omitempty"`
	Entry uint64 `json:"entry"`
	Time  int64  `json:"time"`
}

// channel is what was reported of one.
type channel struct {
	Subscribers int                 `json:"n,omitempty"`
	Members     map[string]struct{} `json:"members,omitempty"`
}

// kept is the state as it is saved, in JSON.
type kept struct {
	Version  int                 `json:"version"`
	lease                        // of the observer
	Places   map[string]position `json:"places,omitempty"`
	Channels map[string]*channel `json:"channels,omitempty"`
}

const (
	stateVersion = 1

	// mostPlaces is how many endpoints are remembered, those of other configurations too. Beyond
	// it the one that was heard of the longest ago is forgotten.
	mostPlaces = 2 * Most
)

func newState() *state {
	return &state{channels: map[string]*channel{}, places: map[string]position{}}
}

// apply follows one entry, under the append lock: a few maps, and no more.
func (s *state) apply(e *log.Entry) error {
	switch e.Event {
	case eventBatch:
		b, err := parse[bounds](e)
		if err != nil {
			return err
		}
		s.applyBounds(&b, e)
	case eventChanges:
		c, err := parse[changes](e)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.Lease == s.look.Number {
			s.pending, s.changed = append(s.pending, c), true
		}
	case eventLease:
		c, err := parse[claim](e)
		if err != nil {
			return err
		}
		s.applyClaim(&c, e)
	}
	return nil
}

// applyClaim gives a lease to a node, or notes that a node asks for it.
func (s *state) applyClaim(c *claim, e *log.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.look
	if c.Name != observing {
		at = s.places[c.Name].lease
	}
	switch {
	case c.Ask && c.Lease == at.Number:
		at.Asked = c.Node
	case !c.Ask && c.Lease == at.Number+1:
		at = lease{Node: c.Node, Number: c.Lease}
	default:
		return
	}
	s.changed = true
	if c.Name == observing {
		s.look = at
		return
	}
	p := s.places[c.Name]
	p.lease, p.Entry = at, e.Sequence
	s.putLocked(c.Name, p)
}

func (s *state) applyBounds(b *bounds, e *log.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.places[b.Endpoint].lease
	if b.Lease != at.Number {
		return
	}
	s.changed = true
	s.putLocked(b.Endpoint, position{lease: at, From: b.From, Upto: b.Upto, Gap: b.Gap, Entry: e.Sequence, Time: e.Time})
}

func (s *state) putLocked(name string, p position) {
	s.places[name] = p
	if len(s.places) > mostPlaces {
		oldest := name
		for name, p := range s.places {
			if p.Entry < s.places[oldest].Entry {
				oldest = name
			}
		}
		delete(s.places, oldest)
	}
}

// bounds are those of an endpoint; ok is false before the first.
func (s *state) bounds(name string) (p position, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p = s.places[name]
	return p, p.From != ""
}

// lease is that of an endpoint, or of the observer.
func (s *state) lease(name string) lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == observing {
		return s.look
	}
	return s.places[name].lease
}

// settle folds the changes in that wait. Somebody must call it now and then.
func (s *state) settle() {
	s.fold.Lock()
	defer s.fold.Unlock()
	s.settleFolding()
}

func (s *state) settleFolding() {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	for i := range pending {
		for k := range pending[i].All {
			s.changeFolding(&pending[i].All[k])
		}
	}
}

func (s *state) changeFolding(k *change) {
	known := s.channels[k.Channel]
	if known == nil {
		if k.Name == Vacated || k.Name == Removed {
			return
		}
		known = &channel{}
		s.channels[k.Channel] = known
		s.names++
	}
	switch k.Name {
	case Added:
		if known.Members == nil {
			known.Members = map[string]struct{}{}
		}
		if _, ok := known.Members[k.Member]; !ok {
			known.Members[k.Member] = struct{}{}
			s.names++
		}
	case Removed:
		if _, ok := known.Members[k.Member]; ok {
			delete(known.Members, k.Member)
			s.names--
		}
	default:
		known.Subscribers = k.Subscribers
	}
	if known.Subscribers == 0 && len(known.Members) == 0 {
		delete(s.channels, k.Channel)
		s.names--
	}
}

// reported are the channels of which something was, and the number of names.
func (s *state) reported() (channels []string, names int) {
	s.fold.Lock()
	defer s.fold.Unlock()
	s.settleFolding()
	for name := range s.channels {
		channels = append(channels, name)
	}
	return channels, s.names
}

// compare returns what was reported of a channel: its subscribers, those of clients that are new, and
// the members that are no clients any more.
func (s *state) compare(name string, clients []string) (subscribers int, added, removed []string) {
	s.fold.Lock()
	defer s.fold.Unlock()
	s.settleFolding()
	known := s.channels[name]
	if known == nil {
		return 0, clients, nil
	}
	now := make(map[string]struct{}, len(clients))
	for _, client := range clients {
		now[client] = struct{}{}
		if _, ok := known.Members[client]; !ok {
			added = append(added, client)
		}
	}
	for client := range known.Members {
		if _, ok := now[client]; !ok {
			removed = append(removed, client)
		}
	}
	slices.Sort(removed)
	return known.Subscribers, added, removed
}

// save is log.State.Save; nothing where there is nothing. Equal states have equal bytes.
func (s *state) save() []byte {
	s.fold.Lock()
	defer s.fold.Unlock()
	s.settleFolding()
	s.mu.Lock()
	k := kept{Version: stateVersion, lease: s.look, Places: make(map[string]position, len(s.places))}
	for name, p := range s.places {
		k.Places[name] = p
	}
	changed := s.changed
	s.changed = false
	s.mu.Unlock()
	if k.lease == (lease{}) && len(k.Places)+len(s.channels) == 0 {
		return nil
	}
	if changed || s.saved == nil {
		k.Channels = s.channels
		s.saved, _ = json.Marshal(&k) // maps, texts and numbers: always
	}
	return s.saved
}

// load is log.State.Load.
func (s *state) load(b []byte) error {
	k := kept{Version: stateVersion}
	if len(b) > 0 && (json.Unmarshal(b, &k) != nil || k.Version != stateVersion) {
		return errEntry
	}
	s.fold.Lock()
	defer s.fold.Unlock()
	s.channels, s.names, s.saved = map[string]*channel{}, 0, nil
	for name, c := range k.Channels {
		if c != nil {
			s.channels[name] = c
			s.names += 1 + len(c.Members)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look, s.places, s.pending, s.changed = k.lease, map[string]position{}, nil, true
	for name, p := range k.Places {
		s.places[name] = p
	}
	return nil
}
