package publish

import (
	"slices"
	"sync/atomic"

	"peal/server/ask"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
)

// decided is a message of a batch of which it is known whether it may be published, or what
// the backend must be asked for that.
type decided struct {
	draft    Draft
	channels []*names.Name
	err      *refusal.Error
	call     *ask.Call
	answer   *ask.Answer
}

// next returns the message at index i, decided.
func (b *Batch) next(messages []Message, i int) (Draft, []*names.Name, *refusal.Error) {
	if b.decided != nil {
		one := &b.decided[i]
		return one.draft, one.channels, one.err
	}
	d, err := b.draft(&messages[i])
	return d, b.work.set.List(), err
}

// asks decides about all messages, and reports whether the backend must be asked about some:
// about each by itself, and all at once. Then a worker appends all of them, in their order,
// when it has answered.
func (b *Batch) asks() bool {
	b.decided = make([]decided, len(b.work.messages))
	var open []*decided
	for i := range b.work.messages {
		one := &b.decided[i]
		if one.draft, one.err = b.draft(&b.work.messages[i]); one.err == permit.ErrAsk {
			one.call = b.Request.Call
			open = append(open, one)
		}
		one.channels = slices.Clone(b.work.set.List())
	}
	if len(open) == 0 {
		return false
	}
	var left atomic.Int32
	left.Store(int32(len(open)))
	for _, one := range open {
		b.Gate.Ask.Ask(one.call, func(a *ask.Answer) {
			one.answer = a
			if left.Add(-1) > 0 {
				return
			}
			if err := b.Resume(b.answered); err != nil {
				b.Refuse(err)
			}
		})
	}
	return true
}

// answered goes on when the backend has answered.
func (b *Batch) answered() {
	for i := range b.decided {
		one := &b.decided[i]
		if one.call == nil {
			continue
		}
		q := &b.Request
		q.Channels, q.Data, q.Binary, q.Event = one.channels, one.draft.Data, one.draft.Binary, one.draft.Event
		q.Call, q.Answers = nil, permit.Answers{one.call.Key: one.answer}
		if one.err = b.Gate.Decide(q); one.err == nil {
			one.err = b.accept(&one.draft)
		}
	}
	b.appendAll()
}
