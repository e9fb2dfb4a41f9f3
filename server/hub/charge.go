package hub

import (
	"peal/loop/ring"
	"peal/server/log"
)

// hold counts m in one more history and returns by how many bytes the histories
// together grow. Data that m shares with messages of other channels is charged with
// the first of them that a history holds.
func hold(m *ring.Message) (bytes int) {
	e := m.Entry.(*log.Entry)
	if e.Shared != nil && !e.Shared.Hold() {
		return m.Size - len(e.Data)
	}
	return m.Size
}

// release undoes hold, and returns by how many bytes the histories shrink.
func release(m *ring.Message) (bytes int) {
	e := m.Entry.(*log.Entry)
	if e.Shared != nil && !e.Shared.Release() {
		return m.Size - len(e.Data)
	}
	return m.Size
}
