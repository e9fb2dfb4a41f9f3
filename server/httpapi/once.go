package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"peal/loop"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/share"
)

// Found when a key is claimed.
var (
	errConflict = &Error{Status: 422, Code: "idempotency_conflict", Message: "this idempotency key was used on this channel for another message: use a new key for a new message, and the same data and event to repeat one"}
	errKeysBusy = &Error{Status: 429, Code: "idempotency_busy", Message: "too many publications with idempotency keys are under way: publish again in a second, with the same key", close: 1013}
)

// keysFull refuses a message whose key Peal could not remember for the whole
// window.
func keysFull(e *idempotency.FullError) *Error {
	seconds := max(1, int(math.Ceil(e.After.Seconds())))
	return &Error{
		Status: 429, Code: "idempotency_full", close: 1013, retry: seconds,
		Message: fmt.Sprintf("this address has used its share of the idempotency keys (idempotency-keys, address-share), and the message was not published: publish it again with the same key; the oldest key expires in %d s", seconds),
	}
}

// keyed is one message with an idempotency key on its way: an entry for each of
// its channels. Those that nobody published before go into the log, the others
// have the sequence of those who did. Nothing is held while the log works.
type keyed struct {
	// Fixed by claimKeys.
	table   *idempotency.Table
	entries []*log.Entry
	keys    []idempotency.Key

	// Each element is written by the one goroutine that brings its end, before
	// it counts down; who counts to 0 reads them all.
	claims []idempotency.Claim
	errs   []*Error
}

// claimKeys claims the key of a message of a share, the same in all entries, for
// each of its channels, or none. left is counted down, and ended called when that brings
// it to 0, for each entry that somebody else is publishing just now; it must
// count the caller too.
func claimKeys(t *idempotency.Table, by share.Key, entries []*log.Entry, left *atomic.Int32, ended func()) (*keyed, *Error) {
	k := &keyed{
		table: t, entries: entries, keys: make([]idempotency.Key, len(entries)),
		claims: make([]idempotency.Claim, len(entries)), errs: make([]*Error, len(entries)),
	}
	for i, e := range entries {
		k.keys[i] = idempotency.KeyOf(e.Channel, e.Publisher, e.IdempotencyKey)
	}
	one := entries[0] // of the same content as the others
	left.Add(int32(len(entries)))
	err := t.Claim(by, k.keys, idempotency.DigestOf(one.Event, one.Binary, one.Data), k.claims, func(i int, sequence uint64, err error) {
		k.claims[i].Sequence = sequence
		if err != nil {
			k.errs[i] = asError(err)
		}
		if left.Add(-1) == 0 {
			ended()
		}
	})
	awaited := 0
	if err == nil {
		awaited = k.count(idempotency.Pending)
	}
	left.Add(int32(awaited - len(entries))) // the caller is counted: not to 0
	var full *idempotency.FullError
	switch {
	case errors.Is(err, idempotency.ErrConflict):
		return nil, errConflict
	case errors.As(err, &full):
		return nil, keysFull(full)
	case err != nil:
		return nil, errKeysBusy
	}
	return k, nil
}

func (k *keyed) count(s idempotency.State) (n int) {
	for i := range k.claims {
		if k.claims[i].State == s {
			n++
		}
	}
	return n
}

// fresh is the entries that must go into the log, to be ended after.
func (k *keyed) fresh() []*log.Entry {
	fresh := make([]*log.Entry, 0, len(k.entries))
	for i, e := range k.entries {
		if k.claims[i].State == idempotency.First {
			fresh = append(fresh, e)
		}
	}
	return fresh
}

// end says what became of the fresh entries: they are in the log, or err.
func (k *keyed) end(err *Error) {
	for i, e := range k.entries {
		switch {
		case k.claims[i].State != idempotency.First:
		case err == nil:
			k.claims[i].Sequence = e.Sequence
			k.table.Settle(k.keys[i], e.Sequence)
		default:
			k.errs[i] = err
			k.table.Release(k.keys[i], err)
		}
	}
}

// result is the last sequence of the message, and whether all of it was there
// before; or the error of one of its channels. It is known when all have ended.
func (k *keyed) result() (sequence uint64, replayed bool, err *Error) {
	for i := range k.claims {
		if k.errs[i] != nil {
			return 0, false, k.errs[i]
		}
		sequence = max(sequence, k.claims[i].Sequence)
	}
	return sequence, k.count(idempotency.First) == 0, nil
}

// once is one publication with an idempotency key that a client waits for.
type once struct {
	// Fixed.
	door   Answerer
	ref    loop.Ref
	answer func(dst []byte, k *keyed) []byte

	keyed *keyed       // stored before the loop counts itself down
	left  atomic.Int32 // the loop, the log, and each entry that others publish
}

// publishOnce publishes the entries of one message of a share, which have the same
// key, and returns the answer; nil if it comes later through the door. answer runs on any
// goroutine.
func (f *Front) publishOnce(by way, of share.Key, entries []*log.Entry, ref loop.Ref, answer func(dst []byte, k *keyed) []byte) ([]byte, *Error) {
	o := &once{door: f.deps.Door, ref: ref, answer: answer}
	o.left.Store(1)
	k, err := claimKeys(f.deps.Keys, of, entries, &o.left, o.late)
	if err != nil {
		return nil, err
	}
	o.keyed = k
	if fresh := k.fresh(); len(fresh) > 0 {
		o.left.Add(1)
		if err := f.deps.Log.Append(fresh, o.logged); err != nil {
			k.end(appendRefusal(err))
			o.left.Add(-1) // the loop is counted: not to 0
		} else {
			f.counts.accept(by, len(fresh))
		}
	}
	if o.left.Add(-1) > 0 {
		return nil, nil
	}
	return answer(nil, k), nil
}

// logged is called by the log, on any goroutine.
func (o *once) logged(err error) {
	var lost *Error
	if err != nil {
		lost = lossRefusal(err)
	}
	o.keyed.end(lost)
	if o.left.Add(-1) == 0 {
		o.late()
	}
}

func (o *once) late() { o.door.Answer(o.ref, o.answer(nil, o.keyed)) }

// appendOnce is append for a publication with a key.
func (f *Front) appendOnce(c *loop.Call, d *draft) {
	shape, clock, tally, lineage := f.shape(), &f.clock, &f.deps.Workers.tally, f.deps.Log.Lineage()
	c.Work += workEntry * len(f.picked)
	out, err := f.publishOnce(overHTTP, f.by, f.entries(d, bytes.Clone(d.data)), c.Conn, func(dst []byte, k *keyed) []byte {
		sequence, replayed, err := k.result()
		if err != nil {
			tally.refuse(err)
			return appendError(dst, shape, clock.date(), err, retryLine(err))
		}
		extra := ""
		if replayed {
			extra = "Idempotency-Replayed: true\r\n"
		}
		return appendCursorAnswer(dst, shape, clock.date(), extra, lineage.Cursor(sequence))
	})
	switch {
	case err != nil:
		f.refuse(c, err, "")
	case out == nil:
		f.later(c)
	default:
		c.Out = append(c.Out, out...)
		c.Verdict = replyVerdict(shape)
	}
}

// entries makes the entries of d, one for each picked channel. data is that of
// d, or a copy where d's is lent: it belongs to the entries from now on.
func (f *Front) entries(d *draft, data []byte) []*log.Entry {
	event, key := string(d.event), string(d.key)
	entries := make([]*log.Entry, len(f.picked))
	for i, n := range f.picked {
		entries[i] = &log.Entry{Channel: n.text(), Event: event, Data: data, Binary: d.binary, IdempotencyKey: key}
	}
	log.Share(entries)
	return entries
}
