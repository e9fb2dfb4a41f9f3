package fanout

import "slices"

// wheelSlots is the circumference: timers further away go round again.
const wheelSlots = 256

const (
	nobody = 0          // ends a list; slot numbers are stored plus one
	first  = ^uint32(0) // prev of the first of a list
)

// Wheel keeps one timer for each slot of a loop: set, cleared and moved in
// constant time, 12 bytes a slot, no pointers. Its unit is the tick; who turns
// it says how long that is.
type Wheel struct {
	now   uint32
	armed int
	heads [wheelSlots]uint32
	nodes []wheelNode
	due   []uint32 // slots of the timers of now that Advance calls; from next on they wait for it
	next  int
}

type wheelNode struct {
	next, prev uint32 // neighbours plus one in the list of at; prev is nobody if not armed
	at         uint32 // tick of firing; any, because ticks begin again at zero
}

// NewWheel returns a wheel that stands at tick now.
func NewWheel(now uint32) *Wheel { return &Wheel{now: now} }

// Set arms the timer of slot to fire at tick at, instead of what it was armed
// for. A tick that has passed fires at the next one; ticks wrap around, and one
// is ahead if it is less than 1<<31 ahead.
func (w *Wheel) Set(slot, at uint32) {
	for int(slot) >= len(w.nodes) {
		w.nodes = append(w.nodes, make([]wheelNode, max(256, len(w.nodes)/2))...)
	}
	n := &w.nodes[slot]
	if int32(at-w.now) <= 0 {
		at = w.now + 1
	}
	if n.prev != nobody && n.at == at {
		return
	}
	w.Clear(slot)
	head := &w.heads[at%wheelSlots]
	*n = wheelNode{next: *head, prev: first, at: at}
	if *head != nobody {
		w.nodes[*head-1].prev = slot + 1
	}
	*head = slot + 1
	w.armed++
}

// Sooner is Set, unless the timer of slot fires before at anyway.
func (w *Wheel) Sooner(slot, at uint32) {
	if int(slot) < len(w.nodes) {
		if n := &w.nodes[slot]; n.prev != nobody && int32(n.at-at) <= 0 {
			return
		}
	}
	w.Set(slot, at)
}

// Clear disarms the timer of slot, if it is armed.
func (w *Wheel) Clear(slot uint32) {
	if int(slot) >= len(w.nodes) || w.nodes[slot].prev == nobody {
		return
	}
	n := w.nodes[slot]
	if n.prev != first {
		w.nodes[n.prev-1].next = n.next
	} else {
		w.heads[n.at%wheelSlots] = n.next
	}
	if n.next != nobody {
		w.nodes[n.next-1].prev = n.prev
	}
	w.nodes[slot] = wheelNode{}
	w.armed--
}

// At is the tick at which the timer of slot fires; ok is false if it is not armed.
func (w *Wheel) At(slot uint32) (at uint32, ok bool) {
	if int(slot) >= len(w.nodes) || w.nodes[slot].prev == nobody {
		return 0, false
	}
	return w.nodes[slot].at, true
}

// Armed is how many timers are set.
func (w *Wheel) Armed() int { return w.armed }

// Due is how many timers of the tick at which the wheel stands were found when it came there, and how many
// of these Advance is done with: all but those that wait for the next Advance.
func (w *Wheel) Due() (found, done int) { return len(w.due), w.next }

// Now is the tick the wheel stands at.
func (w *Wheel) Now() uint32 { return w.now }

// Advance turns the wheel to tick now and calls fire for each timer that is
// due, which is no longer armed then; fire may set and clear any timer. Of the timers of a
// tick, the one that was set first fires first. After most calls it ends with more == true: the
// next Advance goes on there.
func (w *Wheel) Advance(now uint32, most int, fire func(slot uint32)) (more bool) {
	for {
		for w.next < len(w.due) {
			slot := w.due[w.next]
			if n := &w.nodes[slot]; n.prev == nobody || int32(n.at-w.now) > 0 {
				w.next++ // cleared, or set anew, since it was noted
				continue
			}
			if most == 0 {
				return true
			}
			most--
			w.next++
			w.Clear(slot)
			fire(slot)
		}
		if int32(now-w.now) <= 0 {
			return false
		}
		if now-w.now > wheelSlots {
			w.now = now - wheelSlots // a long sleep: each list once is enough
		}
		w.now++
		// Lists change under fire, so who is due is noted first and asked again.
		w.due, w.next = w.due[:0], 0
		for list := w.heads[w.now%wheelSlots]; list != nobody; list = w.nodes[list-1].next {
			if int32(w.nodes[list-1].at-w.now) <= 0 {
				w.due = append(w.due, list-1)
			}
		}
		slices.Reverse(w.due) // a list begins with the last
	}
}
