package trace

import (
	"math"
	"net/netip"
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

// Ask judges at most n lives from the number from on, and adds what it finds to f. It returns the
// number to go on with, 0 at the end. live is called for connections that are open: it returns what
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
	for i := from; i < from+uint32(n); i++ {
		if i >= r.usedLives {
			return 0
		}
		l := r.life(i)
		if l.session == 0 || !r.isAsked(l, q, on) {
			continue
		}
		if len(f.Found) >= MostFound {
			f.Omitted++
			continue
		}
		if one, ok := r.judge(l, q, on, live); ok {
			f.Found = append(f.Found, one)
		}
	}
	return from + uint32(n)
}

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

// judge says what became of the message for one life. ok is false for the refusal of other channels, which says nothing.
func (r *Record) judge(l *life, q *Question, on func(uint32) bool, live func(uint32) uint64) (f Found, ok bool) {
	f = Found{
		Client: Client{Session: l.session, ID: r.idOf(l, q), Name: r.texts.of(l.name), Dialect: l.dialect, Poll: l.flags&flagPoll != 0},
		Began:  l.beganAt, Covered: l.covered,
		Confirmed: l.confirmed, ConfirmedAt: l.confirmedAt, ConfirmedBy: l.confirmedBy,
	}
	f.refused = l.flags&flagRefused != 0
	if l.flags&flagAddress != 0 {
		f.Address = netip.AddrFrom16(l.address).Unmap()
	}
	if l.flags&flagEnded != 0 {
		f.Ended, f.How, f.gone = l.endedAt, r.texts.of(l.how), l.ended
	} else {
		f.Covered = live(l.slot)
	}
	m := q.Sequence
	best, found := Later, false
	excluded := q.Exclude != [16]byte{} && f.ID == q.Exclude
	pick := func(v Verdict, k *node, at int64, detail string) {
		if !found || v < best {
			best, found = v, true
			f.Channel, f.At, f.Detail = r.texts.of(k.channel), at, detail
		}
	}
	for i := l.first; i != 0; i = r.node(i).next {
		k := r.node(i)
		if !on(k.channel) {
			continue
		}
		switch k.kind {
		case kindRefused:
			v := ByPolicy
			code := r.texts.of(k.code)
			if IsGrant(code) {
				v = NotGranted
			}
			pick(v, k, k.at, code)
		case kindJoined:
			if k.head < m {
				f.hadUntil = max(f.hadUntil, k.hadUntil(f.Poll))
			}
			if k.cursor > f.cursor {
				f.cursor, f.cursorAt = k.cursor, k.cursorAt
			}
			if v, at, detail := r.judgeJoined(l, i, m, f.Covered); v != none {
				if excluded && (v == Sent || v == Behind) {
					v = Excluded
				}
				pick(v, k, at, detail)
			}
		}
	}
	switch {
	case l.flags&flagEnded != 0 && l.ended < m && best > Disconnected:
		best, f.Channel = Disconnected, ""
	case !found && l.began < m:
		best = NotSubscribed
	}
	if best == Disconnected {
		f.At = f.Ended
	}
	if l.flags&flagLossy != 0 || m <= l.forgotten && best != Sent {
		best, f.Detail = Unclear, "the record of this connection is not complete"
	}
	f.Verdict = best
	return f, found || l.flags&flagRefused == 0 || l.flags&flagLossy != 0
}

// hadUntil is until when a connection had the channel of a subscription.
func (k *node) hadUntil(poll bool) int64 {
	switch {
	case poll:
		return max(k.at, k.endAt)
	case k.open:
		return math.MaxInt64
	}
	return k.endAt
}

// none is no verdict.
const none = NotKnown + 1

// judgeJoined says what became of message m by the subscription of node number i.
func (r *Record) judgeJoined(l *life, i uint32, m, covered uint64) (v Verdict, at int64, detail string) {
	k := r.node(i)
	upto := k.upto
	if k.open {
		upto = max(upto, covered)
	}
	if m <= k.start {
		switch {
		case k.from == again:
			return none, 0, ""
		case k.from == After:
			return Had, k.at, ""
		case k.from == Foreign:
			return GapTold, k.at, whys[Unknown]
		case k.from == Earliest:
			return Gone, k.at, ""
		case l.began >= m:
			return Later, k.at, ""
		}
		return NotSubscribed, k.at, ""
	}
	if g := r.gapOf(l, i, m); g != nil {
		if g.why == Policy {
			return ByPolicy, g.at, "slow consumer"
		}
		return GapTold, g.at, whys[g.why]
	}
	switch {
	case m <= k.told && k.from == Foreign:
		return GapTold, k.at, whys[Unknown]
	case m <= k.told:
		return Gone, k.at, ""
	case m <= upto:
		return Sent, k.at, ""
	case m == k.unsure, k.unsure == AllUnsure && (k.open || m <= k.end):
		return Unclear, k.endAt, "it was being sent when the subscription changed"
	case k.open:
		return Behind, 0, ""
	case k.atEnd:
		return Disconnected, l.endedAt, ""
	}
	return NotSubscribed, k.endAt, ""
}

// gapOf is the gap of the subscription of node i that has m, nil for none. It lies in the list
// before the node, and behind a later subscription to the channel.
func (r *Record) gapOf(l *life, i uint32, m uint64) (found *node) {
	channel := r.node(i).channel
	for at := l.first; at != i; at = r.node(at).next {
		k := r.node(at)
		switch {
		case k.channel != channel:
		case k.kind == kindJoined:
			found = nil
		case k.kind == kindGap && k.start < m && m <= k.upto:
			found = k
		}
	}
	return found
}

// IsGrant reports whether a refusal with that code is about what the client has proven.
func IsGrant(code string) bool {
	switch code {
	case "not_allowed", "signature_invalid", "key_invalid", "key_unknown", "token_missing", "token_invalid", "token_expired", "token_not_yet_valid", "token_revoked":
		return true
	}
	return false
}
