package presence

import (
	"slices"

	"peal/server/log"
)

// feed is a log.Tail in front of another: it gives it the events of entries of kind presence in
// place of them.
type feed struct {
	cluster *Cluster
	next    log.Tail
	failed  func(e *log.Entry, err error)
}

// Feed returns a tail that follows presence and hands everything on to next: instead of an entry
// of kind presence its event, with the same sequence, and nothing where there is none. failed is
// called for entries that cannot be read; it must not block.
func (c *Cluster) Feed(next log.Tail, failed func(e *log.Entry, err error)) log.Tail {
	return &feed{cluster: c, next: next, failed: failed}
}

func isPresence(e *log.Entry) bool { return e.Kind == log.KindPresence }

// Apply follows the batch; see log.Tail. A batch without presence is handed on as it is.
func (f *feed) Apply(batch []*log.Entry) {
	if !slices.ContainsFunc(batch, isPresence) {
		f.next.Apply(batch)
		return
	}
	others := make([]*log.Entry, 0, len(batch))
	for _, e := range batch {
		if !isPresence(e) {
			others = append(others, e)
			continue
		}
		event, err := f.cluster.Apply(e)
		if err != nil {
			f.failed(e, err)
		}
		if event != nil {
			others = append(others, &log.Entry{Sequence: e.Sequence, Time: e.Time, Kind: log.KindPresence, Channel: event.Channel, Data: event.JSON()})
		}
	}
	f.next.Apply(others)
}

// Room and Wake are those of next, and so is OnRoom if it has it.
func (f *feed) Room(entries, bytes int) bool { return f.next.Room(entries, bytes) }
func (f *feed) Wake()                        { f.next.Wake() }
func (f *feed) OnRoom(call func())           { log.Tails{f.next}.OnRoom(call) }

// Lose has every node tell its state; see log.Loser.
func (f *feed) Lose(from, upto uint64) {
	f.cluster.Lose()
	log.Tails{f.next}.Lose(from, upto)
}
