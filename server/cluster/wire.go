package cluster

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"peal/server/pattern"
)

// The event of an entry is what it reports of a node.
const (
	eventNode = "node"      // hello or heartbeat
	eventLeft = "node-left" // its clean end
	eventDead = "node-dead" // its lease has ended
)

// message is the data of the entries, all three in one form:
//
//	│ version 1 │ field │ field │ …
//	field: tag (uvarint), length of value (uvarint), value
//
// Numbers are uvarints. What is zero or empty is left out. A later version of Peal adds fields
// with new tags, which are skipped; only a change that must not be read past takes
// a new version.
type message struct {
	id      uint64
	name    string
	version string // of the program

	reads, writes uint64 // the newest format that it can read, and the one that it writes

	head        uint64 // that it has applied
	connections uint64
	started     uint64 // milliseconds since 1970
	behind      uint64 // milliseconds since it knew that it had applied everything
	hello       bool

	groups map[string]int // parts of connections by name, such as those of an app; nil for none

	upto uint64 // with eventDead: the last heartbeat that the author knows
	by   uint64 // with eventDead: the author
}

const messageVersion = 1

// Tags of fields. Never reuse one.
const (
	tagID          = 1
	tagName        = 2
	tagVersion     = 3
	tagReads       = 4
	tagWrites      = 5
	tagHead        = 6
	tagConnections = 7
	tagStarted     = 8
	tagBehind      = 9
	tagHello       = 10
	tagUpto        = 11
	tagBy          = 12
	tagGroups      = 13 // for each: length of the name (uvarint), name, connections
)

// MaxNameBytes is how long the name of a node may be, and the version of its program.
const MaxNameBytes = 128

// MostGroups is how many groups of connections a node may report.
const MostGroups = 1000

// errMessage: the data is damaged, or of a later version.
var errMessage = errors.New("cluster: an entry about a node is damaged, or of a later version of Peal")

func (m *message) append(dst []byte) []byte {
	dst = append(dst, messageVersion)
	number := func(tag, n uint64) {
		if n == 0 {
			return
		}
		var b [binary.MaxVarintLen64]byte
		length := binary.PutUvarint(b[:], n)
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, tag), uint64(length))
		dst = append(dst, b[:length]...)
	}
	text := func(tag uint64, s string) {
		if s == "" {
			return
		}
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, tag), uint64(len(s)))
		dst = append(dst, s...)
	}
	number(tagID, m.id)
	text(tagName, m.name)
	text(tagVersion, m.version)
	number(tagReads, m.reads)
	number(tagWrites, m.writes)
	number(tagHead, m.head)
	number(tagConnections, m.connections)
	number(tagStarted, m.started)
	number(tagBehind, m.behind)
	if m.hello {
		number(tagHello, 1)
	}
	text(tagGroups, string(appendGroups(nil, m.groups)))
	number(tagUpto, m.upto)
	number(tagBy, m.by)
	return dst
}

// appendGroups appends those that have connections.
func appendGroups(dst []byte, groups map[string]int) []byte {
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if n := groups[name]; n > 0 {
			dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	return dst
}

// parseGroups reads what appendGroups has written.
func parseGroups(b []byte) (groups map[string]int, ok bool) {
	for len(b) > 0 {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) || length > MaxNameBytes || len(groups) == MostGroups {
			return nil, false
		}
		name, rest := string(b[n:n+int(length)]), b[n+int(length):]
		count, n := binary.Uvarint(rest)
		if n <= 0 || count > math.MaxInt32 {
			return nil, false
		}
		if groups == nil {
			groups = map[string]int{}
		}
		groups[name], b = int(count), rest[n:]
	}
	return groups, true
}

// parse reads a whole message. It keeps nothing of b.
func parse(b []byte) (m message, err error) {
	if len(b) == 0 || b[0] != messageVersion {
		return message{}, errMessage
	}
	for b = b[1:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return message{}, errMessage
		}
		b = b[n:]
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return message{}, errMessage
		}
		if !m.set(tag, b[n:n+int(length)]) {
			return message{}, errMessage
		}
		b = b[n+int(length):]
	}
	if m.id == 0 {
		return message{}, errMessage
	}
	return m, nil
}

// set stores the value of one field, unless its tag is unknown.
func (m *message) set(tag uint64, value []byte) (ok bool) {
	number := func(to *uint64) bool {
		n, length := binary.Uvarint(value)
		*to = n
		return length > 0 && length == len(value)
	}
	text := func(to *string) bool {
		*to = string(value)
		return len(value) <= MaxNameBytes && pattern.IsPrintable(value)
	}
	switch tag {
	case tagID:
		return number(&m.id)
	case tagName:
		return text(&m.name)
	case tagVersion:
		return text(&m.version)
	case tagReads:
		return number(&m.reads)
	case tagWrites:
		return number(&m.writes)
	case tagHead:
		return number(&m.head)
	case tagConnections:
		return number(&m.connections)
	case tagStarted:
		return number(&m.started)
	case tagBehind:
		return number(&m.behind)
	case tagHello:
		var n uint64
		ok = number(&n)
		m.hello = n == 1
		return ok
	case tagUpto:
		return number(&m.upto)
	case tagBy:
		return number(&m.by)
	case tagGroups:
		m.groups, ok = parseGroups(value)
		return ok
	}
	return true
}
