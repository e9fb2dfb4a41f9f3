package parking

import (
	"bytes"
	"time"

	"peal/loop"
	"peal/server/ask"
	"peal/server/permit"
)

// Door leads to connections from other goroutines: a loop.Group. See there.
type Door interface {
	Do(ref loop.Ref, f func(c loop.Client))
}

// Asker asks the backend: an ask.Client. See there.
type Asker interface {
	Ask(call *ask.Call, done func(*ask.Answer))
}

// Room carries out a message.
type Room func(c loop.Client, binary bool, payload []byte)

// Limits of what waits behind a parked message, where the loop does not hold it back.
const (
	mostBehind      = 64
	mostBehindBytes = 64 << 10
)

// Lot parks the messages of the connections of one loop.
type Lot struct {
	// Fixed before the first use.
	Door  Door
	Asker Asker

	sessions map[uint64]*place
	sweepAt  int            // how many places there are before those of ended connections are looked for
	answers  permit.Answers // of the message that is carried out again
	again    bool           // one is
}

// place is where a connection has its messages.
type place struct {
	first   message
	behind  []message
	bytes   int // of behind
	answers permit.Answers
	waits   bool // the answer is not there
	since   time.Time
}

type message struct {
	binary  bool
	payload []byte
}

// Answers are those to the questions about the message under way; nil unless it was parked.
func (l *Lot) Answers() permit.Answers { return l.answers }

// Waits reports whether a message of the session is parked: further ones go to Follow.
func (l *Lot) Waits(session uint64) bool {
	p := l.sessions[session]
	return p != nil && p.waits
}

// Park asks the backend about the message under way, and has the room carry it out again with
// the answer.
func (l *Lot) Park(c loop.Client, call *ask.Call, room Room, binary bool, payload []byte) {
	session, ref := c.Session(), c.Ref()
	p := l.sessions[session]
	if p == nil {
		p = &place{answers: permit.Answers{}}
		l.keep(session, p)
	}
	if !l.again { // else it is in its place
		p.first = message{binary, bytes.Clone(payload)}
	}
	p.waits, p.since = true, time.Now()
	c.Hold()
	l.Asker.Ask(call, func(a *ask.Answer) {
		l.Door.Do(ref, func(c loop.Client) { l.resume(c, p, call.Key, a, room) })
	})
}

// Follow keeps a message behind the parked one of its session, or reports that there is no
// room for it.
func (l *Lot) Follow(session uint64, binary bool, payload []byte) bool {
	p := l.sessions[session]
	if len(p.behind) >= mostBehind || p.bytes+len(payload) > mostBehindBytes {
		return false
	}
	p.behind = append(p.behind, message{binary, bytes.Clone(payload)})
	p.bytes += len(payload)
	return true
}

// resume goes on with the messages of a connection.
func (l *Lot) resume(c loop.Client, p *place, key ask.Key, a *ask.Answer, room Room) {
	session := c.Session()
	if l.sessions[session] != p || !p.waits {
		return
	}
	c.Release()
	p.waits, p.answers[key] = false, a
	l.answers, l.again = p.answers, true
	room(c, p.first.binary, p.first.payload)
	l.answers, l.again = nil, false
	p.answersDone()
	for !p.waits && len(p.behind) > 0 {
		m := p.behind[0]
		p.behind, p.bytes = p.behind[1:], p.bytes-len(m.payload)
		room(c, m.binary, m.payload)
	}
	if !p.waits {
		delete(l.sessions, session)
	}
}

// answersDone forgets the answers to a message that was carried out: those to the next are
// others, though it may be equal.
func (p *place) answersDone() {
	if !p.waits {
		p.answers = permit.Answers{}
	}
}

// Left implements loop.Front.
func (l *Lot) Left(session uint64) { delete(l.sessions, session) }

func (l *Lot) keep(session uint64, p *place) {
	if l.sessions == nil {
		l.sessions = map[uint64]*place{}
	}
	Sweep(l.sessions, &l.sweepAt, func(p *place) time.Time { return p.since })
	l.sessions[session] = p
}
