package log

// Kind tells what an entry means to the readers of the log.
type Kind uint8

const (
	KindPublication Kind = iota // a message for the subscribers of its channels
	KindPresence                // members joined or left; never part of a history
	KindControl                 // an order to the nodes; never delivered
)

// PresencePrefix and the name of a channel are the name of the server's channel on
// which those who asked get the presence entries of that channel.
const PresencePrefix = "$presence:"

// PrivatePrefix and a topic are the name of the server's channel for the private updates
// of that topic (Mercure). No other dialect can name it.
const PrivatePrefix = "$private:"

// RetryTag is the tag of an entry with the time, in milliseconds, after which clients of
// an event stream should reconnect.
const RetryTag = "retry"

// UserTag is the tag of an entry with the user_id of the client of the Pusher protocol that
// has sent it on a presence channel.
const UserTag = "pusher.user_id"

// AlsoTag is the tag of an entry with several channels: the decimal number of the first ones
// of Also that every client may subscribe to, so that subscribers of the others may read their
// names. Without it there is none.
const AlsoTag = "also"

// ClientTag is a tag, of any value, of an entry that a client of the Pusher protocol has sent, not a backend.
const ClientTag = "pusher.client"

// TraceTag is the tag of an entry with the traceparent (W3C Trace Context) that its subscribers receive.
const TraceTag = "traceparent"

// NodeTag is the tag of an entry about a subscription of the Mercure protocol with the node, in hexadecimal, whose
// subscription it is. If another node has appended it, that one follows behind a space.
const NodeTag = "mercure.node"

// Entry is one record of the log. Data and the strings belong to the log once
// appended and must not be changed.
type Entry struct {
	Sequence uint64 // filled in by the engine, first is 1
	Time     int64  // milliseconds since 1970 UTC; filled in by the engine where zero
	Kind     Kind
	Binary   bool // not to be shown as text: published as octet-stream, as a binary frame, or not UTF-8
	Private  bool
	Channel  string
	Also     []string // further channels
	Event    string   // SSE event name, "" for none
	Data     []byte   // exactly the published bytes
	Shared   *Shared  // the entries of the batch that have the same Data, nil for none

	Publisher      string    // whose IdempotencyKey it is, "" for backends
	TTL            int64     // milliseconds, 0 for the channel's rule
	Key            string    // compaction key
	Exclude        *[16]byte // id of the session that must not receive it, nil for none
	IdempotencyKey string
	Tags           map[string]string

	unknown []byte // whole fields of a later version, as ParseEntry found them
}

// EntryOverhead is what Size charges for an entry beyond its own bytes: the
// Entry, the message that ring and history share, its place in both, and a
// share of a channel. It is also the smallest Size, so n bytes of history hold
// at most n/EntryOverhead entries.
const EntryOverhead = 512 // see BenchmarkHistoryMemory in server/hub

// tagOverhead is what Size charges for one tag beyond its bytes: two string
// headers in a small map.
const tagOverhead = 48

// exclusionOverhead is what Size charges for Exclude: it, and what the message makes of it.
const exclusionOverhead = 64

// Size is the number of bytes that e is charged with wherever entries are
// limited by bytes: by Tail.Room, in the ring, in histories. It is an estimate
// of the memory that e keeps occupied, without what encoders make of it. Data that
// e shares is counted in full; see Charge and Saved.
func (e *Entry) Size() int {
	n := EntryOverhead + len(e.Channel) + len(e.Event) + len(e.Data) +
		len(e.Publisher) + len(e.Key) + len(e.IdempotencyKey) + len(e.unknown)
	for _, channel := range e.Also {
		n += len(channel) + 16 // its string header
	}
	if e.Exclude != nil {
		n += exclusionOverhead
	}
	for k, v := range e.Tags {
		n += len(k) + len(v) + tagOverhead
	}
	return n
}
