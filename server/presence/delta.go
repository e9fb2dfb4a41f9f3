package presence

import (
	"encoding/binary"
	"errors"

	"peal/server/log"
)

// In a log that several nodes share, the data of an entry of kind presence is binary. What the
// node says comes first:
//
//	│ version 1 │ what 1 │ node 8 │ body │
//
//	delta    the channel of the entry; changes: each │ 1 joined, 2 left │ client │ info, of one that joined │
//	state    no channel; │ flags: 1 begin, 2 end │ channels: each │ name │ members (uvarint) │ members: each │ client │ info │ since (uvarint) │
//	refresh  the channel of the entry; no body
//	ask      no channel; no body
//
// Texts have their length (uvarint) in front; integers are little-endian. A delta says which
// clients joined the node, have new info there, or left it. A state replaces all that the
// readers know of the node, from the entry with begin to the one with end. since is the
// sequence of the entry that brought the info. A refresh changes nothing: it is an event
// without names, because some watchers may have missed a change. A node asks if it has missed
// entries: then all nodes tell their state.
const (
	recordVersion = 1
	recordBytes   = 1 + 1 + 8

	whatDelta   = 1
	whatState   = 2
	whatRefresh = 3
	whatAsk     = 4

	joined = 1
	left   = 2

	stateBegins = 1
	stateEnds   = 2
)

// Limits of one entry.
const (
	recordMembers  = 500
	recordMaxBytes = 64 << 10
)

// errRecord: the data is damaged, or of a later version.
var errRecord = errors.New("presence: an entry is damaged, or of a later version of Peal")

func appendHead(dst []byte, what byte, node uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, recordVersion, what), node)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func presenceEntry(channel string, data []byte) *log.Entry {
	return &log.Entry{Kind: log.KindPresence, Channel: channel, Data: data, Binary: true}
}

// record is what an entry says, before its body.
type record struct {
	what byte
	node uint64
	body reader
}

func parseRecord(data []byte) (r record, err error) {
	if len(data) < recordBytes || data[0] != recordVersion {
		return record{}, errRecord
	}
	return record{what: data[1], node: binary.LittleEndian.Uint64(data[2:]), body: data[recordBytes:]}, nil
}

// reader reads the parts of a body. Texts are copied.
type reader []byte

func (r *reader) byte() (b byte, ok bool) {
	if len(*r) == 0 {
		return 0, false
	}
	b, *r = (*r)[0], (*r)[1:]
	return b, true
}

func (r *reader) uint() (u uint64, ok bool) {
	u, n := binary.Uvarint(*r)
	if n <= 0 {
		return 0, false
	}
	*r = (*r)[n:]
	return u, true
}

func (r *reader) text() (s string, ok bool) {
	length, ok := r.uint()
	if !ok || length > uint64(len(*r)) {
		return "", false
	}
	s, *r = string((*r)[:length]), (*r)[length:]
	return s, true
}

// change is one of a delta.
type change struct {
	client, info string
	left         bool
}

// changes reads the body of a delta as a whole, so that a damaged one changes nothing.
func (r reader) changes() (all []change, err error) {
	for len(r) > 0 {
		what, _ := r.byte()
		k := change{left: what == left}
		var ok, okInfo bool
		if k.client, ok = r.text(); what == joined {
			k.info, okInfo = r.text()
			ok = ok && okInfo
		}
		if !ok || what != joined && what != left {
			return nil, errRecord
		}
		all = append(all, k)
	}
	return all, nil
}

func (k *change) append(dst []byte) []byte {
	if k.left {
		return appendText(append(dst, left), k.client)
	}
	return appendText(appendText(append(dst, joined), k.client), k.info)
}

// known is one member in a state.
type known struct {
	channel, client, info string
	since                 uint64
}

// state reads the body of a state as a whole.
func (r reader) state() (flags byte, all []known, err error) {
	flags, ok := r.byte()
	if !ok {
		return 0, nil, errRecord
	}
	for len(r) > 0 {
		channel, ok := r.text()
		count, okCount := r.uint()
		if !ok || !okCount || count > uint64(len(r)) {
			return 0, nil, errRecord
		}
		for range count {
			client, okClient := r.text()
			info, okInfo := r.text()
			since, okSince := r.uint()
			if !okClient || !okInfo || !okSince {
				return 0, nil, errRecord
			}
			all = append(all, known{channel: channel, client: client, info: info, since: since})
		}
	}
	return flags, all, nil
}

// appendState appends the channels of all, of which those of one channel follow one another.
func appendState(dst []byte, flags byte, all []known) []byte {
	dst = append(dst, flags)
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].channel == all[0].channel {
			n++
		}
		dst = binary.AppendUvarint(appendText(dst, all[0].channel), uint64(n))
		for _, k := range all[:n] {
			dst = binary.AppendUvarint(appendText(appendText(dst, k.client), k.info), k.since)
		}
		all = all[n:]
	}
	return dst
}
