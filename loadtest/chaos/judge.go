package chaos

import (
	"fmt"
	"slices"
)

// Verdict is what the judge found. Everything but Checked and gaps that are not
// false is wrong.
type Verdict struct {
	Checked   uint64 `json:"checked"` // messages that clients received
	Lost      uint64 `json:"lost"`    // never received, and not in a gap
	Repeated  uint64 `json:"repeated"`
	Reordered uint64 `json:"reordered"`      // received after a later one, and cursors that went back
	Damaged   uint64 `json:"damaged"`        // not what was published, or not for this client, or unreadable
	Faults    uint64 `json:"contradictions"` // about the one order
	Gaps      uint64 `json:"gaps"`
	GapsAgain uint64 `json:"-"` // sent before on the connection: every poll below its end receives it
	GapsReal  uint64 `json:"gaps_real"`
	GapsFalse uint64 `json:"gaps_false"` // nothing is gone

	// Findings are the first of each kind, in words.
	Findings []string `json:"-"`
}

// Clean reports that every promise was kept.
func (v *Verdict) Clean() bool {
	return v.Lost+v.Repeated+v.Reordered+v.Damaged+v.Faults+v.GapsFalse == 0
}

// The number of findings of each kind that are reported in words.
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
	channels   []channelState
}

// channelState is what a client knows of a channel on one connection.
type channelState struct {
	channel  int32
	anchored bool  // a cursor is known, so something may be expected
	high     place // the last place heard
	floor    place // everything up to here is accounted for: heard, or told as a gap
	told     place // where the last gap ends
	anew     bool  // its cursor meant nothing: it was told that anything may be missing
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

// find counts a finding, and describes it unless there are many of its kind.
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
	j.connection, j.channels = 0, nil
	for _, r := range j.journal.records {
		switch r.kind {
		case opened:
			j.open(int(r.id))
		case message:
			j.message(r)
		case gap:
			j.gap(r)
		case position:
			j.position(r.channel, j.canonical(r.at))
		case damaged:
			j.find(&j.verdict.Damaged, "%s", j.journal.damage[r.id])
		}
	}
	for i := range j.channels {
		j.cover(&j.channels[i], j.everyLast)
	}
}

// open starts a connection: what the one before received is forgotten: a
// gap whose end the client's cursor has not passed must be sent again.
func (j *judge) open(connection int) {
	j.connection, j.channels = connection, j.channels[:0]
	c := j.journal.connections[connection]
	for i, channel := range c.channels {
		from := j.canonical(c.from[i])
		j.channels = append(j.channels, channelState{channel: channel, anchored: !from.isZero(), high: from, floor: from})
	}
}

// state returns what is known of a channel; nil: the client did not ask for it.
func (j *judge) state(channel int32) *channelState {
	for i := range j.channels {
		if j.channels[i].channel == channel {
			return &j.channels[i]
		}
	}
	return nil
}

func (j *judge) message(r record) {
	j.verdict.Checked++
	c := j.state(r.channel)
	switch {
	case r.id < 1 || r.id > uint64(len(j.ledger)) || j.ledger[r.id-1].channel != r.channel:
		j.find(&j.verdict.Damaged, "message %d of channel %d was never published", r.id, r.channel)
		return
	case c == nil:
		j.find(&j.verdict.Damaged, "message %d of channel %d, which it did not ask for", r.id, r.channel)
		return
	}
	at := j.world.at[r.id-1] // where it really is, not where the client was told
	before := j.heard[r.id]
	j.heard[r.id] = true
	switch {
	case at.isZero(): // only polls in format=raw have it, and they do not say
	case at.compare(c.high) <= 0 && before:
		j.find(&j.verdict.Repeated, "message %d at %v again", r.id, at)
	case at.compare(c.high) <= 0:
		if j.missed[r.id] {
			delete(j.missed, r.id)
			j.verdict.Lost--
		}
		j.find(&j.verdict.Reordered, "message %d at %v after %v", r.id, at, c.high)
	case j.journal.connections[j.connection].separate:
		j.anchor(c, at)
		j.reach(c, at)
	default:
		j.anchor(c, at)
		j.position(everyChannel, at)
	}
}

// position is a place up to which the server says that the client is served.
func (j *judge) position(channel int32, p place) {
	for i := range j.channels {
		if c := &j.channels[i]; channel == everyChannel || channel == c.channel {
			if !j.journal.connections[j.connection].retained {
				j.anchor(c, p)
			}
			j.reach(c, p)
		}
	}
}

// anchor begins to expect what comes after p, if nothing was expected so far:
// p is the first cursor of a client that had none. A client that asked for what
// is retained knows where that begins by the first message of the channel.
func (j *judge) anchor(c *channelState, p place) {
	if !c.anchored {
		c.anchored, c.floor = true, later(c.floor, p)
	}
}

func (j *judge) reach(c *channelState, p place) {
	if p.compare(c.high) < 0 {
		j.find(&j.verdict.Reordered, "the cursor of channel %d went back from %v to %v", c.channel, c.high, p)
		return
	}
	j.cover(c, p)
	c.high = p
}

// cover demands everything up to p.
func (j *judge) cover(c *channelState, p place) {
	if !c.anchored {
		return
	}
	for _, k := range j.world.channels[c.channel].between(c.floor, p) {
		if j.heard[k.id] || j.missed[k.id] || j.cut(k.at) && (c.anew || !j.lost(k.at)) { // what a cluster has lost is a gap
			continue
		}
		j.missed[k.id] = true
		j.find(&j.verdict.Lost, "message %d of channel %d at %v never came, and up to %v no gap was told", k.id, c.channel, k.at, p)
	}
	c.floor = later(c.floor, p)
}

func (j *judge) gap(r record) {
	c := j.state(r.channel)
	if c == nil {
		j.find(&j.verdict.Damaged, "a gap in channel %d, which it did not ask for", r.channel)
		return
	}
	j.verdict.Gaps++
	to := j.canonical(r.at)
	if r.reason == unknownCursor {
		j.unknown(c, r, to)
		return
	}
	if to.compare(c.told) <= 0 {
		j.verdict.GapsAgain++
		return
	}
	if r.reason == skipped && r.channel < j.latest {
		j.find(&j.verdict.GapsFalse, "a gap in channel %d up to %v for a slow client, and the channel skips nothing", r.channel, to)
		return
	}
	if j.loses(c.floor, to) || r.reason == skipped {
		j.verdict.GapsReal++
		c.told, c.floor = to, later(c.floor, to)
		return
	}
	messages := j.world.channels[r.channel]
	gone := len(messages.between(c.floor, to)) > 0 // or would have come again, if it was heard before
	newer, unheard := len(messages.between(to, j.everyLast)), 0
	if !gone || newer < j.history {
		unheard = j.unheard(r.channel)
	}
	switch {
	case c.anchored && !gone && unheard == 0:
		j.find(&j.verdict.GapsFalse, "a gap in channel %d up to %v, and nothing is gone", r.channel, to)
	case newer+unheard < j.history:
		j.find(&j.verdict.GapsFalse, "a gap in channel %d up to %v, and of %d messages that are kept there were never more than %d after it", r.channel, to, j.history, newer+unheard)
	default:
		j.verdict.GapsReal++
	}
	c.told, c.floor = to, later(c.floor, to)
}

// unknown is a gap of a cursor that the server says means nothing: from now on
// everything it retains follows, that is, everything after to, heard before or
// not.
func (j *judge) unknown(c *channelState, r record, to place) {
	asked := j.journal.connections[j.connection]
	from := asked.from[slices.Index(asked.channels, r.channel)]
	if len(j.losses) > 0 { // connections outlive a loss, and a poll's cursor has moved on
		from = c.high
	}
	known := from.life == r.at.life // in memory
	if j.keeps != Nothing {
		known = !j.cut(from)
	}
	if from.isZero() || known {
		j.find(&j.verdict.GapsFalse, "its cursor meant nothing to a server at %v that should know it", r.at)
	} else {
		j.verdict.GapsReal++
	}
	if to.compare(c.high) < 0 {
		c.high = to
	}
	c.anchored, c.anew, c.floor, c.told = true, true, to, to
}

func later(p, q place) place {
	if p.compare(q) < 0 {
		return q
	}
	return p
}
