package fanout

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
	now    uint32
	armed  int
	lists  [wheelSlots]wheelList
	nodes  []wheelNode
	cursor uint32 // plus one, in the list of now: Advance goes on with this timer; nobody: the list is done
	found  int    // timers of that list when the wheel came to it
	done   int    // of these
}

// wheelList is the timers of some ticks, in the order in which they were set: slots plus one.
type wheelList struct {
	first, last uint32
	n           int
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
	list := &w.lists[at%wheelSlots]
	*n = wheelNode{prev: first, at: at}
	if list.last != nobody {
		n.prev = list.last
		w.nodes[list.last-1].next = slot + 1
	} else {
		list.first = slot + 1
	}
	list.last = slot + 1
	list.n++
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
	n, list := w.nodes[slot], &w.lists[w.nodes[slot].at%wheelSlots]
	before := n.prev
	if before == first {
		before = nobody
		list.first = n.next
	} else {
		w.nodes[before-1].next = n.next
	}
	if n.next != nobody {
		w.nodes[n.next-1].prev = n.prev
	} else {
		list.last = before
	}
	if w.cursor == slot+1 {
		w.cursor = n.next
	}
	if int32(n.at-w.now) <= 0 {
		w.done++
	}
	w.nodes[slot] = wheelNode{}
	list.n--
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

// Due is how many timers there were for the tick at which the wheel stands, some of which may be for later rounds, when it
// came there, and how many of these Advance is done with: all but those that wait for the next Advance.
func (w *Wheel) Due() (found, done int) {
	if w.cursor == nobody {
		return w.found, w.found
	}
	return w.found, min(w.done, w.found-1)
}

// Now is the tick the wheel stands at.
func (w *Wheel) Now() uint32 { return w.now }

// Advance turns the wheel to tick now and calls fire for each timer that is
// due, which is no longer armed then; fire may set and clear any timer. Of the timers of a
// tick, the one that was set first fires first. After most calls it ends with more == true: the
// next Advance goes on there.
func (w *Wheel) Advance(now uint32, most int, fire func(slot uint32)) (more bool) {
	for {
		for w.cursor != nobody {
			slot := w.cursor - 1
			if n := &w.nodes[slot]; int32(n.at-w.now) > 0 {
				w.cursor = n.next // of a later round
				w.done++
				continue
			}
			if most == 0 {
				return true
			}
			most--
			w.Clear(slot) // the cursor moves on
			fire(slot)
		}
		if int32(now-w.now) <= 0 {
			return false
		}
		if now-w.now > wheelSlots {
			w.now = now - wheelSlots // a long sleep: each list once is enough
		}
		w.now++
		list := &w.lists[w.now%wheelSlots]
		w.cursor, w.found, w.done = list.first, list.n, 0
	}
}
