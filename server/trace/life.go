package trace

import "net/netip"

// From says where a subscription begins. The values are those of fanout.From.
type From uint8

const (
	Now      From = iota // behind the newest of the log
	After                // behind the cursor of the client
	Earliest             // with everything retained
	Last                 // with the newest few
	Foreign              // with everything retained, after a gap: the cursor means nothing
	Carried              // the connection is from another process, and what was before is not known

	again // a poll that repeats a part of what the polls before have covered
)

// Why is the cause of a gap.
type Why uint8

const (
	Retention Why = iota // the history had dropped the messages
	Policy               // the rule for slow consumers of the channel skipped them
	Unknown              // the cursor of the client meant nothing
	Lost                 // the log has lost them
)

var whys = [...]string{Retention: "retention", Policy: "policy", Unknown: "unknown cursor", Lost: "lost by the log"}

// By is how a client confirms.
type By uint8

const (
	Unconfirmed By = iota
	Pong           // its WebSocket answered a ping that came after the message
	NextPoll       // its next poll had a cursor behind it
	Reconnect      // it connected again with a cursor behind it
)

var bys = [...]string{Unconfirmed: "", Pong: "pong", NextPoll: "next poll", Reconnect: "reconnect cursor"}

// Client is whose connection it is.
type Client struct {
	Session uint64     // session number of the connection
	ID      [16]byte   // the id that it has adopted; zero: that of its session number
	Name    string     // user of its token, or client name; "" for none
	Address netip.Addr // not valid: of a Unix socket
	Dialect uint8      // number of the row

	// Poll: its subscription is a poll. Shared: the connection is that of a proxy, so requests
	// of other clients may come on it.
	Poll, Shared bool
}

// Joining is a subscription. Its slices are lent.
type Joining struct {
	Client
	Channels []string
	From     From
	Start    uint64   // nothing up to here is sent
	Told     []uint64 // for each of Channels: nothing up to here was retained, and the client gets no gap for it; nil: none

	// Covered is what the connection was sent before of its channels: up to there all. Unsure is the
	// message that is being sent, if it is greater; AllUnsure: those behind Covered may be sent or not.
	// Of a poll they are those of the poll before.
	Covered, Unsure uint64
}

// AllUnsure says of all messages that they may be sent or not.
const AllUnsure = ^uint64(0)

// untraced is the place of a connection for which there was no room.
const untraced = ^uint32(0)

// Life flags.
const (
	flagEnded   uint8 = 1 << iota
	flagLossy         // there was no room for something that happened to it
	flagRefused       // it was refused, and is nothing else
	flagPoll
	flagAddress // address is valid
	flagWide    // it had more channels than a life may have, and has no nodes; flagLossy, too
)

// life is one connection, without a pointer. See TestLifeBytes before adding a field.
type life struct {
	session     uint64
	id          [16]byte
	address     [16]byte
	began       uint64 // head of the log then
	ended       uint64 // likewise; flagEnded
	beganAt     int64  // milliseconds since 1970
	endedAt     int64
	covered     uint64 // at its end; before it is asked for
	confirmed   uint64
	confirmedAt int64
	asked       uint64 // position of the oldest ping that has no pong yet
	askedLast   uint64 // of the newest one
	forgotten   uint64 // some of what happened up to here was forgotten
	slot        uint32
	name        uint32 // text
	how         uint32 // text: how it ended
	first       uint32 // of its nodes, the newest first
	older       uint32 // neighbours in the list of its state: see lists
	newer       uint32
	nodes       uint16
	dialect     uint8
	pings       uint8 // without a pong
	confirmedBy By
	flags       uint8
}

// kind is what a node is.
type kind uint8

const (
	kindFree    kind = iota
	kindJoined       // a channel, from start to upto
	kindGap          // messages of a channel behind start, up to upto, were not sent
	kindRefused      // a channel that it may not have
)

// node is what happened to a life on one channel.
type node struct {
	next     uint32
	channel  uint32 // text
	start    uint64
	upto     uint64 // joined: it was sent everything up to here, perhaps more while the node is open
	unsure   uint64 // joined, closed: what lies between upto and here may have been sent
	told     uint64 // joined: nothing up to here was retained when it began
	head     uint64 // of the log when it began or happened
	end      uint64 // joined, closed: head of the log then
	at       int64  // milliseconds since 1970 when it began or happened
	endAt    int64  // then; joined by polls: of the last one that had the channel, or the first one that had not
	cursor   uint64 // joined: the greatest cursor of the client for it: it says that it has all up to here
	cursorAt int64
	code     uint32 // text: refused
	kind     kind
	from     From
	why      Why
	open     bool
	atEnd    bool // it lasted until the end of the life
}

const slabBits = 8

type (
	lifeSlab [1 << slabBits]life
	nodeSlab [1 << slabBits]node
)
