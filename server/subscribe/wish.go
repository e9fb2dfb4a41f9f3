package subscribe

import (
	"slices"
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
)

// Wish is what a client asks to receive. It may be on no channel yet, as a
// connection with commands begins.
type Wish struct {
	Channels  *names.Set
	Dialects  *dialect.Table
	Dialect   ring.Encoding // the row
	Start     Start
	Known     bool          // the cursor is the id of the client's last event
	Timeout   time.Duration // of a poll, 0 for a stream
	Visitor   Visitor
	Session   *[16]byte // the session id that the client presented; nil for none
	Presence  bool      // with the presence events of the channels
	IgnoreGap bool      // go on after a gap for which the dialect has no word
}

var errPresenceRaw = &refusal.Error{Status: 400, Code: "bad_presence", Message: "the raw format cannot carry presence events: use format=json, or the subprotocol peal.v1"}

// Check finds out whether the wish makes sense, whoever has it.
func (w *Wish) Check() *refusal.Error {
	if err := w.Visitor.Check(); err != nil {
		return err
	}
	if w.Presence && !w.Dialects.At(w.Dialect).TellsPresence() {
		return errPresenceRaw
	}
	return nil
}

// What a subscription costs a loop beside what the fan-out counts, in units of
// loop.Call.Work.
const (
	NameWork = 1 // one channel of a set that is looked up and sorted
	SeatWork = 2 // one channel on which a client is listed
)

// Work is what the subscription s, made of w, costs.
func (w *Wish) Work(s *loop.Subscription) int {
	if s.Named {
		return (NameWork + SeatWork) * w.Channels.Len()
	}
	return NameWork * w.Channels.Len()
}

// Subscribe asks whether the client may have what it wishes, and makes the
// subscription. r has the client, where it asks from, and what it has already; the
// rest of r is set here. Guests.Arrive must follow.
func (w *Wish) Subscribe(gate *permit.Gate, r *permit.Request) (*loop.Subscription, *refusal.Error) {
	r.Action, r.Channels, r.Presence = permit.Subscribe, w.Channels.List(), w.Presence
	r.Who.Client, r.Behind = w.Visitor.Client, w.Start.Behind
	if err := gate.Decide(r); err != nil {
		if err == permit.ErrDisconnected {
			w.sendAway(gate)
		}
		if gate.Refused != nil && err != permit.ErrAsk {
			gate.Refused(r, err)
		}
		return nil, err
	}
	if w.Visitor.Self == nil { // else the app of the channel has named it
		w.take(&r.Given)
	}
	s := w.Dialects.Subscription(w.Dialect, w.Channels.Len())
	s.Channels, s.From, s.Sequence, s.Count = w.channels(gate), w.Start.From, w.Start.Sequence, w.Start.Count
	s.Known, s.IgnoreGap, s.Deadline, s.Adopt = w.Known, w.IgnoreGap, w.Timeout, w.Session
	return s, nil
}

// take makes the visitor the one that the backend says.
func (w *Wish) take(g *permit.Given) {
	if g.User != "" {
		w.Visitor.Client = []byte(g.User)
	}
	if g.HasInfo {
		w.Visitor.Info = []byte(g.Info)
	}
}

// sendAway ends the presence of a banned client at once where it is still listed,
// between two polls for example.
func (w *Wish) sendAway(gate *permit.Gate) {
	for _, n := range w.Channels.List() {
		if gate.HasPresence(n) {
			gate.Presence.EndGrace(n.Text(), string(w.Visitor.Client))
		}
	}
}

// channels is the set to subscribe to: beside the channels the server's own that
// carry their presence events.
func (w *Wish) channels(gate *permit.Gate) []string {
	list := w.Channels.List()
	switch {
	case len(list) == 0:
		return nil
	case !w.Presence:
		return w.Channels.Sorted()
	case len(list) == 1:
		return list[0].Watched()
	}
	var set []string
	for _, n := range list {
		if gate.HasPresence(n) {
			set = append(set, n.Watched()...)
		} else {
			set = append(set, n.Text())
		}
	}
	slices.Sort(set)
	return set
}
