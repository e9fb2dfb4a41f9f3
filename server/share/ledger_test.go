package share_test

import (
	"math/rand/v2"
	"testing"

	"peal/server/share"
)

func TestLedgerIsAMapWithItsLargest(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 3))
		var l share.Ledger[int]
		truth := map[share.Key]int{}
		for range 2000 {
			k := share.Key(random.IntN(12))
			n := 1 + random.IntN(5)
			if held := truth[k]; held > 0 && random.IntN(2) == 0 {
				n = -min(n, held)
			}
			a := l.Open(k)
			if truth[k] == 0 && a.Own != 0 {
				t.Fatalf("seed %d: the account of a share that held nothing was kept", seed)
			}
			a.Own = 7
			l.Add(a, n)
			if truth[k] += n; truth[k] == 0 {
				delete(truth, k)
			}
			most := 0
			for _, held := range truth {
				most = max(most, held)
			}
			largest := l.Largest()
			if l.Held(k) != truth[k] || l.Len() != len(truth) || (largest == nil) != (most == 0) {
				t.Fatalf("seed %d: %d held of %d shares, want %d of %d", seed, l.Held(k), l.Len(), truth[k], len(truth))
			}
			if largest != nil && (largest.Held() != most || truth[largest.Key] != most) {
				t.Fatalf("seed %d: the largest holds %d, want %d", seed, largest.Held(), most)
			}
		}
	}
}

func TestLedgerPanicsWhenTheCountIsBroken(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it does not")
		}
	}()
	var l share.Ledger[struct{}]
	a := l.Open(1)
	l.Add(a, 1)
	l.Add(a, -2)
}
