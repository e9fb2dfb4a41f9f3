package control

import (
	"encoding/binary"
	"time"
)

// The state is all bans that are in force:
//
//	│ version 1 │ so many × (until 8, milliseconds since 1970; length of the name, uvarint; name) │
const stateVersion = 1

// Save returns the bans that are in force, nothing if there is none: at most as many
// as the table of bans holds. See log.State.
func (c *Control) Save() (state []byte) {
	c.bans.Each(func(client string, until time.Time) {
		if state == nil {
			state = append(state, stateVersion)
		}
		state = binary.LittleEndian.AppendUint64(state, uint64(until.UnixMilli()+1))
		state = binary.AppendUvarint(state, uint64(len(client)))
		state = append(state, client...)
	})
	return state
}

// Load takes what Save has returned in an earlier life; see log.State.
func (c *Control) Load(state []byte, upto uint64) error {
	c.loaded = upto
	if len(state) == 0 {
		return nil
	}
	if state[0] != stateVersion {
		return errOrder
	}
	for b := state[1:]; len(b) > 0; {
		if len(b) < 8 {
			return errOrder
		}
		until := int64(binary.LittleEndian.Uint64(b))
		client, rest, ok := cutName(b[8:])
		if !ok {
			return errOrder
		}
		c.bans.Restore(client, time.UnixMilli(until))
		b = rest
	}
	return nil
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
