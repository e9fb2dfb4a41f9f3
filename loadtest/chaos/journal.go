package chaos

import "time"

// kind of a record.
type kind uint8

const (
	opened   kind = iota // a connection was asked for; id is its index in journal.connections
	message              // id, channel; at, if the server gave it
	gap                  // channel, at: up to there; reason
	position             // at; of channel, or of everyChannel
	damaged              // something that no server may say: id is the index in journal.damage
)

// reason of a gap.
type reason uint8

const (
	discarded     reason = iota // no longer retained
	unknownCursor               // the cursor meant nothing to the server
	skipped                     // the client was slow, and the channel sends slow clients the newest message only
)

// reasons are their names on the wire.
var reasons = map[string]reason{"discarded": discarded, "unknown_cursor": unknownCursor, "slow": skipped}

// record is one thing a client did or heard.
type record struct {
	kind    kind
	reason  reason
	channel int32
	at      place
	id      uint64
	when    time.Duration // since the run began
}

// everyChannel stands for all channels of a connection.
const everyChannel = -1

// connection is what a client asked for.
type connection struct {
	transport string
	separate  bool // each channel has an order of its own: it may catch up while others are ahead
	retained  bool // without a cursor: begins with what is retained, and what is not is no gap
	channels  []int32
	from      []place // by channel, the cursor sent; zero: none, so it begins anywhere

	address string // of the client: with Questions no other connection has it
	start   int32  // of the server, to which it is; 0: not known
	proof   *proof // nil: none
	reduced bool   // it has lost a channel by a renewal
}

// journal is what one client heard, in order. It belongs to the client's
// goroutine, and after its end to the judge.
type journal struct {
	records     []record
	connections []connection
	damage      []string
}

func (j *journal) open(c connection, when time.Duration) {
	j.records = append(j.records, record{kind: opened, id: uint64(len(j.connections)), when: when})
	j.connections = append(j.connections, c)
}

func (j *journal) damaged(what string) {
	j.records = append(j.records, record{kind: damaged, id: uint64(len(j.damage))})
	j.damage = append(j.damage, what)
}
