package counts

import (
	"encoding/binary"
	"errors"
)

// Event is that of the entries of kind control. Their data is:
//
//	│ version 1 │ flags 1: 1 a state begins, 2 it ends │ node 8 │ channels │
//	channels: each │ length (uvarint) and name │ subscribers (uvarint) │ listed (uvarint) │
//
// The node is little-endian. listed are the subscribers that are members by their name
// (server/presence); the others are anonymous. Without either, the node does not have the channel.
const Event = "counts"

const (
	version   = 1
	headBytes = 1 + 1 + 8

	begins = 1
	ends   = 2

	// entryBytes is the most that one entry has, but for its last channel.
	entryBytes = 64 << 10
)

// errEntry: the data is damaged, or of a later version.
var errEntry = errors.New("counts: an entry is damaged, or of a later version of Peal")

func appendHead(dst []byte, flags byte, node uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, version, flags), node)
}

func appendCount(dst []byte, name string, n number) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(n.subscribers)), uint64(n.listed))
}

// parse reads a whole entry and calls f for each channel, after it has looked at all of them:
// a damaged entry changes nothing. name is valid for the call.
func parse(b []byte) (flags byte, node uint64, each func(f func(name []byte, n number)), err error) {
	if len(b) < headBytes || b[0] != version {
		return 0, 0, nil, errEntry
	}
	flags, node, body := b[1], binary.LittleEndian.Uint64(b[2:]), b[headBytes:]
	for rest := body; len(rest) > 0; {
		var ok bool
		if _, _, rest, ok = cut(rest); !ok {
			return 0, 0, nil, errEntry
		}
	}
	return flags, node, func(f func(name []byte, n number)) {
		for rest := body; len(rest) > 0; {
			var name []byte
			var n number
			name, n, rest, _ = cut(rest)
			f(name, n)
		}
	}, nil
}

// mostSubscribers is what is believed of one node and channel.
const mostSubscribers = 1 << 30

// cut reads the channel at the start of b.
func cut(b []byte) (name []byte, n number, rest []byte, ok bool) {
	length, at := binary.Uvarint(b)
	if at <= 0 || length > uint64(len(b)-at) {
		return nil, number{}, nil, false
	}
	name, b = b[at:at+int(length)], b[at+int(length):]
	var of [2]uint64
	for i := range of {
		if of[i], at = binary.Uvarint(b); at <= 0 || of[i] > mostSubscribers {
			return nil, number{}, nil, false
		}
		b = b[at:]
	}
	return name, number{int32(of[0]), int32(of[1])}, b, true
}
