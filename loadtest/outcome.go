package loadtest

// Outcome is what became of the messages that a Publisher was given.
type Outcome struct {
	Accepted   uint64   // answered with a 2xx, or written as a frame
	Refused    uint64   // not written, answered with an error, or not answered
	Unanswered uint64   // of those, written and not answered: the server may have taken them
	Unreadable uint64   // of those, whose response the load test could not read
	Reason     error    // of the first
	Refusals   []End    // all, by reason
	Excused    [][]Span // per stream: those refused, sorted; nil: not known, with several targets
	Answer     []byte   // the body of the newest 2xx
}

// add adds a later one, whose spans may be out of order.
func (o *Outcome) add(later Outcome) {
	o.Accepted += later.Accepted
	o.Refused += later.Refused
	o.Unanswered += later.Unanswered
	o.Unreadable += later.Unreadable
	if o.Reason == nil {
		o.Reason = later.Reason
	}
	for _, e := range later.Refusals {
		o.Refusals = AddEnd(o.Refusals, e)
	}
	if later.Answer != nil {
		o.Answer = later.Answer
	}
	for i := range o.Excused[:min(len(o.Excused), len(later.Excused))] {
		spans := later.Excused[i]
		o.Excused[i] = append(o.Excused[i], spans...)
	}
}

// acceptLocked notes that messages were accepted, but for those that a Settle has
// given up on.
func (c *publishConn) acceptLocked(messages []sent) {
	for _, m := range messages {
		if m.stream != 0 {
			c.outcome.Accepted++
		}
	}
}

// refuseLocked notes that messages were not accepted, but for those that a
// Settle has given up on.
func (c *publishConn) refuseLocked(messages []sent, unanswered bool, reason error) {
	o := &c.outcome
	before := o.Refused
	for _, m := range messages {
		if m.stream == 0 {
			continue
		}
		if o.Refused++; unanswered {
			o.Unanswered++
		}
		if o.Reason == nil {
			o.Reason = reason
		}
		if o.Excused == nil {
			o.Excused = make([][]Span, len(c.paths))
		}
		o.Excused[m.stream-1] = withSequence(o.Excused[m.stream-1], m.sequence)
	}
	if o.Refused > before {
		e := endOf(reason)
		e.Count = int(o.Refused - before)
		o.Refusals = AddEnd(o.Refusals, e)
	}
}

// withSequence adds a sequence, which mostly follows the last.
func withSequence(spans []Span, sequence uint64) []Span {
	if n := len(spans); n > 0 && spans[n-1].Last+1 == sequence {
		spans[n-1].Last = sequence
		return spans
	}
	return append(spans, Span{sequence, sequence})
}
