package simulation_test

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"time"

	"peal/loop"
	"peal/server/log"
)

// publishers is the loop that answers to publishers name: they are no part of a machine.
const publishers = 60_000

// publication is one message and what its publisher knows of it.
type publication struct {
	number   int
	channels []string
	keyed    bool
	data     []byte
	attempts int // the newest of which is under way, if node is set
	node     *node
	acked    bool
	gaveUp   bool // it has no key: it cannot be repeated
}

// isOpen tells whether its publisher waits for an answer, or will ask again.
func (p *publication) isOpen() bool { return !p.acked && !p.gaveUp }

// publish has somebody publish something new, or again.
func (w *nodes) publish() {
	if w.rnd.IntN(3) == 0 {
		w.publishAgain()
		return
	}
	n := len(w.publications) + 1
	p := &publication{number: n, channels: w.anySet(), keyed: w.rnd.IntN(4) > 0, data: dataOf(n, w.rnd.IntN(100), w.rnd.IntN(8) == 0)}
	w.publications = append(w.publications, p)
	w.attempt(p)
}

// publishAgain has those without an answer repeat what they said, on any node.
func (w *nodes) publishAgain() {
	for _, p := range w.publications {
		switch {
		case !p.isOpen():
		case p.node != nil && !p.node.dead && !(p.keyed && !w.finishing && w.rnd.IntN(4) == 0): // impatient
		case !p.keyed:
			p.gaveUp = true
		case w.finishing || w.rnd.IntN(2) == 0:
			if p.attempts > 0 {
				w.counts[replays]++
			}
			w.attempt(p)
		}
	}
}

func (w *nodes) attempt(p *publication) {
	n := w.up()
	if n == nil || n.isPaused() {
		return
	}
	p.attempts++
	p.node = n
	q := url.Values{"channel": p.channels}
	head := fmt.Sprintf("POST /publish?%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n", q.Encode())
	if p.keyed {
		head += fmt.Sprintf("Idempotency-Key: publication-%d\r\n", p.number)
	}
	w.note("publication %d (key: %v) goes to node %d", p.number, p.keyed, n.site)
	call := loop.Call{
		In:   append(fmt.Appendf([]byte(head), "Content-Length: %d\r\n\r\n", len(p.data)), p.data...),
		Conn: loop.Ref{Loop: publishers, Slot: uint32(p.number), Generation: uint32(p.attempts)},
	}
	n.front.Request(&call)
	switch call.Verdict {
	case loop.Reply:
		w.answered(n, p.number, p.attempts, call.Out)
	case loop.Later: // answered will be called
	default:
		w.fail("publish: verdict %d: %s", call.Verdict, call.Out)
	}
}

// answered takes the answer to an attempt.
func (w *nodes) answered(n *node, number, attempt int, out []byte) {
	p := w.publications[number-1]
	response, body, _, err := readResponse(out)
	if err != nil {
		w.fail("publication %d: the answer cannot be read: %v", number, err)
		return
	}
	w.note("publication %d: node %d answers %s", number, n.site, response.Status)
	newest := attempt == p.attempts
	switch response.StatusCode {
	case 200:
		w.counts[answeredTo]++
		p.acked = true
		w.judgePublished(p, response.Header.Get("Peal-Cursor"), body)
	case 429, 500, 503: // the log is full, or cannot be reached
		if newest {
			p.node = nil
		}
	default:
		w.fail("publication %d: %s: %s", number, response.Status, body)
	}
}

func (w *nodes) judgePublished(p *publication, _ string, body []byte) {
	it, _, err := publishDecoder{}.next(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if err != nil {
		w.fail("publication %d: %v", p.number, err)
		return
	}
	if r := w.store.recordOf(it.cursor); r == nil || numberOf(r.entry.Data) != p.number {
		w.fail("publication %d was answered with the cursor %q, which is that of %v", p.number, it.cursor, r)
		return
	}
	for _, name := range p.channels {
		if !slices.ContainsFunc(w.store.all, func(r *record) bool {
			return r.entry.Kind == log.KindPublication && r.entry.Channel == name && numberOf(r.entry.Data) == p.number
		}) {
			w.fail("publication %d is answered, but it is not on %s", p.number, name)
		}
	}
}

// orders are what backends have ordered about clients, each on some node.
type orders struct {
	w     *nodes
	given []order
}

func newOrders(w *nodes) *orders { return &orders{w: w} }

// give gives an order. A client that no order is about makes each recognizable.
func (o *orders) give() {
	n := o.w.up()
	if n == nil || n.isPaused() {
		return
	}
	var about []string
	for _, client := range banned {
		if o.w.rnd.IntN(3) == 0 {
			about = append(about, client)
		}
	}
	if len(about) == 0 {
		return
	}
	length := time.Duration(0)
	if o.w.rnd.IntN(2) == 0 {
		length = time.Hour
	}
	o.given = append(o.given, order{clients: about, until: time.Now().Add(length)})
	o.w.counts[ordered]++
	o.w.note("on node %d, %v are kept away for %v", n.site, about, length)
	n.control.KeepAway(1, append([]string{orderName(len(o.given))}, about...), length, func(error) {})
	for _, client := range about {
		if n.table.Has([]byte(client)) != (length > 0) {
			o.w.fail("node %d: an order has no effect on %s", n.site, client)
		}
	}
}

func orderName(number int) string { return fmt.Sprintf("order-%d.", number) }

// ordering stands between control and the log.
type ordering struct{ n *node }

func (o *ordering) Append(batch []*log.Entry, done func(error)) error {
	all, number := o.n.w.orders, len(o.n.w.orders.given)-1
	return o.n.log.Append(batch, func(err error) {
		if err != nil {
			all.given[number].failed = o.n
		}
		done(err)
	})
}

// judgeEnd: what was ordered last about a client, in the order of the log, holds on
// every node.
func (o *orders) judgeEnd() {
	for _, client := range banned {
		want, free := false, map[*node]bool{}
		var newest *record
		for _, r := range o.w.store.all {
			for i := range o.given {
				if g := &o.given[i]; r.entry.Kind == log.KindControl && slices.Contains(g.clients, client) && bytes.Contains(r.entry.Data, []byte(orderName(i+1))) {
					if r.lost { // who has followed it keeps to it
						free[nil] = true
						break
					}
					newest, want = r, time.Now().Before(g.until)
				}
			}
		}
		for i := range o.given {
			if g := &o.given[i]; g.failed != nil && slices.Contains(g.clients, client) {
				free[g.failed] = true // it holds there until a restart
			}
		}
		for _, n := range o.w.sites {
			if got := n.table.Has([]byte(client)); got != want && !free[n] && !free[nil] {
				o.w.fail("node %d: client %s is kept away: %v, but the newest order about it is %v", n.site, client, got, newest)
			}
		}
	}
}
