package ring

import "sync/atomic"

// Encoding numbers one way of writing a message on the wire. The ring only
// stores the results; who encodes decides what each number means.
type Encoding uint8

// MaxEncodings bounds Encoding: each message carries one slot for each.
const MaxEncodings = 8

// Message is one publication as the loops and the history see it: the same
// object everywhere, immutable after it was appended but for its encodings,
// each of which is filled at most once by whoever needs it first.
type Message struct {
	// Fixed before the message enters the ring.
	Sequence uint64   // number in the log, first is 1
	Channel  string   // where it was published
	Also     []string // further channels that carry the same message; usually nil
	Exclude  uint64   // session that must not receive it, 0 for none
	Size     int      // bytes charged to the limits of ring and history
	Entry    any      // what an encoder needs; the ring never looks inside
	Accepted int64    // when the log accepted it: nanoseconds of the writer's clock, 0 for unknown

	// Shared. A store publishes the finished bytes; the load in Encoded relies on it.
	encoded [MaxEncodings]atomic.Pointer[[]byte]
}

// Encoded returns the bytes of m in encoding k, calling encode when nobody
// has needed them before. Two callers may both encode; all of them get the
// bytes of the first to finish. The result is shared and must not be changed.
func (m *Message) Encoded(k Encoding, encode func(*Message, Encoding) []byte) []byte {
	if p := m.encoded[k].Load(); p != nil {
		return *p
	}
	b := encode(m, k)
	if m.encoded[k].CompareAndSwap(nil, &b) {
		return b
	}
	return *m.encoded[k].Load()
}

// Barred reports whether m must not reach session.
func (m *Message) Barred(session uint64) bool { return m.Exclude != 0 && m.Exclude == session }
