package loop_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"peal/loop"
)

// passed is how many good-byes of a drain with that many connections are due in each
// second of it, in passes of 10 ms.
func passed(perSecond, open int, limit time.Duration) (each []int) {
	due := loop.Pace(perSecond, open, limit)
	for now := time.Duration(0); now < limit; now += 10 * time.Millisecond {
		second := int(now / time.Second)
		for second >= len(each) {
			each = append(each, 0)
		}
		n := min(due(now), open)
		open -= n
		each[second] += n
	}
	return each
}

// All have their turn in three quarters of the drain, and no second has more than its
// part.
func TestGoodByesAreSpreadOverTheDrain(t *testing.T) {
	for _, x := range []struct {
		perSecond, open int
		limit           time.Duration
		most, seconds   int // in one second; until the last
	}{
		{500, 18_000, 10 * time.Second, 2400, 8},
		{500, 100_000, 60 * time.Second, 2223, 45},
		{100, 500, 10 * time.Second, 100, 5},
		{1_000_000, 18_000, 10 * time.Second, 18_000, 1}, // all at once, as it was asked for
	} {
		sum, last := 0, 0
		burst := x.most/10 + 1 // comes with the first pass
		for second, n := range passed(x.perSecond, x.open, x.limit) {
			if n > x.most+burst {
				t.Errorf("%+v: %d good-byes in second %d", x, n, second)
			}
			if sum += n; n > 0 {
				last = second + 1
			}
		}
		if sum != x.open || last > x.seconds {
			t.Errorf("%+v: %d good-byes, the last in second %d", x, sum, last)
		}
	}
	if each := passed(500, 20, time.Second); each[0] != 20 {
		t.Errorf("20 clients: %v", each)
	}
	due := loop.Pace(500, 20, time.Second)
	if n := due(0); n < 20 {
		t.Errorf("the first of 20 clients have to wait: %d", n)
	}
}

// Clients that reconnect at the time in their good-bye, 2 to 5 s later, do not come back
// in the same second.
func TestClientsOfADrainComeBackSpread(t *testing.T) {
	const clients, limit = 18_000, 10 * time.Second
	random := rand.New(rand.NewPCG(1, 2))
	var back [20]int // by second
	due, left := loop.Pace(loop.DefaultDrainRate, clients, limit), clients
	for now := time.Duration(0); now < limit; now += 10 * time.Millisecond {
		for range min(due(now), left) {
			left--
			hint := 2*time.Second + time.Duration(random.Int64N(int64(3*time.Second))) // sse.MinRetry, sse.MaxRetry
			back[(now+hint)/time.Second]++
		}
	}
	for second, n := range back {
		if n > clients/6 {
			t.Errorf("%d of %d clients come back in second %d", n, clients, second)
		}
	}
	if left != 0 {
		t.Errorf("%d clients without good-bye", left)
	}
}
