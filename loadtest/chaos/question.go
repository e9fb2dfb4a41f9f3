package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Questions are put to the trace of the server: what became of a message for a client. Half of them are
// asked during the run, the others when all clients have what they wait for. The judge compares the answers with what
// the clients have received.
//
// Each connection has an address of its own then, by which an answer names it; clients present their session, and
// publishers pause now and then.
type Questions struct {
	URL   string // of the trace, on the admin listener
	Count int

	mu    sync.Mutex
	asked []asked
	said  map[string]bool // verdicts and confirmations
	fault string          // a response that is no answer
}

// asked is a question with its answer.
type asked struct {
	client   int
	id       uint64 // of the message
	start    int32  // of the server
	from, to time.Duration
	report   traceReport
}

// traceReport is an answer, as the admin listener sends it.
type traceReport struct {
	Verdict, Reason string
	Connections     []traceConnection
	Omitted         int
}

type traceConnection struct {
	Verdict, Address, Detail, Transport, Ended, At string
	Confirmed                                      *struct{ By, Cursor string }
}

// Of every lullEvery, publishers pause for the last lull: streams that are silent for a second receive pings.
const (
	lullEvery = 5 * time.Second
	lull      = 1800 * time.Millisecond
)

// stallMean is how long clients stop reading.
func (r *run) stallMean() time.Duration {
	if r.Questions != nil {
		return 4 * stallMean
	}
	return stallMean
}

// So that clients are slow, and miss what the history drops.
const (
	segment       = 536
	awayInPercent = 20     // of pauses before a client comes back are longer
	fatBytes      = 60_000 // of every other message of a channel of Latest, at most
)

// How questions are chosen.
const (
	ownInPercent    = 80 // about a message of a channel that the client follows
	missedInPercent = 10 // about one that the client has a gap for
	searchInPercent = 10 // of clients are sought: one that does not read, or has a gap because it did not
	searched        = 50 // at most so many are looked at
	recentInPercent = 50 // about one of the newest
	recent          = 60 // that many
	barePercent     = 20 // of those without the name of the channel, so that the server has to find the message
	newest          = 5  // that many, which the server surely retains

	askers = 4 // at a time, in the end
)

// askAlong asks half of the questions until the run is ending.
func (q *Questions) askAlong(ctx context.Context, r *run, clients []*client) {
	rnd := rand.New(rand.NewPCG(r.Seed, 1<<35))
	tick := time.NewTicker(max(time.Millisecond, r.Length/time.Duration(q.Count/2+1)))
	defer tick.Stop()
	for n := 0; n < q.Count/2 || q.goesOn(r); {
		select {
		case <-tick.C:
			if q.ask(ctx, r, clients, rnd) {
				n++
			}
		case <-r.ending:
			return
		case <-ctx.Done():
			return
		}
	}
}

// askRest asks what is left.
func (q *Questions) askRest(ctx context.Context, r *run, clients []*client) {
	if q == nil {
		return
	}
	var wait sync.WaitGroup
	each := (q.Count - len(q.asked) + askers - 1) / askers
	for i := range askers {
		wait.Go(func() {
			rnd := rand.New(rand.NewPCG(r.Seed, uint64(1<<36+i)))
			for n, failed := 0, 0; n < each && failed < q.Count && ctx.Err() == nil; {
				if q.ask(ctx, r, clients, rnd) {
					n++
				} else {
					failed++
				}
			}
		})
	}
	wait.Wait()
}

// ask asks one question. It reports whether there was an answer: not while the server restarts.
func (q *Questions) ask(ctx context.Context, r *run, clients []*client, rnd *rand.Rand) bool {
	c := clients[rnd.IntN(len(clients))]
	if rnd.IntN(100) < searchInPercent {
		for i := 0; i < searched && !c.isSlow(); i++ {
			c = clients[rnd.IntN(len(clients))]
		}
	}
	p, bare, ok := r.choose(c, rnd)
	if !ok {
		return false
	}
	values := url.Values{"user": {clientName(c.number)}, "cursor": {p.cursor}}
	if !bare {
		values.Set("channel", channelName(p.channel))
	}
	a := asked{client: c.number, id: p.id, start: r.starts.Load(), from: r.now()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.URL+"?"+values.Encode(), nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	a.to = r.now()
	if err != nil || r.starts.Load() != a.start {
		return false
	}
	if response.StatusCode != http.StatusOK || json.Unmarshal(body, &a.report) != nil || a.report.Verdict == "" {
		starts := response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusServiceUnavailable
		if !starts && !strings.Contains(string(body), "is none of this log") { // of the life of the server before
			q.failed(fmt.Sprintf("what became of message %d for client %d: status %d, %.300s", p.id, c.number, response.StatusCode, body))
		}
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = append(q.asked, a)
	if q.said == nil {
		q.said = map[string]bool{}
	}
	for _, c := range a.report.Connections {
		if q.said[c.Verdict] = true; c.Verdict == saidSent {
			q.said[confirmation(c)] = true
		}
	}
	return true
}

// goesOn reports whether the run is to last longer, because a kind of answer has not occurred yet: on a busy machine little
// happens in its length.
func (q *Questions) goesOn(r *run) bool {
	if q == nil || r.now() > longest*r.Length {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(missing(q.said, r.Access != nil)) > 0
}

// longest is how many times as long as its length a run may be.
const longest = 6

func (q *Questions) failed(what string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fault = what
}

// remember keeps the newest gaps for questions; after one of a slow client only such.
func (c *client) remember(g record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slow := len(c.missed) > 0 && c.missed[len(c.missed)-1].reason == skipped
	switch {
	case slow && g.reason != skipped:
	case len(c.missed) < mostMissed:
		c.missed = append(slices.Clone(c.missed), g)
	default:
		c.missed = append(slices.Clone(c.missed[1:]), g)
	}
}

// isSlow reports whether the client does not read, or has a gap because it did not.
func (c *client) isSlow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.missed)
	return c.stalled.Load() || n > 0 && c.missed[n-1].reason == skipped
}

// mostMissed is how many gaps of a client are remembered.
const mostMissed = 4

// choose chooses a message that was acknowledged, for a question about c. bare: it is one of the newest, and the question
// does not name its channel.
func (r *run) choose(c *client, rnd *rand.Rand) (p publication, bare, ok bool) {
	c.mu.Lock()
	channels, missed := c.channels, c.missed
	c.mu.Unlock()
	own := rnd.IntN(100) < ownInPercent
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if n := len(missed); n > 0 && (missed[n-1].reason == skipped && rnd.IntN(2) == 0 || rnd.IntN(100) < missedInPercent) {
		g := missed[n-1]
		if g.reason != skipped {
			g = missed[rnd.IntN(n)]
		}
		for _, p := range slices.Backward(r.ledger.all) {
			if p.channel == g.channel && p.at.life == g.at.life && p.at.compare(g.at) <= 0 {
				return p, false, true
			}
		}
	}
	all := r.ledger.all
	at := len(all)
	if rnd.IntN(100) < recentInPercent {
		at -= rnd.IntN(min(recent, at) + 1)
		bare = len(all)-at < newest && rnd.IntN(100) < barePercent
	} else {
		at = rnd.IntN(at + 1)
	}
	now := int32(r.lives.count())
	for at--; at >= 0; at-- {
		p = all[at]
		fits := !p.at.isZero() && p.channel < int32(r.Channels) && (r.Keeps != Nothing || p.at.life == now)
		if fits && (!own || slices.Contains(channels, p.channel)) {
			return p, bare && len(all)-at < newest, true
		}
	}
	return p, false, false
}
