package control

import (
	"encoding/binary"
	"errors"
)

// order is a decision about clients, the data of an entry of kind control:
//
//	│ version 1 │ node 8 │ until 8, milliseconds since 1970, 0: let in again │ clients │
//	clients: each its length (uvarint) and its name
//
// Integers are little-endian.
type order struct {
	node    uint64 // the Control that gave it
	until   int64
	clients []string
}

const (
	orderVersion = 1
	orderBytes   = 1 + 8 + 8
)

// errOrder: the data is damaged, or of a later version.
var errOrder = errors.New("control: damaged, or of a later version of Peal")

func appendOrder(dst []byte, o *order) []byte {
	le := binary.LittleEndian
	dst = append(dst, orderVersion)
	dst = le.AppendUint64(dst, o.node)
	dst = le.AppendUint64(dst, uint64(o.until))
	for _, client := range o.clients {
		dst = binary.AppendUvarint(dst, uint64(len(client)))
		dst = append(dst, client...)
	}
	return dst
}

// parseOrder reads a whole order. It keeps nothing of b.
func parseOrder(b []byte) (o order, err error) {
	if len(b) < orderBytes || b[0] != orderVersion {
		return order{}, errOrder
	}
	le := binary.LittleEndian
	o.node, o.until = le.Uint64(b[1:]), int64(le.Uint64(b[9:]))
	for b = b[orderBytes:]; len(b) > 0; {
		client, rest, ok := cutName(b)
		if !ok {
			return order{}, errOrder
		}
		o.clients = append(o.clients, client)
		b = rest
	}
	return o, nil
}
