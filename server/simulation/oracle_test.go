package simulation_test

import (
	"slices"
	"time"

	"peal/loop/fanout"
	"peal/server/log"
	"peal/server/session"
)

// oracle knows the true log, what each channel retains, and how much of each
// life of the log is still in it. It reads entries as they pass from the log to
// the hub and asks no part of the server anything.
type oracle struct {
	w         *world
	truth     []*log.Entry     // by sequence; the first is 1
	floor     uint64           // what is up to here was not recovered in this life
	floors    []uint64         // of the processes before, in this life
	delivered uint64           // the newest that is for subscribers, or was there when this life began
	numbers   map[int][]uint64 // sequences by the number in the data
	retained  *retained
	common    []uint64       // by life: cursors of it are good up to here; the last is this one
	pasts     [][]*log.Entry // by life: the log at its end
	born      int            // the first life of which a log in memory knows
}

// mark is a cursor as the oracle sees it.
type mark struct {
	life     int
	sequence uint64
}

// beginLife takes what was recovered of the log, from the sequence oldest on. It
// checks what the storage promises about it: of copied, if a copy was put back that
// was made when the log was that, else of what was shown last.
func (o *oracle) beginLife(oldest uint64, recovered, copied []*log.Entry) {
	if copied != nil {
		o.truth = copied
	}
	before := o.truth
	if oldest > uint64(len(before))+1 {
		o.w.fail("the log reports %d as its oldest entry, but only %d were shown", oldest, len(before))
		return
	}
	same := int(oldest) - 1
	for _, e := range recovered {
		if same == len(before) || !sameEntry(e, before[same]) {
			break
		}
		same++
	}
	if o.w.storage.keepsShown() && same < len(before) {
		o.w.fail("%d entries were shown, but only %d are recovered", len(before), same)
	}
	o.w.counts[lost] += len(before) - same
	for i := range o.common {
		o.common[i] = min(o.common[i], uint64(same))
	}
	o.common = append(o.common, everything)
	o.born = o.life()
	o.floor, o.floors = oldest-1, nil
	o.truth = slices.Clone(before[:o.floor])
	o.numbers = map[int][]uint64{}
	o.retained = newRetained(&o.w.plan, o.floor)
	for _, e := range recovered {
		o.append(e)
	}
	o.delivered = o.head()
	if copied == nil {
		return
	}
	for i, was := range o.pasts {
		// What was lost since may be there again, and what the copy had on its disk
		// but was shown only after it was made.
		o.common[i] = uint64(shared(was, o.truth))
	}
}

// endLife notes what the log was.
func (o *oracle) endLife() { o.pasts = append(o.pasts, slices.Clone(o.truth)) }

// goOn begins a life in which another process goes on with the log, which has entries from oldest on.
func (o *oracle) goOn(oldest uint64) {
	o.floors = append(o.floors, o.floor) // what the process before did not know, nor does this one
	o.floor = max(o.floor, oldest-1)
	o.retained.loseUpto(o.floor)
	o.endLife()
	for i := range o.common {
		o.common[i] = min(o.common[i], o.head())
	}
	o.common = append(o.common, everything)
}

// shared is how many entries two logs begin with alike.
func shared(a, b []*log.Entry) (n int) {
	for n < min(len(a), len(b)) && sameEntry(a[n], b[n]) {
		n++
	}
	return n
}

func sameEntry(a, b *log.Entry) bool {
	return a.Sequence == b.Sequence && a.Kind == b.Kind && a.Channel == b.Channel && string(a.Data) == string(b.Data)
}

// append takes the next entry of the log.
func (o *oracle) append(e *log.Entry) {
	o.truth = append(o.truth, e)
	if e.Sequence != o.head() {
		o.w.fail("the log has entry %d after %d", e.Sequence, o.head()-1)
	}
	if e.Kind != log.KindControl {
		o.delivered = e.Sequence
	}
	if e.Kind == log.KindPublication {
		n := numberOf(e.Data)
		o.numbers[n] = append(o.numbers[n], e.Sequence)
		o.w.judgeEntry(n, e)
	}
	o.retained.append(e, time.Now().UnixMilli())
}

func (o *oracle) head() uint64 { return uint64(len(o.truth)) }

func (o *oracle) life() int { return len(o.common) - 1 }

// discarded is the highest sequence of the channel that is gone by now.
func (o *oracle) discarded(name string) uint64 {
	return o.retained.discarded(name, time.Now().UnixMilli())
}

// understands tells whether a cursor has a meaning in this life.
func (o *oracle) understands(m mark) bool {
	if m.life < o.born && !o.w.storage.remembers() {
		return false
	}
	return m.life >= 0 && m.sequence <= min(o.common[m.life], o.head())
}

// parse returns what a cursor that the server has sent in this life means.
func (o *oracle) parse(text string) (mark, bool) {
	c, err := log.ParseCursor(text)
	if err != nil || c != o.w.engine.Lineage().Cursor(c.Sequence) || c.Sequence > o.head() {
		return mark{}, false
	}
	return mark{o.life(), c.Sequence}, true
}

// hearing is what one subscription has heard so far, and what it is owed.
type hearing struct {
	accounts []account // by channel
	position uint64    // everything up to here came, or is excused
	conn     *conn
	session  session.ID // by which it is left out
	answered bool       // of peal.v1: its reply came
	began    uint64     // of the Pusher protocol: position at its reply
	gapAhead bool       // the cursor meant nothing: a gap must be told on each channel first
	mute     bool       // the stream has no word for a gap: it is closed instead
	ignoring bool       // and not even closed
}

// account is what is owed of one channel.
type account struct {
	name    string
	lost    uint64 // told as gone up to here
	excused uint64 // was gone before the subscription began, which asked for what there is
	foreign bool   // told that its cursor means nothing
}

func (h *hearing) account(name string) *account {
	i := slices.IndexFunc(h.accounts, func(a account) bool { return a.name == name })
	if i < 0 {
		return nil
	}
	return &h.accounts[i]
}

// begin opens the account of a subscription that starts now.
func (o *oracle) begin(h *hearing, names []string, s start) {
	h.accounts = h.accounts[:0]
	for _, name := range names {
		h.accounts = append(h.accounts, account{name: name})
	}
	switch {
	case s.how == fromNow:
		h.position = o.delivered
		return
	case s.how == fromCursor && o.understands(s.mark):
		h.position = s.mark.sequence
		return
	case s.how == fromCursor:
		h.gapAhead = !h.ignoring
		h.position = 0
	case s.how == fromEarliest:
		h.position = 0
	case s.how == fromLast:
		h.position = o.retained.newest(names, s.last, time.Now().UnixMilli())
	}
	for i := range h.accounts {
		h.accounts[i].excused = o.watermark(h.accounts[i].name)
	}
}

// wants tells whether e is on a channel of h and not kept from it.
func (h *hearing) wants(e *log.Entry) bool {
	return !h.leavesOut(e) && h.hears(e)
}

// missing returns the first entry in (h.position, upto] that h should have had
// and was not told to be gone, nil for none.
func (o *oracle) missing(h *hearing, upto uint64) *log.Entry {
	for q := h.position + 1; q <= upto; q++ {
		e := o.truth[q-1]
		if h.wants(e) && !o.excused(h, e) {
			return e
		}
	}
	return nil
}

// excused tells whether h may do without e: on each of its channels that carry
// e, it is known to be gone.
func (o *oracle) excused(h *hearing, e *log.Entry) bool {
	for _, name := range channelsOf(e) {
		a := h.account(name)
		if a == nil || e.Sequence <= max(a.lost, a.excused) {
			continue
		}
		if h.ignoring && (e.Sequence <= o.watermark(name) || o.passesOver(h, name)) {
			continue
		}
		return false
	}
	return true
}

// passesOver tells whether what h hears of a channel may be its newest alone.
func (o *oracle) passesOver(h *hearing, name string) bool {
	return h.conn.stalled && o.w.plan.policy(name) == fanout.Latest
}

// carriesAfter tells whether something was published to the channel in (from, to].
func (o *oracle) carriesAfter(name string, from, to uint64) bool {
	for q := min(to, o.head()); q > from; q-- {
		if slices.Contains(channelsOf(o.truth[q-1]), name) {
			return true
		}
	}
	return false
}

// goneAfter tells whether something on the channel in (from, to] that is for h is truly
// gone.
func (o *oracle) goneAfter(h *hearing, name string, from, to uint64) bool {
	for q := min(to, o.discarded(name), o.head()); q > from; q-- {
		if e := o.truth[q-1]; slices.Contains(channelsOf(e), name) && !h.leavesOut(e) {
			return true
		}
	}
	return false
}

// watermark is what the channel may begin with when the hub has forgotten it: the
// highest sequence that is gone of it, or of any channel with which it collides.
func (o *oracle) watermark(name string) uint64 { return max(o.discarded(name), o.colliding(name)) }

// colliding is the highest sequence that is gone of another channel that shares
// the watermark of this one. Up to there a gap that is none may be told.
func (o *oracle) colliding(name string) (highest uint64) {
	p := &o.w.plan
	if p.records {
		return 0
	}
	for _, other := range p.names {
		if other != name && p.bucket(other) == p.bucket(name) {
			highest = max(highest, o.discarded(other))
		}
	}
	return highest
}
