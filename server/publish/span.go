package publish

// Spans makes spans of publications, for distributed tracing: package otel. All goroutines share it.
type Spans interface {
	// Begin begins the span of a publication whose publisher has sent parent, a valid traceparent or "". It
	// returns nil if it is not recorded.
	Begin(parent string) Span
}

// Span is one publication on its way. Its calls come one after the other, on any goroutine.
type Span interface {
	// Traceparent is the one with which subscribers receive the message.
	Traceparent() string

	// Appended: the log is done with it.
	Appended()

	// End: the publisher receives its response. sequence is that of the last entry, code why it was refused, "" if it was not.
	End(sequence uint64, code string)
}

// trace begins the span of d, if it is recorded.
func (t *Target) trace(d *Draft) Span {
	if t.Spans == nil {
		return nil
	}
	s := t.Spans.Begin(d.parent)
	if s != nil {
		d.parent = s.Traceparent()
	}
	return s
}

// endSpan ends the span of r.
func (r *Result) endSpan() {
	if r.span == nil {
		return
	}
	sequence, _, err := r.Outcome()
	code := ""
	if err != nil {
		code = err.Code
	}
	r.span.End(sequence, code)
}
