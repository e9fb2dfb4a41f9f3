package loadtest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestLostButIsLostWithoutTheExcused compares with a map, over random arrivals.
func TestLostButIsLostWithoutTheExcused(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		const most = 40
		published := 1 + random.Uint64N(most)
		var (
			sub     track
			came    = map[uint64]bool{}
			excused []Span
			let     = map[uint64]bool{}
		)
		for range random.IntN(most) {
			n := 1 + random.Uint64N(published)
			sub.take(n)
			came[n] = true
		}
		for range random.IntN(8) {
			n := 1 + random.Uint64N(published)
			excused = withSequence(excused, n)
			let[n] = true
		}
		excused = joined(excused)
		want := uint64(0)
		for n := uint64(1); n <= published; n++ {
			if !came[n] && !let[n] {
				want++
			}
		}
		if got := sub.lostBut(published, excused); got != want {
			t.Fatalf("seed %d: %d of %d lost but %v, want %d; came %v", seed, got, published, excused, want, came)
		}
	}
}

// moody is a board that does not always do what it says, and notes what it did.
type moody struct {
	*board
	random *rand.Rand // under the board's lock, like the rest
	moods  []int
	deeds
}

type deeds struct{ kept, refused, lied, keptSilently, cutOff int }

// TestExcusedIsWhatTheServerDidNotTakeUpon publishes to a server that accepts,
// refuses, ends connections before and after it has taken a message, and says
// that it took some which it threw away: only those are lost.
func TestExcusedIsWhatTheServerDidNotTakeUpon(t *testing.T) {
	const subscribers = 5
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &moody{random: rand.New(rand.NewPCG(seed, 0))}
	b, addr := newBoardWith(t, m.publish)
	m.board = b
	pool := openPool(t, Spec{Endpoint: Endpoint{Addr: addr}, Transport: SSE, Connections: subscribers, Channels: 1})
	defer pool.Close()
	publisher, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: addr}, Path: PublishPath("c")})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	var did deeds
	run := func(excuse bool) Result {
		t.Helper()
		b.mu.Lock()
		m.deeds = deeds{}
		b.mu.Unlock()
		r, err := Run(t.Context(), pool, publisher, Load{Pacer: Rate(100), Length: 1500 * time.Millisecond, Settle: time.Second, Excuse: excuse})
		if err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		did = m.deeds
		b.mu.Unlock()
		return r
	}
	r := run(true)
	acknowledged := uint64(did.kept + did.lied)
	if r.Lost != uint64(subscribers*did.lied) || r.Delivered != uint64(subscribers*(did.kept+did.keptSilently)) || r.Expected != r.Delivered+r.Lost ||
		r.Complete != (did.lied == 0) || uint64(r.Latency.Count()) != r.Expected {
		t.Errorf("%+v; the server %+v", r.Counts, did)
	}
	if r.Refused != r.Published-acknowledged || r.Refused-r.Unanswered < uint64(did.refused) || r.Unanswered < uint64(did.keptSilently+did.cutOff) {
		t.Errorf("%d published, %d refused, %d of them unanswered; the server %+v", r.Published, r.Refused, r.Unanswered, did)
	}
	if did.lied == 0 || did.refused == 0 || did.keptSilently == 0 || did.cutOff == 0 {
		t.Errorf("not all was tried: %+v", did)
	}
	// Elsewhere what was refused is lost too.
	if r := run(false); r.Lost != subscribers*r.Published-r.Delivered || r.Lost <= uint64(subscribers*did.lied) {
		t.Errorf("without an excuse: %d published, %+v", r.Published, r.Counts)
	}
}

func (m *moody) publish(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a cut body ends the connection anyway
	m.mu.Lock()
	if len(m.moods) == 0 {
		m.moods = m.random.Perm(15)
	}
	mood := m.moods[0]
	m.moods = m.moods[1:]
	switch {
	case mood == 0:
		m.lied++
	case mood == 1:
		m.refused++
	case mood == 2:
		m.keptSilently++
	case mood == 3:
		m.cutOff++
	default:
		m.kept++
	}
	m.mu.Unlock()
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	switch mood {
	case 0:
		fmt.Fprint(w, "{}")
	case 1:
		http.Error(w, "not now", http.StatusServiceUnavailable)
	case 2:
		m.board.publish(&deaf{ResponseWriter: w}, r)
		panic(http.ErrAbortHandler)
	case 3:
		panic(http.ErrAbortHandler)
	default:
		m.board.publish(w, r)
	}
}

// deaf is an answer that nobody gets.
type deaf struct{ http.ResponseWriter }

func (*deaf) Write(b []byte) (int, error) { return len(b), nil }
