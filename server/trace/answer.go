package trace

import (
	"cmp"
	"slices"
)

// Answer is what became of a message for all whom a question is about.
type Answer struct {
	Verdict
	Reason  string  // NotKnown: why
	Found   []Found // those that count most first
	Omitted int     // further connections, which are not listed
}

// What an answer cannot be given for.
const (
	reasonStart     = "the message is older than the record"
	reasonForgotten = "lives of connections that may have been sent it were forgotten (trace-lives, trace-bytes)"
	reasonCarried   = "the message is older than the record: the connection was taken over from another process, by an upgrade"
	reasonNodes     = "another node may have sent it: ask the other nodes, too"
)

// Conclude makes the answer of what the records of all loops have found. others says that other nodes
// have connections of the same clients.
func Conclude(q *Question, findings []Finding, others bool) Answer {
	var a Answer
	complete, completeRefused, since := true, true, uint64(0)
	for i := range findings {
		f := &findings[i]
		a.Found = append(a.Found, f.Found...)
		a.Omitted += f.Omitted
		complete, completeRefused = complete && f.complete, completeRefused && f.completeRefused
		since = max(since, f.since)
	}
	for i := range a.Found {
		a.Found[i].confirm(q, a.Found)
	}
	overtake(a.Found)
	slices.SortStableFunc(a.Found, func(x, y Found) int {
		return cmp.Or(cmp.Compare(x.weight(), y.weight()), -cmp.Compare(x.nearness(), y.nearness()), cmp.Compare(x.Session, y.Session))
	})
	if len(a.Found) > MostFound {
		a.Omitted += len(a.Found) - MostFound
		a.Found = a.Found[:MostFound]
	}
	a.Verdict = NotConnected
	if len(a.Found) > 0 {
		a.Verdict = a.Found[0].Verdict
	}
	certain := complete && (completeRefused || len(a.Found) > 0 && a.Verdict <= NotGranted) && a.Omitted == 0
	switch {
	case a.Verdict == Sent, a.Verdict == Had: // whatever others were sent
	case a.Verdict == Unclear:
		a.Verdict, a.Reason = NotKnown, a.Found[0].Detail
	case q.Sequence <= since:
		a.Verdict, a.Reason = NotKnown, reasonStart
	case !certain:
		a.Verdict, a.Reason = NotKnown, reasonForgotten
	case others && a.Verdict != Behind:
		a.Verdict, a.Reason = NotKnown, reasonNodes
	}
	return a
}

// confirm looks for a later connection of the same client that has come with a cursor behind the
// message.
func (f *Found) confirm(q *Question, all []Found) {
	if f.Verdict != Sent || f.Confirmed >= q.Sequence || f.ID == ([16]byte{}) {
		return
	}
	for i := range all {
		o := &all[i]
		if o == f || o.ID != f.ID || o.cursor < q.Sequence || o.cursorAt < f.Began {
			continue
		}
		f.Confirmed, f.ConfirmedAt, f.ConfirmedBy = o.cursor, o.cursorAt, Reconnect
		if f.Poll && o.Poll {
			f.ConfirmedBy = NextPoll
		}
		return
	}
}

// overtake marks refusals after which the same client had the channel, by a subscription from before the message: what
// became of that says why it was not sent.
func overtake(all []Found) {
	had := map[string]int64{}
	for i := range all {
		had[all[i].Name] = max(had[all[i].Name], all[i].hadUntil)
	}
	for i := range all {
		f := &all[i]
		f.overtaken = f.refused && f.At < had[f.Name]
	}
}

// weight orders connections: one that was there when the message was published says more than one
// that had ended.
func (f *Found) weight() Verdict {
	if f.overtaken {
		return NotConnected
	}
	switch f.Verdict {
	case Disconnected:
		return NotSubscribed
	case NotSubscribed:
		return Disconnected
	}
	return f.Verdict
}

// nearness orders connections with the same verdict: the last that ended before the message, and the
// first that came after it, say most.
func (f *Found) nearness() int64 {
	switch f.Verdict {
	case Disconnected:
		return f.Ended
	case Later:
		return -f.Began
	}
	return f.Began
}

// IsConfirmed reports whether the client has confirmed the message of sequence m.
func (f *Found) IsConfirmed(m uint64) bool { return f.Verdict == Sent && f.Confirmed >= m }
