package chaos

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Keeps says what a restart leaves of the log.
type Keeps uint8

const (
	Nothing  Keeps = iota // memory: every restart begins anew
	AllOrCut              // what was acknowledged last may be gone after a kill
	All                   // everything acknowledged
)

// world is what is known to have been in the log, from the ledger and from
// what any client received.
type world struct {
	keeps    Keeps
	ledger   []publication
	restored map[int32]bool  // lives that began with an older copy of the log
	kept     []uint64        // by life: sequences up to this one are the life's before it, too
	at       []place         // by id-1: where it is; zero: not known
	channels map[int32]order // every known message of a channel
	faults   []string        // contradictions between places that the server gave
	latest   int32           // channels from this one on send slow clients the newest message only
	began    time.Time       // of the run
	losses   []span          // what the store of a cluster has lost; nodes had seen it
}

// span is sequences: after < sequence < before.
type span struct{ after, before uint64 }

// order is the messages of one channel in the log's order.
type order []known

type known struct {
	at place
	id uint64
}

// newWorld gathers what is known. last is the number of the server's last life.
func newWorld(keeps Keeps, restored map[int32]bool, all []publication, journals []*journal, last int) *world {
	w := &world{keeps: keeps, restored: restored, ledger: all, kept: make([]uint64, last+1), at: make([]place, len(all)), channels: map[int32]order{}}
	said := w.said(journals)
	w.link(said)
	places := map[place]uint64{}
	for _, k := range said {
		at := w.canonical(k.at)
		switch before := w.at[k.id-1]; {
		case before.isZero():
			w.at[k.id-1] = at
		case before != at:
			w.faults = append(w.faults, fmt.Sprintf("message %d is at two places: %v and %v", k.id, before, at))
			continue
		}
		if other, taken := places[at]; taken && other != k.id {
			w.faults = append(w.faults, fmt.Sprintf("messages %d and %d are at one place: %v", other, k.id, at))
		}
		places[at] = k.id
	}
	for i, at := range w.at {
		if !at.isZero() {
			c := all[i].channel
			w.channels[c] = append(w.channels[c], known{at, all[i].id})
		}
	}
	for c, o := range w.channels {
		slices.SortFunc(o, func(a, b known) int { return a.at.compare(b.at) })
		w.publisherOrder(c, o)
	}
	return w
}

// said is every place that an answer to a publisher or a message named, each
// once, acknowledgements first, in the order of lives and sequences.
func (w *world) said(journals []*journal) []known {
	var all []known
	for _, p := range w.ledger {
		if !p.at.isZero() {
			all = append(all, known{p.at, p.id})
		}
	}
	acknowledged := len(all)
	seen := map[known]bool{}
	for _, j := range journals {
		for _, r := range j.records {
			k := known{r.at, r.id}
			if r.kind == message && !r.at.isZero() && r.id >= 1 && r.id <= uint64(len(w.ledger)) && !seen[k] {
				seen[k] = true
				all = append(all, k)
			}
		}
	}
	order := func(a, b known) int { return a.at.compare(b.at) }
	slices.SortStableFunc(all[acknowledged:], order)
	slices.SortStableFunc(all, order)
	return all
}

// link finds, for each life of a log that survives restarts, up to which
// sequence it continues the life before: at most to before its first
// acknowledged message, and to before the first place at which the two have
// different ones. One that began with a copy goes on from a life long before, of
// which those in between have the same; there what clients heard counts, too.
func (w *world) link(said []known) {
	if w.keeps == Nothing {
		return
	}
	first := make([]uint64, len(w.kept))
	for i := range first {
		first[i] = math.MaxUint64
	}
	for _, p := range w.ledger {
		if !p.at.isZero() && !p.again {
			first[p.at.life] = min(first[p.at.life], p.at.sequence)
		}
	}
	for _, k := range said {
		if w.restored[k.at.life] {
			first[k.at.life] = min(first[k.at.life], k.at.sequence)
		}
	}
	places := map[place]uint64{}
	for _, k := range said { // life after life
		if k.at.life > 1 && w.kept[k.at.life] == 0 {
			w.kept[k.at.life] = first[k.at.life] - 1
		}
		at := w.canonical(k.at)
		if other, taken := places[at]; taken && other != k.id && at.life < k.at.life {
			w.kept[k.at.life] = k.at.sequence - 1
			at = k.at
		}
		places[at] = k.id
	}
}

// canonical is p in the earliest life that has it.
func (w *world) canonical(p place) place {
	for w.keeps != Nothing && p.life > 1 && p.sequence <= w.kept[p.life] {
		p.life--
	}
	return p
}

// cut reports that the place was in the log and is not in a later life, which is
// allowed: the log does not keep everything, or an older copy was put back.
func (w *world) cut(p place) bool {
	if w.lost(p) {
		return true
	}
	if w.keeps == Nothing {
		return false
	}
	p = w.canonical(p)
	for life := int(p.life) + 1; life < len(w.kept); life++ {
		if p.sequence > w.kept[life] && (w.keeps == AllOrCut || w.restored[int32(life)]) {
			return true
		}
	}
	return false
}

// lost reports that the store of a cluster has lost what was there.
func (w *world) lost(p place) bool {
	return slices.ContainsFunc(w.losses, func(s span) bool { return s.after < p.sequence && p.sequence < s.before })
}

// loses reports that the store of a cluster has lost something between two places.
func (w *world) loses(after, upto place) bool {
	return slices.ContainsFunc(w.losses, func(s span) bool { return after.sequence < s.before && s.after < upto.sequence })
}

// publisherOrder checks that what one publisher sent after an acknowledgement
// comes after what was acknowledged.
func (w *world) publisherOrder(channel int32, o order) {
	var before uint32
	for _, k := range o {
		p := w.ledger[k.id-1]
		if p.at.isZero() {
			continue
		}
		if p.number < before {
			w.faults = append(w.faults, fmt.Sprintf("channel %d: message %d was acknowledged before number %d was sent and comes after it", channel, k.id, before))
		}
		before = p.number
	}
}

// between returns the messages with after < at ≤ upto.
func (o order) between(after, upto place) order {
	above := func(p place) int {
		i, _ := slices.BinarySearchFunc(o, p, func(k known, p place) int {
			if k.at.compare(p) <= 0 {
				return -1
			}
			return 1
		})
		return i
	}
	from, to := above(after), above(upto)
	return o[from:max(from, to)]
}

// unheard counts the publications to a channel of which it is not known whether
// the log has them.
func (w *world) unheard(channel int32) (n int) {
	for i := range w.ledger {
		if w.ledger[i].channel == channel && w.at[i].isZero() {
			n++
		}
	}
	return n
}
