package httpapi

import (
	"sync/atomic"
	"time"

	"peal/loop"
	"peal/server/ask"
	"peal/server/parking"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/subscribe"
)

// pending is a request that waits for what the backend says.
type pending struct {
	session uint64
	call    *ask.Call // under way; nil: none is
	answers permit.Answers
	since   time.Time

	result atomic.Pointer[ask.Answer] // to call; other goroutines set it
}

// pendings are those of one loop, by the slot of the connection: a connection has one at a
// time. What a connection leaves behind that closes meanwhile is replaced by the next one in
// its slot, or found after a while.
type pendings struct {
	bySlot  map[uint32]*pending
	sweepAt int // how many there are before old ones are looked for
}

func (p *pendings) keep(slot uint32, one *pending) {
	parking.Sweep(p.bySlot, &p.sweepAt, func(p *pending) time.Time { return p.since })
	p.bySlot[slot] = one
}

// of returns the pending request of a session, nil if there is none.
func (p *pendings) of(slot uint32, session uint64) *pending {
	if one := p.bySlot[slot]; one != nil && one.session == session {
		return one
	}
	return nil
}

// asks reports whether err says that the backend must be asked. Then the request waits, and
// the front is called again about it.
func (x *exchange) asks(err *refusal.Error) bool {
	if err != permit.ErrAsk || x.asked.Call == nil {
		return false
	}
	slot, session := x.call.Conn.Slot, x.call.Session
	p := x.pending.of(slot, session)
	if p == nil {
		p = &pending{session: session, answers: permit.Answers{}}
	}
	p.call, p.since = x.asked.Call, time.Now()
	p.result.Store(nil)
	x.pending.keep(slot, p)
	door, ref := x.deps.Door, x.call.Conn
	x.gate.Ask.Ask(p.call, func(a *ask.Answer) {
		p.result.Store(a)
		door.Again(ref)
	})
	x.wait()
	return true
}

// bring gives the request what the backend gets to know of it, and the answers that it has
// waited for.
func (x *exchange) bring(q *permit.Request) {
	q.Via, q.Headers = x.route.via(), x.headers()
	p := x.pending.of(x.call.Conn.Slot, x.call.Session)
	if p == nil {
		return
	}
	if a := p.result.Load(); a != nil && p.call != nil {
		p.answers[p.call.Key], p.call = a, nil
	}
	q.Answers = p.answers
}

// settle forgets what a request has waited for, which is handled now.
func (x *exchange) settle() {
	if len(x.pending.bySlot) > 0 {
		delete(x.pending.bySlot, x.call.Conn.Slot)
	}
}

// remember keeps for later questions about the connection what the backend got with this one,
// and the name that it has given.
func (x *exchange) remember(sub *loop.Subscription) {
	x.guests.Bring(x.call.Session, x.brought(), sub)
}

// brought is what remember keeps. The request has been decided.
func (x *exchange) brought() subscribe.Brought {
	return subscribe.Brought{Headers: x.asked.Headers, User: x.asked.Given.User}
}

// mostBrought is how many bytes of the headers of a client the backend gets.
const mostBrought = 8 << 10

// headers are those of the request that the backend gets.
func (x *exchange) headers() (brought map[string]string) {
	room := mostBrought
	for _, name := range x.gate.Ask.Headers() {
		value := x.joined(name)
		if room -= len(value); len(value) == 0 || room < 0 {
			continue
		}
		if brought == nil {
			brought = map[string]string{}
		}
		brought[name] = string(value)
	}
	return brought
}

// via is the name of the transport in questions.
func (r *route) via() string {
	switch r.pattern {
	case "/", "/ws":
		return "websocket"
	case "/sse":
		return "sse"
	case "/poll":
		return "poll"
	case "/streams/{channel}":
		return "stream"
	case "/app/{key}", xhrOpen, xhrPoll:
		return "pusher"
	}
	if r.mercure {
		return "mercure"
	}
	return "http"
}
