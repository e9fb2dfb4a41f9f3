package server

import (
	"encoding/binary"
	"errors"

	"peal/server/control"
	"peal/server/log"
	"peal/server/webhook"
)

// states is what the log keeps beyond its entries: that of the orders, and that of the webhooks. It
// is a log.State. As long as there is nothing of webhooks it is that of the orders alone, as
// versions before had it; else
//
//	│ version 128 │ length of orders (uvarint) │ orders │ webhooks │
type states struct {
	orders *control.Control
	hooks  *webhook.Hooks
}

var _ log.State = states{}

// statesVersion is none of server/control's.
const statesVersion = 128

var errStates = errors.New("the state is damaged, or of a later version of Peal")

func (s states) Save() []byte {
	orders, hooks := s.orders.Save(), s.hooks.Save()
	if len(hooks) == 0 {
		return orders
	}
	b := binary.AppendUvarint([]byte{statesVersion}, uint64(len(orders)))
	return append(append(b, orders...), hooks...)
}

func (s states) Load(saved []byte, upto uint64) error {
	orders, hooks := saved, []byte(nil)
	if len(saved) > 0 && saved[0] == statesVersion {
		length, n := binary.Uvarint(saved[1:])
		if n <= 0 || length > uint64(len(saved)-1-n) {
			return errStates
		}
		rest := saved[1+n:]
		orders, hooks = rest[:length], rest[length:]
	}
	return errors.Join(s.orders.Load(orders, upto), s.hooks.Load(hooks, upto))
}

func (s states) Lost(why string) {
	s.orders.Lost(why)
	s.hooks.Lost(why)
}
