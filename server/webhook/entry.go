package webhook

import (
	"encoding/json"
	"errors"

	"peal/server/log"
)

// Entries of kind control, by their Event. Their data is JSON of at most 64 KiB or so.
const (
	eventBatch   = "webhook-batch"   // bounds
	eventChanges = "webhook-changes" // changes
	eventLease   = "webhook-lease"   // claim
	eventMisses  = "webhook-misses"  // misses
	eventKick    = "webhook-kick"    // kick
)

// bounds say that an endpoint has everything up to From, and that the batch up to Upto is on
// its way; equal ones, that none is. They count if they are of the present lease of the endpoint.
type bounds struct {
	Endpoint string `json:"endpoint"`
	Lease    uint64 `json:"lease,omitempty"`
	From     string `json:"from"` // cursors
	Upto     string `json:"upto"`
	Gap      bool   `json:"gap,omitempty"` // the batch says that the entries between are gone
}

// changes are what an observer has found, in the order of their events.
type changes struct {
	Lease uint64   `json:"lease,omitempty"`
	All   []change `json:"all"`
}

// change is one of a channel. Name is of events; Subscribers are what there are now, of those
// of channels; Member is whom it is about.
type change struct {
	Name        string `json:"name"`
	Channel     string `json:"channel"`
	Subscribers int    `json:"subscribers,omitempty"`
	Member      string `json:"member,omitempty"`
}

// claim gives the lease of an endpoint, or that of the observer, to a node, or to none (0). Its number must be
// the next one, so that the first of several counts. With Ask, the node asks the one that holds the lease with
// this number to give it away.
type claim struct {
	Name  string `json:"endpoint,omitempty"` // "" of the observer
	Node  uint64 `json:"node"`
	Lease uint64 `json:"lease"`
	Ask   bool   `json:"ask,omitempty"`
}

// misses are channels with a cache that had no event for a subscriber.
type misses struct {
	Channels []string `json:"channels"`
}

// kick has an endpoint that waits make its next attempt now.
type kick struct {
	Endpoint string `json:"endpoint"`
}

// entry is one of kind control. Its values are texts and numbers, which JSON always has.
func entry(event string, v any) *log.Entry {
	data, err := json.Marshal(v)
	if err != nil {
		panic("webhook: " + err.Error())
	}
	return &log.Entry{Kind: log.KindControl, Event: event, Data: data}
}

var errEntry = errors.New("webhook: an entry is damaged, or of a later version of Peal")

func parse[T any](e *log.Entry) (v T, err error) {
	if json.Unmarshal(e.Data, &v) != nil {
		return v, errEntry
	}
	return v, nil
}

// isOurs reports whether the state follows the entry.
func isOurs(e *log.Entry) bool {
	return e.Kind == log.KindControl && (e.Event == eventBatch || e.Event == eventChanges || e.Event == eventLease)
}
