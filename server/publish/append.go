package publish

import (
	"errors"
	"slices"
	"sync/atomic"

	"peal/loop"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/names"
	"peal/server/refusal"
	"peal/server/share"
	"peal/server/tally"
)

// Log accepts publications: a log.Log. See there.
type Log interface {
	Lineage() *log.Lineage
	Append(batch []*log.Entry, done func(error)) error
}

// Door brings a response that was not ready at once to its connection: a
// loop.Group. Any goroutine may call it. out becomes the loop's.
type Door interface {
	Answer(ref loop.Ref, out []byte)
}

// Counter counts what the log has accepted.
type Counter interface {
	Accept(w tally.Way, publications int)
}

// Reply writes to a publisher what became of its messages. It is called once, on
// any goroutine, and refusals are counted before.
type Reply interface {
	AppendResults(dst []byte, l *log.Lineage, results []Result) []byte
	AppendError(dst []byte, err *refusal.Error) []byte
}

// Target is where publications go. All goroutines may share one. Fixed.
type Target struct {
	Log   Log
	Door  Door
	Keys  *idempotency.Table // nil: keys are published with the message and nothing more
	Tally *tally.Shared
	Spans Spans // nil: there are none

	// Remote: the log is in a store that may not respond, and loses messages that
	// were accepted more often than a disk fails.
	Remote bool
}

// Append is the messages of one request on their way into the log. A publisher of
// single messages may use it again when Publish has reported that it is done.
type Append struct {
	// Fixed before Publish or Run.
	To      *Target
	Reply   Reply
	Ref     loop.Ref  // whom the door brings the reply
	By      share.Key // whose keys they are
	Way     tally.Way
	Counter Counter // of the goroutine that appends

	// Owned by the goroutine that appends, until it counts down.
	results []Result
	one     [1]Result // memory of results
	group   group     // memory of the only group

	// Shared. All write their results before they count down; the one that counts to
	// 0 reads them: the goroutine that appends, each group in the log, each entry
	// that others publish under the same key.
	left atomic.Int32
}

// Result is what became of one message: it is refused or lost, or has keys, or the
// cursor of its last entry.
type Result struct {
	err   *refusal.Error
	keyed *keyed
	last  *log.Entry
	span  Span // nil: it is not recorded
}

// Outcome returns the last sequence of the message, and whether all of it was in
// the log before; or why it is not there.
func (r *Result) Outcome() (sequence uint64, replayed bool, err *refusal.Error) {
	switch {
	case r.err != nil:
		return 0, false, r.err
	case r.keyed != nil:
		return r.keyed.result()
	}
	return r.last.Sequence, false, nil
}

// end brings a result that was waiting for the log its end: err is nil, or why the
// message is not in the log.
func (r *Result) end(err *refusal.Error) {
	switch {
	case r.err != nil:
	case r.keyed != nil:
		r.keyed.end(err)
	default:
		r.err = err
	}
}

// Publish appends one message and the reply to dst, if it is known at once. Else
// later is true: the reply comes through the door, and a must not be used again.
func (a *Append) Publish(dst []byte, d *Draft, channels []*names.Name) (out []byte, later bool) {
	a.results = a.one[:]
	a.left.Store(1)
	g := &a.group
	g.of, g.results = a, a.results
	g.add(&a.results[0], d, channels)
	_ = g.append() // it is in the results
	if a.left.Add(-1) > 0 {
		return dst, true
	}
	dst = a.reply(dst)
	clear(g.entries) // a lives on: it must not hold entries that the history drops
	g.entries, a.one = g.entries[:0], [1]Result{}
	return dst, false
}

// Item is one of several messages that are appended together.
type Item struct {
	Draft    *Draft // checked
	Channels []*names.Name
}

// PublishAll is Publish for several messages, of which the log accepts all or none. The
// Append must not be used again.
func (a *Append) PublishAll(dst []byte, items []Item) (out []byte, later bool) {
	a.results = make([]Result, len(items))
	a.left.Store(1)
	g := &a.group
	g.of, g.results = a, a.results
	for i := range items {
		g.add(&a.results[i], items[i].Draft, items[i].Channels)
	}
	_ = g.append() // it is in the results
	if a.left.Add(-1) > 0 {
		return dst, true
	}
	return a.reply(dst), false
}

// reply appends the reply when all has ended.
func (a *Append) reply(dst []byte) []byte {
	for i := range a.results {
		a.results[i].endSpan()
		if _, _, err := a.results[i].Outcome(); err != nil {
			a.To.Tally.Refuse(err) // rare enough for its lock, also on a loop
		}
	}
	return a.Reply.AppendResults(dst, a.To.Log.Lineage(), a.results)
}

// countDown replies through the door if this is the last goroutine.
func (a *Append) countDown() {
	if a.left.Add(-1) == 0 {
		a.replyLate()
	}
}

func (a *Append) replyLate() { a.To.Door.Answer(a.Ref, a.reply(nil)) }

// group is messages that go into the log together, under one lock.
type group struct {
	of      *Append
	results []Result // of its messages
	entries []*log.Entry
	done    func(error) // finish, made once
}

// add adds a message: the entries that are not in the log yet under its key.
func (g *group) add(r *Result, d *Draft, channels []*names.Name) {
	r.span = g.of.To.trace(d)
	from := len(g.entries)
	g.entries = d.AppendEntries(g.entries, channels)
	added := g.entries[from:]
	a := g.of
	if len(d.Key) == 0 || a.To.Keys == nil {
		r.last = added[len(added)-1]
		return
	}
	own := slices.Clone(added)
	g.entries = g.entries[:from]
	r.keyed, r.err = claimKeys(a.To.Keys, a.By, own, &a.left, a.replyLate)
	if r.err == nil {
		g.entries = r.keyed.appendFresh(g.entries)
	}
}

// append hands the group to the log. What it refuses is in the results, too.
func (g *group) append() *refusal.Error {
	if len(g.entries) == 0 {
		return nil
	}
	a := g.of
	a.left.Add(1)
	if g.done == nil {
		g.done = g.finish
	}
	if err := a.To.Log.Append(g.entries, g.done); err != nil { // done is never called
		refused := a.To.refusalOf(err)
		g.end(refused)
		return refused
	}
	a.Counter.Accept(a.Way, len(g.entries))
	return nil
}

// finish is called by the log, on any goroutine, when it is done with the group.
func (g *group) finish(err error) {
	if err == nil {
		g.end(nil)
		return
	}
	g.end(g.of.To.lossOf(err))
}

// end gives all messages of the group their end, for which the log, or what it
// refused, was counted.
func (g *group) end(err *refusal.Error) {
	for i := range g.results {
		if s := g.results[i].span; s != nil {
			s.Appended()
		}
		g.results[i].end(err)
	}
	g.of.countDown()
}

// refusalOf says why the log did not accept.
func (t *Target) refusalOf(err error) *refusal.Error {
	switch {
	case errors.Is(err, log.ErrClosed):
		return refusal.ErrDraining
	case errors.Is(err, log.ErrStorage):
		return t.full()
	case errors.Is(err, log.ErrUnavailable):
		return refusal.ErrNoLog
	}
	return refusal.ErrOverloaded
}

// full says that the log cannot be written, which is an operator's to change.
func (t *Target) full() *refusal.Error {
	if t.Remote {
		return refusal.ErrStoreFull
	}
	return refusal.ErrLogFull
}

// lossOf says why entries that the log had accepted were lost.
func (t *Target) lossOf(err error) *refusal.Error {
	switch {
	case errors.Is(err, log.ErrClosed): // nothing was appended
		return refusal.ErrDraining
	case errors.Is(err, log.ErrStorage):
		return t.full()
	case errors.Is(err, log.ErrUnavailable):
		return refusal.ErrUnanswered
	case errors.Is(err, log.ErrFull):
		return refusal.ErrOverloaded
	case errors.Is(err, log.ErrConflict):
		return errConflict
	}
	return refusal.ErrLost
}

// Forget appends a message whose publisher receives no reply. lost is called, on any
// goroutine, if the log has accepted the message and then lost it, or may have; the
// refusal was counted. nil: nobody wants to know; the engine logs and counts it.
func (t *Target) Forget(d *Draft, channels []*names.Name, lost func(*refusal.Error)) *refusal.Error {
	done := ignoreLoss
	if lost != nil {
		done = func(err error) {
			if err != nil {
				refused := t.lossOf(err)
				t.Tally.Refuse(refused)
				lost(refused)
			}
		}
	}
	if err := t.Log.Append(d.AppendEntries(nil, channels), done); err != nil {
		return t.refusalOf(err)
	}
	return nil
}

func ignoreLoss(error) {}
