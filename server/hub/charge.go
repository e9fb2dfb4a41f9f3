package hub

import (
	"peal/loop/ring"
	"peal/server/log"
)

// hold counts m into one more history and returns what the histories together
// grow by. Data that m shares with messages of other channels is charged with the
// first of them that a history holds.
func hold(m *ring.Message) (bytes int) {
	e := m.Entry.(*log.Entry)
	if e.Shared != nil && !e.Shared.Hold() {
		return m.Size - len(e.Data)
	}
	return m.Size
}

// release undoes hold, and returns what they shrink by.
func release(m *ring.Message) (bytes int) {
	e := m.Entry.(*log.Entry)
	if e.Shared != nil && !e.Shared.Release() {
		return m.Size - len(e.Data)
	}
	return m.Size
}
