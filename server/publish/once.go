package publish

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/refusal"
	"peal/server/share"
)

// Found when a key is claimed.
var (
	errConflict = &refusal.Error{Status: 422, Code: "idempotency_conflict", Message: "this idempotency key was used on this channel for another message: use a new key for a new message, and the same data and event to repeat one"}
	errKeysBusy = &refusal.Error{Status: 429, Code: "idempotency_busy", Message: "too many publications with idempotency keys are under way: publish again in a second, with the same key", Close: 1013}
)

// keysFull refuses a message whose key Peal could not remember for the whole
// window.
func keysFull(e *idempotency.FullError) *refusal.Error {
	seconds := max(1, int(math.Ceil(e.After.Seconds())))
	return &refusal.Error{
		Status: 429, Code: "idempotency_full", Close: 1013, Retry: seconds,
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
	// it counts down; the goroutine that counts to 0 reads them all.
	claims []idempotency.Claim
	errs   []*refusal.Error
}

// claimKeys claims the key of a message of a share, the same in all entries, for
// each of its channels, or none. left is counted down, and ended called when that brings
// it to 0, for each entry that somebody else is publishing just now; it must
// count the caller too.
func claimKeys(t *idempotency.Table, by share.Key, entries []*log.Entry, left *atomic.Int32, ended func()) (*keyed, *refusal.Error) {
	k := &keyed{
		table: t, entries: entries, keys: make([]idempotency.Key, len(entries)),
		claims: make([]idempotency.Claim, len(entries)), errs: make([]*refusal.Error, len(entries)),
	}
	for i, e := range entries {
		k.keys[i] = idempotency.KeyOf(e.Channel, e.Publisher, e.IdempotencyKey)
	}
	one := entries[0] // of the same content as the others
	left.Add(int32(len(entries)))
	err := t.Claim(by, k.keys, idempotency.DigestOf(one.Event, one.Binary, one.Data), k.claims, func(i int, sequence uint64, err error) {
		k.claims[i].Sequence = sequence
		if err != nil {
			k.errs[i], _ = errors.AsType[*refusal.Error](err) // what end gave to Release
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

// appendFresh appends the entries that must go into the log; end must follow.
func (k *keyed) appendFresh(dst []*log.Entry) []*log.Entry {
	for i, e := range k.entries {
		if k.claims[i].State == idempotency.First {
			dst = append(dst, e)
		}
	}
	return dst
}

// end says what became of the fresh entries: they are in the log, or err.
func (k *keyed) end(err *refusal.Error) {
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
func (k *keyed) result() (sequence uint64, replayed bool, err *refusal.Error) {
	for i := range k.claims {
		if k.errs[i] != nil {
			return 0, false, k.errs[i]
		}
		sequence = max(sequence, k.claims[i].Sequence)
	}
	return sequence, k.count(idempotency.First) == 0, nil
}
