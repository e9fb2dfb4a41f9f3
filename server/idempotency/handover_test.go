package idempotency_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"testing"
	"time"

	"peal/server/idempotency"
)

func handOver(from, to *idempotency.Table) (parts int, err error) {
	err = from.HandOver(func(p *idempotency.Part) error {
		parts++
		var b bytes.Buffer
		var got idempotency.Part
		if err := errors.Join(gob.NewEncoder(&b).Encode(p), gob.NewDecoder(&b).Decode(&got)); err != nil {
			return err
		}
		return to.Import(&got)
	})
	return parts, err
}

func TestKeysAreHandedOver(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	clock := func() time.Time { return now }
	from := idempotency.New(time.Minute, 6000, 5000, clock)
	body, other := idempotency.DigestOf("", false, []byte("a")), idempotency.DigestOf("", false, []byte("b"))
	claim := func(table *idempotency.Table, text string, body idempotency.Digest) (idempotency.Claim, error) {
		var c [1]idempotency.Claim
		err := table.Claim(7, []idempotency.Key{idempotency.KeyOf("ch", "", text)}, body, c[:], func(int, uint64, error) {})
		return c[0], err
	}
	for i := range 4999 {
		text := fmt.Sprint(i)
		if c, err := claim(from, text, body); err != nil || c.State != idempotency.First {
			t.Fatal(c, err)
		}
		from.Settle(idempotency.KeyOf("ch", "", text), uint64(i+1))
		if i == 2500 {
			now = now.Add(30 * time.Second)
		}
	}
	if _, err := claim(from, "pending", body); err != nil {
		t.Fatal(err)
	}
	to := idempotency.New(time.Minute, 6000, 5000, clock)
	if parts, err := handOver(from, to); err != nil || parts != 2 || to.Len() != 4999 {
		t.Fatalf("%d parts, %d keys, %v", parts, to.Len(), err)
	}
	if c, err := claim(to, "17", body); err != nil || c.State != idempotency.Replayed || c.Sequence != 18 {
		t.Errorf("a repeat is %+v, %v", c, err)
	}
	if _, err := claim(to, "17", other); !errors.Is(err, idempotency.ErrConflict) {
		t.Errorf("another message with a key: %v", err)
	}
	if c, err := claim(to, "pending", body); err != nil || c.State != idempotency.First {
		t.Errorf("a key that was pending is %+v, %v", c, err)
	}
	full := (*idempotency.FullError)(nil)
	if _, err := claim(to, "more", body); !errors.As(err, &full) || full.After != 30*time.Second {
		t.Errorf("the share has more than its limit: %v", err)
	}
	now = now.Add(31 * time.Second) // the window of the first half has ended
	if c, err := claim(to, "17", other); err != nil || c.State != idempotency.First {
		t.Errorf("after its window a key is %+v, %v", c, err)
	}
	if c, err := claim(to, "3000", body); err != nil || c.State != idempotency.Replayed {
		t.Errorf("within its window a key is %+v, %v", c, err)
	}
	small := idempotency.New(time.Minute, 10, 10, clock)
	if _, err := handOver(from, small); err != nil || small.Len() != 10 || small.Evicted() == 0 {
		t.Errorf("without room there are %d keys, %d evicted, %v", small.Len(), small.Evicted(), err)
	}
	if c, err := claim(small, "4998", body); err != nil || c.State != idempotency.Replayed {
		t.Errorf("the newest key is %+v, %v", c, err)
	}
	for _, bad := range [][]byte{make([]byte, 55), make([]byte, 56)} {
		if err := to.Import(&idempotency.Part{First: true, Keys: bad}); err == nil {
			t.Errorf("%d bytes of nothing are taken", len(bad))
		}
	}
}
