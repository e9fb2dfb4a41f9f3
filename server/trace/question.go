package trace

import (
	"slices"
)

// Verdict is what became of a message for one connection, or for all that a question is about.
type Verdict uint8

// In the order in which they count where a connection has several of the channels, or a client
// several connections.
const (
	Sent          Verdict = iota // the socket has taken it
	Unclear                      // NotKnown, of this connection
	Behind                       // it is still to come
	Had                          // the client said by its cursor that it had it
	Excluded                     // its publisher has left the session out
	GapTold                      // the client was told of a gap instead
	ByPolicy                     // a rule: for slow consumers, or about the channel
	NotGranted                   // the token of the client does not grant the channel
	Gone                         // the history had dropped it before the client came: retention, expired
	Disconnected                 // the connection had ended before
	NotSubscribed                // it was connected, and not subscribed then
	Later                        // it has connected later
	NotConnected                 // no connection of the client is in the record
	NotKnown                     // the record cannot tell: Answer.Reason
)

var verdicts = [...]string{
	Sent: "sent", Unclear: "not known", Behind: "still behind", Had: "had it by its cursor", Excluded: "excluded", GapTold: "gap told", ByPolicy: "policy",
	NotGranted: "token did not grant", Gone: "retention passed", Disconnected: "disconnected", NotSubscribed: "not subscribed then",
	Later: "connected later", NotConnected: "not connected", NotKnown: "not known",
}

// String is the verdict as answers have it.
func (v Verdict) String() string { return verdicts[v] }

// Question is one message, and about whom. It is not changed while records are asked.
type Question struct {
	Sequence uint64
	Channels []string // those of the message
	Exclude  [16]byte // the id of the session that it leaves out; zero: none

	// About whom: the connections of a name, of an id, of a session number, or all that had to do with the channels.
	Name   string
	ID     [16]byte
	Number uint64

	// Carries reports whether who subscribes to a channel of that name receives the message, beside
	// Channels themselves. nil: nobody.
	Carries func(channel string) bool

	// IDOf is the id of a session number.
	IDOf func(session uint64) [16]byte
}

// Found is a connection and what became of the message for it. Times are in milliseconds since 1970.
type Found struct {
	Verdict
	Client
	Began, Ended int64  // Ended is 0 while it is open
	How          string // it ended
	Channel      string // by which Verdict was found
	At           int64  // when the client subscribed, left, was told of the gap, or was refused
	Detail       string // cause of the gap, code of the refusal
	Covered      uint64 // it was sent everything of its channels up to here, but for its gaps

	Confirmed   uint64 // up to here; 0 for nothing
	ConfirmedAt int64
	ConfirmedBy By

	refused   bool  // its life is a refusal
	hadUntil  int64 // until when it had the channel to which it has subscribed before the message; of polls, when the last one came
	overtaken bool  // it is a refusal, and the client had the channel after it

	cursor   uint64 // the client said that it has everything of the channel up to here
	cursorAt int64
	gone     uint64 // sequence when it ended, if it has
}

// MostFound is how many connections an answer has. Further ones are counted.
const MostFound = 1000

// Finding is what one record has found.
type Finding struct {
	Found   []Found
	Omitted int // further connections

	complete        bool // no connection that could have been sent the message is missing
	completeRefused bool // likewise for refusals
	since           uint64
}

// Ask judges at most n lives from the number from on, fewer if much has happened to them, and adds what it finds to f. It returns
// the number to go on with, 0 at the end. live is called for connections that are open: it returns what
// Joining.Covered says.
func (r *Record) Ask(q *Question, from uint32, n int, live func(slot uint32) (covered uint64), f *Finding) (next uint32) {
	if from == 0 {
		f.complete = r.untraced == 0 && q.Sequence > r.horizon && q.Sequence > r.since
		f.completeRefused = f.complete && q.Sequence > r.refusedHorizon
		f.since = r.since
		from = 1
	} else if q.Sequence <= r.horizon || r.untraced > 0 {
		f.complete, f.completeRefused = false, false // something was forgotten meanwhile
	} else if q.Sequence <= r.refusedHorizon {
		f.completeRefused = false
	}
	on := r.wanted(q)
	i, nodes := from, 0
	for ; i < from+uint32(n) && nodes < nodesOfLife*n; i++ {
		if i >= r.usedLives {
			return 0
		}
		l := r.life(i)
		if l.session == 0 {
			continue
		}
		if q.ofChannels() {
			nodes += int(l.nodes)
		}
		if !r.isAsked(l, q, on) {
			continue
		}
		nodes += int(l.nodes)
		if len(f.Found) >= MostFound {
			f.Omitted++
			continue
		}
		if one, ok := r.judge(l, q, on, live); ok {
			f.Found = append(f.Found, one)
		}
	}
	return i
}

// nodesOfLife is for how many nodes of each life a step of Ask has time.
const nodesOfLife = 4

// ofChannels: the question is about all that had to do with its channels.
func (q *Question) ofChannels() bool { return q.Number == 0 && q.ID == [16]byte{} && q.Name == "" }

// wanted returns a function that reports whether a channel, by number, has the message.
func (r *Record) wanted(q *Question) func(channel uint32) bool {
	known := map[uint32]bool{}
	return func(channel uint32) bool {
		yes, ok := known[channel]
		if !ok {
			name := r.texts.of(channel)
			yes = slices.Contains(q.Channels, name) || q.Carries != nil && q.Carries(name)
			known[channel] = yes
		}
		return yes
	}
}

func (r *Record) isAsked(l *life, q *Question, on func(uint32) bool) bool {
	switch {
	case q.Number != 0:
		return l.session == q.Number
	case q.ID != [16]byte{}:
		return r.idOf(l, q) == q.ID
	case q.Name != "":
		return r.texts.of(l.name) == q.Name
	case l.flags&flagLossy != 0:
		return true // it may have had a channel that is not recorded
	}
	for i := l.first; i != 0; i = r.node(i).next {
		if on(r.node(i).channel) {
			return true
		}
	}
	return false
}

// idOf is the id by which publishers leave the client of l out.
func (r *Record) idOf(l *life, q *Question) [16]byte {
	if l.id != [16]byte{} || l.flags&flagPoll != 0 {
		return l.id
	}
	return q.IDOf(l.session)
}
