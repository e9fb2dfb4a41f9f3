package idempotency_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/share"
)

// model is the table once more, as plainly as can be: one list in the order of
// claims.
type model struct {
	window    int64
	most      int
	shareMost int
	now       int64
	keys      []modelKey
}

type modelKey struct {
	name     string
	by       share.Key
	text     string
	sequence uint64 // 0: pending
	at       int64
	waiting  []int // numbers of the attempts
}

func (m *model) find(name string) int {
	i := slices.IndexFunc(m.keys, func(k modelKey) bool { return k.name == name })
	if i >= 0 && m.expired(i) {
		m.keys = slices.Delete(m.keys, i, i+1)
		return -1
	}
	return i
}

func (m *model) expired(i int) bool {
	return m.keys[i].sequence != 0 && m.keys[i].at+m.window <= m.now
}

func (m *model) held(by share.Key) (n int) {
	for _, k := range m.keys {
		if k.by == by {
			n++
		}
	}
	return n
}

func (m *model) oldest(by share.Key) int {
	return slices.IndexFunc(m.keys, func(k modelKey) bool { return k.by == by })
}

func (m *model) remove(i int) { m.keys = slices.Delete(m.keys, i, i+1) }

// refusal is for a share that is full, with how many milliseconds the share has to wait.
type refusal int64

func (r refusal) Error() string { return fmt.Sprint("full for ", int64(r)) }

func (m *model) full(by share.Key) error {
	if i := m.oldest(by); i >= 0 {
		return refusal(max(0, m.keys[i].at+m.window-m.now))
	}
	return refusal(m.window)
}

// makeRoom is for n more keys of a share.
func (m *model) makeRoom(by share.Key, n int) error {
	for m.held(by)+n > m.shareMost {
		i := m.oldest(by)
		if i < 0 || !m.expired(i) {
			return m.full(by)
		}
		m.remove(i)
	}
	for len(m.keys)+n > m.most && len(m.keys) > 0 && m.expired(0) {
		m.remove(0)
	}
	lacking := len(m.keys) + n - m.most
	if lacking > 0 && m.held(m.largest())-lacking < m.held(by)+n {
		return m.full(by)
	}
	for ; lacking > 0; lacking-- {
		i := m.oldest(m.largest())
		if m.keys[i].sequence == 0 {
			return idempotency.ErrBusy
		}
		m.remove(i)
	}
	return nil
}

// largest is the share with most keys, of several the one with the lowest number.
func (m *model) largest() (largest share.Key) {
	for _, k := range m.keys {
		held, most := m.held(k.by), m.held(largest)
		if held > most || held == most && k.by < largest {
			largest = k.by
		}
	}
	return largest
}

// claim returns what the table says of each name, "" for first, "wait", or the
// sequence.
func (m *model) claim(attempt int, by share.Key, names []string, text string) ([]string, error) {
	for n := 2 * len(names); n > 0 && len(m.keys) > 0 && m.expired(0); n-- {
		m.keys = m.keys[1:]
	}
	said, fresh := make([]string, len(names)), 0
	for i, name := range names {
		switch at := m.find(name); {
		case at < 0:
			fresh++
		case m.keys[at].text != text:
			return nil, idempotency.ErrConflict
		case m.keys[at].sequence == 0:
			said[i] = "wait"
		default:
			said[i] = fmt.Sprint(m.keys[at].sequence)
		}
	}
	if fresh > 0 {
		if err := m.makeRoom(by, fresh); err != nil {
			return nil, err
		}
	}
	for i, name := range names {
		switch said[i] {
		case "":
			m.keys = append(m.keys, modelKey{name: name, by: by, text: text, at: m.now})
		case "wait":
			k := &m.keys[m.find(name)]
			k.waiting = append(k.waiting, attempt)
		}
	}
	return said, nil
}

func (m *model) restore(name, text string, sequence uint64, at int64) {
	if at+m.window <= m.now {
		return
	}
	if i := slices.IndexFunc(m.keys, func(k modelKey) bool { return k.name == name }); i >= 0 {
		if m.keys[i].sequence == 0 {
			return
		}
		m.keys = slices.Delete(m.keys, i, i+1)
	}
	for len(m.keys) >= m.most {
		if m.keys[0].sequence == 0 {
			return
		}
		m.remove(0)
	}
	m.keys = append(m.keys, modelKey{name: name, by: share.Restored, text: text, sequence: sequence, at: min(at, m.now)})
}

// run drives a table and the model with the same random steps.
func run(seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 1))
	r := &rig{at: time.UnixMilli(1_770_000_000_000)}
	m := &model{window: 50 + random.Int64N(1000), most: 4 + random.IntN(12)}
	m.shareMost = 3 + random.IntN(m.most)
	r.Table = idempotency.New(time.Duration(m.window)*time.Millisecond, m.most, m.shareMost, func() time.Time { return r.at })
	shares := 1 + random.IntN(5)
	name := func() string { return fmt.Sprint(random.IntN(2 * m.most)) }
	sequence := uint64(0)
	told := map[int]string{}
	for step := range 3000 {
		m.now = r.at.UnixMilli()
		switch n := random.IntN(10); {
		case n < 5:
			var names []string
			var keys []idempotency.Key
			for range 1 + random.IntN(3) {
				if name := name(); !slices.Contains(names, name) {
					names = append(names, name)
					keys = append(keys, key(name))
				}
			}
			text := string("xxxxy"[random.IntN(5)])
			claims := make([]idempotency.Claim, len(keys))
			by := share.Key(random.IntN(shares))
			err := r.Claim(by, keys, body(text), claims, func(_ int, sequence uint64, err error) {
				told[step] += fmt.Sprint(sequence, err)
			})
			want, wantErr := m.claim(step, by, names, text)
			if !sameError(err, wantErr) {
				return fmt.Errorf("step %d: claim of %v: %v, want %v", step, names, err, wantErr)
			}
			for i := range want {
				got := []string{"", fmt.Sprint(claims[i].Sequence), "wait"}[claims[i].State]
				if got != want[i] {
					return fmt.Errorf("step %d: claim of %s: %q, want %q", step, names[i], got, want[i])
				}
			}
		case n < 8:
			i := slices.IndexFunc(m.keys, func(k modelKey) bool { return k.sequence == 0 && random.IntN(2) == 0 })
			if i < 0 {
				continue
			}
			k := &m.keys[i]
			clear(told)
			want := ""
			if random.IntN(4) == 0 {
				r.Release(key(k.name), errors.New("lost"))
				want = fmt.Sprint(0, errors.New("lost"))
			} else {
				sequence++
				r.Settle(key(k.name), sequence)
				k.sequence, want = sequence, fmt.Sprint(sequence, nil)
			}
			for _, attempt := range k.waiting {
				if told[attempt] != want {
					return fmt.Errorf("step %d: attempt %d was told %q, want %q", step, attempt, told[attempt], want)
				}
			}
			if len(told) != len(k.waiting) {
				return fmt.Errorf("step %d: %d were told, want %d", step, len(told), len(k.waiting))
			}
			if k.waiting = nil; k.sequence == 0 {
				m.keys = slices.Delete(m.keys, i, i+1)
			}
		case n < 9:
			r.at = r.at.Add(time.Duration(random.IntN(100)) * time.Millisecond)
		default:
			sequence++
			e := &log.Entry{Sequence: sequence, Time: m.now - random.Int64N(2*m.window) + m.window/2, Channel: "channel", IdempotencyKey: name(), Data: []byte("x")}
			r.Restore(e)
			m.restore(e.IdempotencyKey, "x", e.Sequence, e.Time)
		}
		if r.Len() != len(m.keys) || r.Len() > m.most {
			return fmt.Errorf("step %d: %d keys, want %d and at most %d", step, r.Len(), len(m.keys), m.most)
		}
	}
	return nil
}

func sameError(err, want error) bool {
	var after refusal
	if !errors.As(want, &after) {
		return errors.Is(err, want)
	}
	var got *idempotency.FullError
	return errors.As(err, &got) && got.After == time.Duration(after)*time.Millisecond
}

func TestTheTableIsTheModel(t *testing.T) {
	first := rand.Uint64()
	for i := range uint64(30) {
		if err := run(first + i); err != nil {
			t.Fatalf("seed %d: %v", first+i, err)
		}
	}
}
