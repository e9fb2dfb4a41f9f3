package server

import (
	"encoding/binary"
	"errors"

	"peal/server/control"
	"peal/server/log"
	"peal/server/webhook"
)

// states is what the log keeps beyond its entries: that of the orders, that of the webhooks, and the
// namespaces of apps. It is a log.State. As long as there is nothing of webhooks and apps it is that of
// the orders alone, as versions before had it; else
//
//	│ version 128 │ length of orders (uvarint) │ orders │ webhooks │
//	│ version 129 │ length of orders (uvarint) │ orders │ length of webhooks (uvarint) │ webhooks │ namespaces │
type states struct {
	orders *control.Control
	hooks  *webhook.Hooks
	apps   *protection
}

var _ log.State = states{}

// The versions are none of server/control's.
const (
	statesVersion     = 128
	statesAppsVersion = 129
)

var errStates = errors.New("the state is damaged, or of a later version of Peal")

func (s states) Save() []byte {
	orders, hooks, apps := s.orders.Save(), s.hooks.Save(), s.apps.Save()
	version := byte(statesVersion)
	switch {
	case len(apps) > 0:
		version = statesAppsVersion
		hooks = append(binary.AppendUvarint(nil, uint64(len(hooks))), hooks...)
	case len(hooks) == 0:
		return orders
	}
	b := binary.AppendUvarint([]byte{version}, uint64(len(orders)))
	return append(append(append(b, orders...), hooks...), apps...)
}

func (s states) Load(saved []byte, upto uint64) error {
	orders, hooks, apps := saved, []byte(nil), []byte(nil)
	if len(saved) > 0 && (saved[0] == statesVersion || saved[0] == statesAppsVersion) {
		var ok bool
		if orders, hooks, ok = cutPart(saved[1:]); ok && saved[0] == statesAppsVersion {
			hooks, apps, ok = cutPart(hooks)
		}
		if !ok {
			return errStates
		}
	}
	return errors.Join(s.orders.Load(orders, upto), s.hooks.Load(hooks, upto), s.apps.Load(apps))
}

// cutPart cuts off a part with its length before it.
func cutPart(b []byte) (part, rest []byte, ok bool) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(length)], b[n+int(length):], true
}

func (s states) Lost(why string) {
	s.orders.Lost(why)
	s.hooks.Lost(why)
}
