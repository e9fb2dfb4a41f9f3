package chaos

import (
	"fmt"
	"slices"
)

// Verdict is what the judge found. Everything but Checked and gaps that are not
// false is wrong.
type Verdict struct {
	Checked   uint64 // messages that clients heard
	Lost      uint64 // never heard, and no gap told
	Repeated  uint64
	Reordered uint64 // heard after a later one, and cursors that went back
	Damaged   uint64 // not what was published, or not for this client, or not to be understood
	Faults    uint64 // contradictions about the one order
	Gaps      uint64
	GapsAgain uint64 // told before on the connection: every poll below its end is told
	GapsReal  uint64
	GapsFalse uint64 // nothing is gone

	// Findings are the first of each kind, in words.
	Findings []string
}

// Clean reports that every promise was kept.
func (v *Verdict) Clean() bool {
	return v.Lost+v.Repeated+v.Reordered+v.Damaged+v.Faults+v.GapsFalse == 0
}

// Each kind of finding is told so often.
const findingsOfAKind = 5

// judge replays journals against the world.
type judge struct {
	*world
	history int // messages that a channel retains at least; 0: nothing is promised
	verdict Verdict

	everyLast place // after everything
	heard     []bool
	missed    map[uint64]bool // counted as lost by the client being judged

	// Of the client being judged.
	client     int
	journal    *journal
	connection int
	channels   []int32
	floor      []place // by channel: everything up to here is accounted for
	told       []place // by channel: where the last gap of this connection ends
	high       place   // the last place heard on this connection
	anchored   bool    // a cursor is known, so something may be expected
	anew       bool    // the server said that the cursor meant nothing: repeats are no fault
}

// pass returns the verdict on all journals.
func pass(w *world, history int, journals []*journal) Verdict {
	j := &judge{world: w, history: history, everyLast: place{1 << 30, 0}, missed: map[uint64]bool{}}
	for _, f := range w.faults {
		j.find(&j.verdict.Faults, "%s", f)
	}
	for i, journal := range journals {
		j.client, j.journal = i, journal
		j.replay()
	}
	return j.verdict
}

// find counts a finding, and tells it unless there are many of its kind.
func (j *judge) find(count *uint64, format string, args ...any) {
	if *count++; *count > findingsOfAKind {
		return
	}
	text := fmt.Sprintf(format, args...)
	if j.journal != nil && len(j.journal.connections) > 0 {
		c := j.journal.connections[j.connection]
		text = fmt.Sprintf("client %d, connection %d (%s, channels %v, from %v): %s", j.client, j.connection, c.transport, c.channels, c.from, text)
	}
	j.verdict.Findings = append(j.verdict.Findings, text)
}

func (j *judge) replay() {
	j.heard = make([]bool, len(j.ledger)+1)
	clear(j.missed)
	j.anchored, j.connection, j.channels, j.floor = false, 0, nil, nil
	for _, r := range j.journal.records {
		switch r.kind {
		case opened:
			j.open(int(r.id))
		case message:
			j.message(r)
		case gap:
			j.gap(r)
		case position:
			j.position(j.canonical(r.at))
		case damaged:
			j.find(&j.verdict.Damaged, "%s", j.journal.damage[r.id])
		}
	}
	if j.anchored {
		j.cover(j.everyLast)
	}
}

// open starts a connection: what was told on the one before is forgotten, for a
// gap whose end the client's cursor has not passed must be told again.
func (j *judge) open(connection int) {
	c := j.journal.connections[connection]
	j.connection, j.channels, j.anew = connection, c.channels, false
	j.high = j.canonical(c.from)
	j.floor, j.told = j.floor[:0], j.told[:0]
	for range c.channels {
		j.floor, j.told = append(j.floor, j.high), append(j.told, place{})
	}
	j.anchored = !c.from.isZero()
}

// anchor takes the first cursor of a client that came without one.
func (j *judge) anchor(p place) {
	if !j.anchored {
		j.anchored, j.high = true, p
		for i := range j.floor {
			j.floor[i] = p
		}
	}
}

func (j *judge) message(r record) {
	j.verdict.Checked++
	switch {
	case r.id < 1 || r.id > uint64(len(j.ledger)) || j.ledger[r.id-1].channel != r.channel:
		j.find(&j.verdict.Damaged, "message %d of channel %d was never published", r.id, r.channel)
		return
	case !slices.Contains(j.channels, r.channel):
		j.find(&j.verdict.Damaged, "message %d of channel %d, which it did not ask for", r.id, r.channel)
		return
	}
	at := j.world.at[r.id-1] // where it really is, whatever the client was told
	repeated := j.heard[r.id]
	j.heard[r.id] = true
	switch {
	case at.isZero(): // only polls in format=raw have it, and they do not say
	case repeated && !j.anew:
		j.find(&j.verdict.Repeated, "message %d at %v again", r.id, at)
	case j.anchored && at.compare(j.high) <= 0:
		if j.missed[r.id] {
			delete(j.missed, r.id)
			j.verdict.Lost--
		}
		j.find(&j.verdict.Reordered, "message %d at %v after %v", r.id, at, j.high)
	default:
		j.position(at)
	}
}

// position is a place that the client is told it has been served up to.
func (j *judge) position(p place) {
	if j.anchored && p.compare(j.high) < 0 {
		j.find(&j.verdict.Reordered, "the cursor went back from %v to %v", j.high, p)
		return
	}
	j.anchor(p)
	j.cover(p)
	j.high = p
}

// cover demands everything up to p.
func (j *judge) cover(p place) {
	for i, c := range j.channels {
		for _, k := range j.world.channels[c].between(j.floor[i], p) {
			if j.heard[k.id] || j.missed[k.id] || j.keeps == AllOrCut && j.cut(k.at) {
				continue
			}
			j.missed[k.id] = true
			j.find(&j.verdict.Lost, "message %d of channel %d at %v never came, and up to %v no gap was told", k.id, c, k.at, p)
		}
		if j.floor[i].compare(p) < 0 {
			j.floor[i] = p
		}
	}
}

func (j *judge) gap(r record) {
	i := slices.Index(j.channels, r.channel)
	if i < 0 {
		j.find(&j.verdict.Damaged, "a gap in channel %d, which it did not ask for", r.channel)
		return
	}
	j.verdict.Gaps++
	to := j.canonical(r.at)
	if r.reason == unknownCursor {
		j.unknown(i, r, to)
		return
	}
	if to.compare(j.told[i]) <= 0 {
		j.verdict.GapsAgain++
		return
	}
	j.told[i] = to
	gone := slices.ContainsFunc(j.world.channels[r.channel].between(j.floor[i], to), func(k known) bool { return !j.heard[k.id] })
	unheard := 0
	if j.history > 0 || !gone {
		unheard = j.unheard(r.channel)
	}
	switch newer := len(j.world.channels[r.channel].between(to, j.everyLast)); {
	case j.anchored && !gone && unheard == 0:
		j.find(&j.verdict.GapsFalse, "a gap in channel %d up to %v, and nothing is gone", r.channel, to)
	case j.history > 0 && newer+unheard < j.history:
		j.find(&j.verdict.GapsFalse, "a gap in channel %d up to %v, and of %d messages that are kept there were never more than %d after it", r.channel, to, j.history, newer+unheard)
	default:
		j.verdict.GapsReal++
	}
	if j.floor[i].compare(to) < 0 {
		j.floor[i] = to
	}
}

// unknown is a gap of a cursor that the server says means nothing: from now on
// everything it retains follows, that is, everything after to.
func (j *judge) unknown(i int, r record, to place) {
	from := j.journal.connections[j.connection].from
	if from.isZero() || from.life == r.at.life || j.keeps == All {
		j.find(&j.verdict.GapsFalse, "its cursor meant nothing to a server at %v that should know it", r.at)
	} else {
		j.verdict.GapsReal++
	}
	j.anew, j.anchored = true, true
	if to.compare(j.high) < 0 {
		j.high = to
	}
	j.floor[i], j.told[i] = to, to
}
