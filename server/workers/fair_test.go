package workers_test

import (
	"math/rand/v2"
	"testing"

	"peal/server/share"
	"peal/server/workers"
)

// Among connections of one address, as behind a proxy: who asks for little is
// served next, behind the job that is at work at most.
func TestWorkersServeWhoAskedForLittle(t *testing.T) {
	const hogs, honest = 16, 99
	for _, own := range []bool{false, true} { // an address for each of them, or one for all
		key := func(session uint64) share.Key {
			if own {
				return share.Key(session + 1)
			}
			return 1
		}
		q := workers.NewQueue(256)
		for hog := range uint64(hogs) {
			q.Push(key(hog), hog, 10_000)
		}
		for round := range 100 {
			if got := q.Pop(); got == honest {
				t.Fatalf("own addresses %v, round %d: served twice", own, round)
			} else {
				q.Push(key(got), got, 10_000) // a hog asks again at once
			}
			if round < hogs {
				continue // nobody has used anything yet
			}
			q.Push(key(honest), honest, 100)
			if got := q.Pop(); got != honest {
				t.Fatalf("own addresses %v, round %d: %d was served before the honest client", own, round, got)
			}
		}
	}
}

// Shares of addresses have the same time, however many connections one has.
func TestWorkersDivideTheirTimeAmongAddresses(t *testing.T) {
	q := workers.NewQueue(1000)
	served := map[share.Key]int{}
	for session := range uint64(100) {
		q.Push(1, session, 100)
	}
	q.Push(2, 1000, 100)
	for range 200 {
		if session := q.Pop(); session == 1000 {
			served[2]++
			q.Push(2, session, 100)
		} else {
			served[1]++
			q.Push(1, session, 100)
		}
	}
	if served[2] < 95 || served[2] > 105 {
		t.Errorf("of 200 jobs the address with one connection had %d, want half", served[2])
	}
}

// When the queue is full the address that has most in it makes way; among the
// connections of one address, those that asked for most.
func TestAFullQueueRefusesWhoHasMost(t *testing.T) {
	q := workers.NewQueue(8)
	for session := range uint64(8) {
		q.Push(1, 1+session, 100)
	}
	if refused := q.Push(1, 50, 100); refused != 50 {
		t.Errorf("a ninth connection of the only address: %d was refused, want the one that came last", refused)
	}
	if refused := q.Push(2, 60, 100); refused != 8 {
		t.Errorf("another address: %d was refused, want the last of the first address", refused)
	}
	q.Pop()
	q.Pop()
	q.Push(1, 9, 5000)
	q.Push(1, 9, 5000)
	if refused := q.Push(1, 70, 100); refused != 9 {
		t.Errorf("a connection that asked for nothing yet: %d was refused, want the one that asked for most", refused)
	}
	if q.Len() != 8 {
		t.Errorf("%d jobs in a queue of 8", q.Len())
	}
}

// What is remembered is bounded, and all jobs come out once.
func TestTheQueueOfWorkersIsBounded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	q := workers.NewQueue(256)
	in := map[uint64]int{}
	for range 200_000 {
		if rnd.IntN(2) == 0 || q.Len() == 0 {
			session := 1 + rnd.Uint64N(50_000)
			in[session]++
			if refused := q.Push(share.Key(1+session%9_000), session, rnd.IntN(1000)); refused > 0 {
				in[refused]--
			}
		} else {
			in[q.Pop()]--
		}
	}
	if shares, sessions := q.Known(); shares > 4096 || sessions > 4096+1024 {
		t.Errorf("%d shares and %d connections are remembered", shares, sessions)
	}
	for q.Len() > 0 {
		in[q.Pop()]--
	}
	for session, n := range in {
		if n != 0 {
			t.Fatalf("jobs of %d: %d left", session, n)
		}
	}
}
