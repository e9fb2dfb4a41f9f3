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

// Import implements loop.Mover.
func (f *Front) Import(c loop.Client, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var k carried
	if err := json.Unmarshal(data, &k); err != nil {
		return fmt.Errorf("what the front knew of a connection: %w", err)
	}
	session := c.Session()
	by := share.Of(c.Peer().Addr(), session)
	if k.Pusher != nil {
		if err := f.pusher.Restore(c, k.Pusher); err != nil {
			return err
		}
	}
	if k.Guest != nil {
		var proven *grant.Grant
		if k.Guest.Grant != nil {
			var err error
			if proven, err = k.Guest.Grant.Grant(selectors); err != nil {
				f.Left(session)
				return fmt.Errorf("what a client has proven: %w", err)
			}
		}
		f.guests.Restore(session, by, *k.Guest, proven)
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
