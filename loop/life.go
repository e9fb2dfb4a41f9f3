package loop

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"peal/loop/ring"
)

// life is what a loop remembers of the lives of its connections, for those who ask
// (Walk, Ends, Talkers). It has limits of its own and nothing for each connection:
// see the constants for what they cost a loop.
type life struct {
	births    []birth
	elsewhere map[uint16][]birth // of connections of other loops of another process, which go on here; by the loop that their numbers name
	ends      recent[ended]
	gaps      recent[gapNote]
	talk      *talk // nil: nobody asks
}

const (
	mostBirths = 2048 // 32 KiB

	// mostElsewhere is how many loops of another process with more loops a loop remembers the births of.
	mostElsewhere = 16

	mostEnds = 256  // 30 KiB
	mostGaps = 1024 // 32 KiB
)

// recent is the newest of what has happened.
type recent[T any] struct {
	all  []T
	next int // where the next one goes, when it is full
}

func (r *recent[T]) add(one T, most int) {
	if len(r.all) < most {
		r.all = append(r.all, one)
		return
	}
	r.all[r.next] = one
	r.next = (r.next + 1) % most
}

// newest calls f for each, the newest first, until it returns false.
func (r *recent[T]) newest(f func(*T) bool) {
	for i := range r.all {
		if !f(&r.all[(r.next+2*len(r.all)-1-i)%len(r.all)]) {
			return
		}
	}
}

// Reasons of gaps.
const (
	GapHistory = iota // what the client missed is no longer retained
	GapUnknown        // its cursor means nothing here
	GapSlow           // it is slow, and its channel gives such clients the newest alone
	gapReasons
)

var gapTexts = [gapReasons]string{"history", "unknown_cursor", "slow_consumer"}

// gapNote is a gap that a client received, or was closed for.
type gapNote struct {
	session uint64
	to      uint64
	tick    uint32
	reason  uint8
}

// GapSeen is such a gap for those who ask.
type GapSeen struct {
	Ago    time.Duration
	Reason string
	To     uint64 // the highest sequence that is gone
}

// Gap implements fanout.GapEvents.
func (l *Loop) Gap(slot uint32, gaps []ring.Gap) {
	n := gapNote{session: l.conn(slot).session, tick: l.tick}
	for _, g := range gaps {
		switch n.to = max(n.to, g.To); {
		case g.Foreign:
			n.reason = GapUnknown
		case g.Slow && n.reason == GapHistory:
			n.reason = GapSlow
		}
	}
	l.noteGap(n)
}

func (l *Loop) noteGap(n gapNote) {
	l.counts.gaps[n.reason]++
	l.life.gaps.add(n, mostGaps)
}

// gapOf is the newest gap of a session, nil if none is remembered.
func (l *Loop) gapOf(session uint64) (found *GapSeen) {
	l.life.gaps.newest(func(n *gapNote) bool {
		if n.session == session {
			found = &GapSeen{Ago: time.Duration(l.tick-n.tick) * tick, Reason: gapTexts[n.reason], To: n.to}
		}
		return found == nil
	})
	return found
}

// gapCounts are the gaps by reason.
func (n *counts) gapCounts() map[string]uint64 {
	all := make(map[string]uint64, gapReasons)
	for i, text := range gapTexts {
		all[text] = n.gaps[i]
	}
	return all
}

// ended is a stream or a waiting poll that has ended.
type ended struct {
	session   uint64
	peer      peer
	tick      uint32
	code      uint16
	dialect   ring.Encoding
	transport string
	reason    string
	name      string
}

// Ended is one for those who ask.
type Ended struct {
	Session   uint64
	Peer      netip.AddrPort
	Ago       time.Duration
	Code      uint16 // of the close frame; 0 without one
	Dialect   ring.Encoding
	Transport string
	Reason    string
	Name      string // Namer
}

// Namer is a Front that knows names of clients. On the loop's goroutine.
type Namer interface {
	// NameOf returns the name of the client of a session, "" for none.
	NameOf(session uint64) string
}

// Reasons for the end of a connection that no close frame tells.
const (
	endClient = "the client closed it"
	endLost   = "the connection was lost or reset"
	endSilent = "closed for silence: heartbeats were not answered"
	endSlow   = "slow consumer: beyond lane-bytes or held-bytes"
	endMemory = "memory-limit: its socket had been full the longest"
)

// noteEnd remembers that an open stream or a waiting poll ends, and why. It is called
// before anything of it is forgotten; what is called first about a connection counts.
func (l *Loop) noteEnd(slot uint32, c *conn, code uint16, reason string) {
	if c.state != stateParked && !c.isOpen() || c.flags&flagFarewell != 0 {
		return
	}
	e := &l.life.ends
	same := false
	e.newest(func(n *ended) bool {
		same = n.session == c.session
		return false
	})
	if same {
		return
	}
	n := ended{session: c.session, peer: l.peer(slot), tick: l.tick, code: code, dialect: c.dialect, reason: reason}
	n.transport, _ = c.transportOf()
	if l.namer != nil && c.flags&flagNamed != 0 {
		n.name = l.namer.NameOf(c.session)
	}
	e.add(n, mostEnds)
}

// Ends returns streams and waiting polls that have ended for which pick is true, the newest
// of each loop first; a loop remembers the newest 256. pick nil is all.
func (g *Group) Ends(ctx context.Context, pick func(*Ended) bool) ([]Ended, error) {
	each := make([][]Ended, len(g.loops))
	err := g.each(ctx, func(l *Loop) {
		l.life.ends.newest(func(n *ended) bool {
			e := Ended{n.session, n.peer.addrPort(), time.Duration(l.tick-n.tick) * tick, n.code, n.dialect, n.transport, n.reason, n.name}
			if pick == nil || pick(&e) {
				each[l.number] = append(each[l.number], e)
			}
			return true
		})
	})
	if err != nil {
		return nil, err // a loop may write its own later
	}
	return slices.Concat(each...), nil
}
