package share

import "container/heap"

// Ledger counts what each share holds of one table, and finds the largest
// holder. Own is the data of the table for each holder beside the count.
//
// Concurrency: none of its own; the lock of the table guards it.
type Ledger[Own any] struct {
	accounts map[Key]*Account[Own]
	order    byHeld[Own]
}

// Account is one holder. It is in its ledger while it holds something.
type Account[Own any] struct {
	Key Key // fixed
	Own Own

	held  int
	place int // in the ledger's order, -1: not in the ledger
}

// Held is what the account holds.
func (a *Account[Own]) Held() int { return a.held }

// Open returns the account of k: that of the ledger, or a new one, which is in
// the ledger from its first Add on.
func (l *Ledger[Own]) Open(k Key) *Account[Own] {
	if a := l.accounts[k]; a != nil {
		return a
	}
	return &Account[Own]{Key: k, place: -1}
}

// Held is what the share k holds.
func (l *Ledger[Own]) Held(k Key) int {
	if a := l.accounts[k]; a != nil {
		return a.held
	}
	return 0
}

// Add adds n, which may be negative, to what a holds. An account that holds
// nothing leaves the ledger, and must not be used again. O(log Len).
func (l *Ledger[Own]) Add(a *Account[Own], n int) {
	a.held += n
	switch {
	case a.held < 0:
		panic("share: Add makes the account negative")
	case a.place >= 0 && a.held == 0:
		heap.Remove(&l.order, a.place)
		delete(l.accounts, a.Key)
	case a.place >= 0:
		heap.Fix(&l.order, a.place)
	case a.held > 0:
		if l.accounts == nil {
			l.accounts = map[Key]*Account[Own]{}
		}
		l.accounts[a.Key] = a
		heap.Push(&l.order, a)
	}
}

// Largest is the account that holds the most, nil if the ledger is empty.
func (l *Ledger[Own]) Largest() *Account[Own] {
	if len(l.order) == 0 {
		return nil
	}
	return l.order[0]
}

// Len is how many shares hold something.
func (l *Ledger[Own]) Len() int { return len(l.order) }

// byHeld is a heap of the accounts, the largest in front. It implements
// heap.Interface.
type byHeld[Own any] []*Account[Own]

func (o byHeld[Own]) Len() int { return len(o) }

// Less orders accounts that hold the same by their keys, so that runs repeat.
func (o byHeld[Own]) Less(i, j int) bool {
	return o[i].held > o[j].held || o[i].held == o[j].held && o[i].Key < o[j].Key
}

func (o byHeld[Own]) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].place, o[j].place = i, j
}

func (o *byHeld[Own]) Push(x any) {
	a := x.(*Account[Own])
	a.place = len(*o)
	*o = append(*o, a)
}

func (o *byHeld[Own]) Pop() any {
	last := len(*o) - 1
	a := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	a.place = -1
	return a
}
