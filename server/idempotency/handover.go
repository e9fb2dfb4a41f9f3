package idempotency

import (
	"encoding/binary"
	"errors"

	"peal/server/share"
)

// A hand-over to the table of another process: the keys of messages that are in the log, in the order of their claims, with
// their shares and what is left of their windows. A key that is pending is not among them: its attempt ends
// with this process.

// Part is a piece of what a table hands over, a value for encoding/gob. Fields may be added.
type Part struct {
	First   bool   // what the table of the successor has is replaced
	Evicted uint64 // in the first part

	// Keys, the oldest first, each of 56 bytes: key 16, digest of the message 16, sequence 8, when it was claimed 8 (milliseconds
	// since 1970), share 8; integers are little-endian.
	Keys []byte
}

const (
	keyBytes = 16 + 16 + 8 + 8 + 8
	partKeys = 4096 // the most of a part
)

// errPart is what a part is that no table has given.
var errPart = errors.New("idempotency: what was handed over is damaged, or of a later version of Peal")

// HandOver calls give with all keys, in parts, of which there is at least one. It holds the lock for one part at a
// time; nothing may be claimed meanwhile. It returns the first error of give.
func (t *Table) HandOver(give func(*Part) error) error {
	t.mu.Lock()
	p := &Part{First: true, Evicted: t.evicted}
	for place := t.all.oldest; place != none; place = t.slots[place].all.newer {
		s := &t.slots[place]
		if s.sequence == 0 {
			continue
		}
		p.Keys = s.append(p.Keys)
		if len(p.Keys) == partKeys*keyBytes {
			t.mu.Unlock()
			if err := give(p); err != nil {
				return err
			}
			p = &Part{}
			t.mu.Lock()
		}
	}
	t.mu.Unlock()
	if !p.First && len(p.Keys) == 0 {
		return nil
	}
	return give(p)
}

func (s *slot) append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(append(dst, s.key[:]...), s.body[:]...)
	dst = le.AppendUint64(le.AppendUint64(dst, s.sequence), uint64(s.at))
	return le.AppendUint64(dst, uint64(s.share))
}

// Import takes a part of the table of another process, before the first Claim. Keys of entries that are newer than the hand-over come
// behind it. Where there is less room than there was, the oldest keys go, which is counted.
func (t *Table) Import(p *Part) error {
	if len(p.Keys)%keyBytes != 0 {
		return errPart
	}
	now := t.now().UnixMilli()
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.First {
		t.places, t.slots, t.free, t.all = make(map[Key]uint32), nil, none, ends{none, none}
		t.shares, t.evicted = share.Ledger[ends]{}, p.Evicted
	}
	le := binary.LittleEndian
	for b := p.Keys; len(b) > 0; b = b[keyBytes:] {
		s := slot{key: Key(b[:16]), body: Digest(b[16:32]), sequence: le.Uint64(b[32:]), at: min(int64(le.Uint64(b[40:])), now), share: share.Key(le.Uint64(b[48:]))}
		if _, ok := t.places[s.key]; ok || s.sequence == 0 {
			return errPart
		}
		if s.at+t.window <= now {
			continue
		}
		if len(t.places) >= t.most {
			t.removeLocked(t.all.oldest)
			t.evicted++
		}
		t.addLocked(s)
	}
	return nil
}
