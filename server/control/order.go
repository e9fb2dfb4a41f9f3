package control

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"peal/server/revoke"
)

// What orders are is the event of their entries. An entry of another event is of a
// later version, and is skipped.
const (
	eventDisconnect = "disconnect"
	eventRevoke     = "revoke"
)

// disconnection is a decision about clients, the data of an entry of kind control:
//
//	│ version 1 │ node 8 │ until 8, milliseconds since 1970, 0: let in again │ clients │
//	clients: each its length (uvarint) and its name
//
// Integers are little-endian.
type disconnection struct {
	node    uint64 // the Control that gave it
	until   int64
	clients []string

	sequence uint64 // once it is known that the log has it; not in the entry
}

// revocation is a decision about tokens, likewise:
//
//	│ version 1 │ node 8 │ given 8, seconds since 1970 │ before 8, the same │ names │
//	names: each what it is (2: sub, 3: jti), its length (uvarint) and the name
type revocation struct {
	node  uint64
	given int64
	revoke.Order
}

const (
	disconnectionVersion = 1
	disconnectionBytes   = 1 + 8 + 8
	revocationVersion    = 1
	revocationBytes      = 1 + 8 + 8 + 8
)

// What a name is, here and in the state.
const (
	ofClient  = 1
	ofSubject = 2
	ofID      = 3
)

// errOrder: the data is damaged, or of a later version.
var errOrder = errors.New("control: damaged, or of a later version of Peal")

// upToMillisecond is the moment of an order or of the state for an end of a ban in the
// table: rounded up, so that a ban never ends earlier elsewhere.
func upToMillisecond(until time.Time) int64 {
	return until.Add(time.Millisecond - 1).UnixMilli()
}

func appendDisconnection(dst []byte, o *disconnection) []byte {
	le := binary.LittleEndian
	dst = append(dst, disconnectionVersion)
	dst = le.AppendUint64(dst, o.node)
	dst = le.AppendUint64(dst, uint64(o.until))
	for _, client := range o.clients {
		dst = appendName(dst, client)
	}
	return dst
}

// parseDisconnection reads a whole order. It keeps nothing of b.
func parseDisconnection(b []byte) (o disconnection, err error) {
	if len(b) < disconnectionBytes || b[0] != disconnectionVersion {
		return disconnection{}, errOrder
	}
	le := binary.LittleEndian
	o.node, o.until = le.Uint64(b[1:]), int64(le.Uint64(b[9:]))
	for b = b[disconnectionBytes:]; len(b) > 0; {
		client, rest, ok := cutName(b)
		if !ok {
			return disconnection{}, errOrder
		}
		o.clients = append(o.clients, client)
		b = rest
	}
	return o, nil
}

func appendRevocation(dst []byte, o *revocation) []byte {
	le := binary.LittleEndian
	dst = append(dst, revocationVersion)
	dst = le.AppendUint64(dst, o.node)
	dst = le.AppendUint64(dst, uint64(o.given))
	dst = le.AppendUint64(dst, uint64(o.Before))
	for _, name := range slices.Sorted(maps.Keys(o.Subjects)) {
		dst = appendName(append(dst, ofSubject), name)
	}
	for _, name := range slices.Sorted(maps.Keys(o.IDs)) {
		dst = appendName(append(dst, ofID), name)
	}
	return dst
}

// parseRevocation reads a whole order. It keeps nothing of b.
func parseRevocation(b []byte) (o revocation, err error) {
	if len(b) < revocationBytes || b[0] != revocationVersion {
		return revocation{}, errOrder
	}
	le := binary.LittleEndian
	o.node, o.given, o.Before = le.Uint64(b[1:]), int64(le.Uint64(b[9:])), int64(le.Uint64(b[17:]))
	o.Subjects, o.IDs = map[string]struct{}{}, map[string]struct{}{}
	for b = b[revocationBytes:]; len(b) > 0; {
		name, rest, ok := cutName(b[1:])
		switch {
		case !ok:
			return revocation{}, errOrder
		case b[0] == ofSubject:
			o.Subjects[name] = struct{}{}
		case b[0] == ofID:
			o.IDs[name] = struct{}{}
		default:
			return revocation{}, errOrder
		}
		b = rest
	}
	return o, nil
}

func appendName(dst []byte, name string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}

// cutName reads the name at the start of b, behind its length.
func cutName(b []byte) (name string, rest []byte, ok bool) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return "", nil, false
	}
	b = b[n:]
	return string(b[:length]), b[length:], true
}
