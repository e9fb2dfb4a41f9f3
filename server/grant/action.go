package grant

import "slices"

// Action is what a client asks for.
type Action uint8

const (
	Arrive     Action = iota // an HTTP request whose head has come; needs no grant
	Subscribe                // to receive channels
	History                  // to read retained messages
	Presence                 // to list the members of a channel, or to receive its presence events
	Publish                  // a message on channels
	Inspect                  // to list channels, or the numbers of one
	Disconnect               // to end the connections of clients
	Revoke                   // to end the validity of tokens
	actions
)

// texts are the names of the actions that can be granted, as keys of backends have them.
var texts = [actions]string{"", "subscribe", "history", "presence", "publish", "inspect", "disconnect", "revoke"}

func (a Action) String() string {
	if a == Arrive || a >= actions {
		return "arrive"
	}
	return texts[a]
}

// ParseAction returns the action of that name, if it is one that can be granted.
func ParseAction(text string) (a Action, ok bool) {
	i := slices.Index(texts[1:], text)
	return Action(i + 1), i >= 0
}

// Actions returns all that can be granted.
func Actions() []Action {
	all := make([]Action, 0, actions-1)
	for a := Subscribe; a < actions; a++ {
		all = append(all, a)
	}
	return all
}

// HasChannels reports whether the action is about channels, so that it is granted by
// patterns of their names.
func (a Action) HasChannels() bool { return a < Disconnect && a != Arrive }
