package distributed

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"peal/server/log"
)

// encode makes the items of a batch, and gives its entries their times. Sequences are
// the store's to give: those that are encoded only say how far apart the entries are.
//
// Messages with an idempotency key do not share their data: the store may have one of them
// already, and then it is not where the others look for it. keys: the store is to look at them.
func encode(batch []*log.Entry, now int64, keys bool, check func() uint64) []Item {
	for _, e := range batch {
		if e.IdempotencyKey != "" {
			e.Shared = nil
		}
	}
	log.Number(batch, 1, now)
	items := make([]Item, len(batch))
	for i, e := range batch {
		items[i] = Item{Check: check(), Entry: log.AppendEntry(nil, e)}
		if keys && e.IdempotencyKey != "" {
			items[i].Key = digest(e.Channel, e.Publisher, e.IdempotencyKey)
			items[i].Digest = digest(e.Event, string([]byte{bit(e.Binary)}), string(e.Data))
		}
	}
	return items
}

// decoder makes entries of records. Entries of one batch that share data may come
// in two parts.
type decoder struct{ carrier *log.Entry }

// errForeign is what is wrong with an entry that no node has appended.
var errForeign = errors.New("it is not an entry of Peal: another program has written to the log")

// errOrphan is returned by decode for an entry whose data lies in one before it, which has not
// been read: it is behind where reading began, or is not retained any more.
var errOrphan = fmt.Errorf("%w: its data is in an entry that is not there", log.ErrEntry)

// decode returns the entry of a record, which keeps nothing of it; with errOrphan without
// its data.
func (d *decoder) decode(r *Record) (*log.Entry, error) {
	if r.Check == 0 {
		return nil, errForeign
	}
	e, n, err := log.ParseEntry(r.Entry)
	if err == nil && (n == 0 || n != len(r.Entry)) {
		err = log.ErrEntry
	}
	if err != nil {
		return nil, err
	}
	shift := r.Sequence - e.Sequence
	e.Sequence = r.Sequence
	if e.Shared != nil {
		e.Shared.First += shift
	}
	switch {
	case e.Refers():
		if !e.Take(d.carrier) {
			return &e, errOrphan
		}
	case e.Shared != nil:
		d.carrier = &e
	default:
		d.carrier = nil
	}
	return &e, nil
}

// digest is 16 bytes of a digest of all parts.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		var length [binary.MaxVarintLen64]byte
		h.Write(length[:binary.PutUvarint(length[:], uint64(len(part)))])
		h.Write([]byte(part))
	}
	var sum [sha256.Size]byte
	return string(h.Sum(sum[:0])[:16])
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
