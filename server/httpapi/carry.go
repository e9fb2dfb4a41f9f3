package httpapi

import (
	"encoding/json"
	"fmt"
	"time"

	"peal/loop"
	"peal/server/grant"
	"peal/server/mercure"
	"peal/server/mercure/subscription"
	"peal/server/pusher/room"
	"peal/server/share"
	"peal/server/subscribe"
)

// carried is what a Front knows of a session, as JSON for another process. Most sessions
// have nothing, and no bytes.
type carried struct {
	Guest    *subscribe.Carried     `json:"guest,omitempty"`
	Pusher   *room.Carried          `json:"pusher,omitempty"`
	Topics   []subscription.Carried `json:"topics,omitempty"`
	Catching *carriedCatching       `json:"catching,omitempty"`
	Access   *carriedAccess         `json:"access,omitempty"`
}

// carriedCatching is an event stream that is not up to date.
type carriedCatching struct {
	Newest uint64        `json:"newest"`
	Left   time.Duration `json:"left"`
}

// carriedAccess is a request whose line in the access log is due with its response.
type carriedAccess struct {
	Line  []byte    `json:"line"`
	Began time.Time `json:"began"`
}

// Export implements loop.Mover. A Pusher client over plain HTTP stays: its session is a
// connection inside this process.
func (f *Front) Export(session uint64, dst []byte) ([]byte, bool) {
	if f.deps.Streams.Receives(session) || f.lot.Waits(session) {
		return dst, false
	}
	var k carried
	some := false
	if g, ok := f.guests.Carry(session); ok {
		k.Guest, some = &g, true
	}
	if k.Pusher = f.pusher.Carry(session); k.Pusher != nil {
		some = true
	}
	if k.Topics = f.deps.Subscriptions.Carry(session); len(k.Topics) > 0 {
		some = true
	}
	if c, ok := f.streams.catching[session]; ok {
		k.Catching, some = &carriedCatching{c.newest, c.left}, true
	}
	if a, ok := f.access.awaited[session]; ok {
		k.Access, some = &carriedAccess{a.line, a.began}, true
	}
	if !some {
		return dst, true
	}
	text, err := json.Marshal(&k)
	if err != nil {
		return dst, false // no value of k has an error
	}
	return append(dst, text...), true
}

// mark is what Export returns for most sessions, to be compared with ==.
type mark struct {
	guest  subscribe.Mark
	pusher room.Mark
	topics subscription.Mark
}

// markOf returns it. ok is false if there is more.
func (f *Front) markOf(session uint64) (m mark, ok bool) {
	var a, b, c bool
	m.guest, a = f.guests.Mark(session)
	m.pusher, b = f.pusher.Mark(session)
	m.topics, c = f.deps.Subscriptions.Mark(session)
	_, catching := f.streams.catching[session]
	_, logged := f.access.awaited[session]
	return m, a && b && c && !catching && !logged && !f.deps.Streams.Receives(session) && !f.lot.Waits(session)
}

// Mark implements loop.Mover.
func (f *Front) Mark(session uint64) any {
	if m, ok := f.markOf(session); ok {
		return m
	}
	return nil
}

// Same implements loop.Mover.
func (f *Front) Same(session uint64, since any) bool {
	before, some := since.(mark)
	m, ok := f.markOf(session)
	return some && ok && m == before
}

// arrived is what Read makes of carried.
type arrived struct {
	carried
	proven *grant.Grant // of carried.Guest
}

// Read implements loop.Mover.
func (f *Front) Read(data []byte) (any, error) {
	m := &arrived{}
	if err := json.Unmarshal(data, &m.carried); err != nil {
		return nil, fmt.Errorf("what the front knew of a connection: %w", err)
	}
	if m.Guest != nil && m.Guest.Grant != nil {
		var err error
		if m.proven, err = m.Guest.Grant.Grant(selectors); err != nil {
			return nil, fmt.Errorf("what a client has proven: %w", err)
		}
	}
	return m, nil
}

// Import implements loop.Mover.
func (f *Front) Import(c loop.Client, from any) error {
	k, some := from.(*arrived)
	if !some {
		return nil
	}
	session := c.Session()
	by := share.Of(c.Peer().Addr(), session)
	if k.Pusher != nil {
		if err := f.pusher.Restore(c, k.Pusher); err != nil {
			return err
		}
	}
	if k.Guest != nil {
		f.guests.Restore(session, by, *k.Guest, k.proven)
	}
	f.deps.Subscriptions.Restore(session, by, k.Topics)
	if k.Catching != nil {
		f.streams.catching[session] = catching{k.Catching.Newest, k.Catching.Left}
		ref := c.Ref()
		time.AfterFunc(firstLook, func() { f.deps.Door.Do(ref, f.streams.caughtUp) })
	}
	if k.Access != nil && f.access.out != nil {
		f.access.awaited[session] = access{line: k.Access.Line, began: k.Access.Began}
	}
	return nil
}

// selectors compiles those of a token of the Mercure protocol.
func selectors(texts []string) (grant.Selectors, error) {
	s, err := mercure.Compile(texts)
	if err != nil {
		return nil, err
	}
	return s, nil
}
