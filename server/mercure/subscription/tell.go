package subscription

import (
	"encoding/binary"
	"strconv"
	"strings"

	"peal/server/log"
)

// stateEvent is the event of the entries of kind control that tell the state of a node: all of its
// subscriptions whose beginning was published. Their data is:
//
//	│ version 1 │ flags 1: 1 a state begins, 2 it ends │ node 8 │ subscriptions: each │ topic │ subscriber │ payload │
//
// Texts have their length (uvarint) in front; the node is little-endian.
const stateEvent = "mercure"

const (
	stateVersion = 1
	stateHead    = 1 + 1 + 8

	stateBegins = 1
	stateEnds   = 2

	// An entry has at most that many bytes, but for its last subscription; one Report appends so many of them.
	stateBytes   = 64 << 10
	stateEntries = 4
)

func nodeText(node uint64) string { return strconv.FormatUint(node, 16) }

// parseNode reads the tag of an event. foreign: another node has appended it.
func parseNode(text string) (node uint64, foreign, ok bool) {
	text, _, foreign = strings.Cut(text, " ")
	node, err := strconv.ParseUint(text, 16, 64)
	return node, foreign, err == nil
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func cutText(b []byte) (text string, rest []byte, ok bool) {
	length, at := binary.Uvarint(b)
	if at <= 0 || length > uint64(len(b)-at) {
		return "", nil, false
	}
	return string(b[at : at+int(length)]), b[at+int(length):], true
}

// parseState reads an entry. ok is false for one that is damaged, or of a later version.
func parseState(b []byte) (flags byte, node uint64, all []*Subscription, ok bool) {
	if len(b) < stateHead || b[0] != stateVersion {
		return 0, 0, nil, false
	}
	flags, node = b[1], binary.LittleEndian.Uint64(b[2:])
	for b = b[stateHead:]; len(b) > 0; {
		s := &Subscription{}
		for _, text := range []*string{&s.Topic, &s.Subscriber, &s.Payload} {
			if *text, b, ok = cutText(b); !ok {
				return 0, 0, nil, false
			}
		}
		s.ID = ID(s.Topic, s.Subscriber)
		all = append(all, s)
	}
	return flags, node, all, true
}

// report appends what the other nodes are to know, and the ends of those that are gone. waits: events must
// not be reported before the next call. It has the caller of Report.
func (p *Peers) report(appendTo func(batch []*log.Entry, done func(error)) error) (more, waits bool) {
	if p == nil {
		return false, false
	}
	more, waits = p.tellState(appendTo)
	node, ended, others := p.ends(most, p.table.now())
	if len(ended) == 0 {
		return more || others, waits
	}
	entries := make([]*log.Entry, len(ended))
	owner := nodeText(node) + " " + nodeText(p.self)
	for i, s := range ended {
		entries[i] = s.event(false, owner)
	}
	done := func(error) { p.ended(node) } // those that are not in the log are there for the next call
	if err := appendTo(entries, done); err != nil {
		done(err)
	}
	return true, waits
}

// told notes what the log says of a subscription of this node, whose batch may have been taken for lost. Another node may
// have ended it.
func (t *Table) told(id string, active bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.byID[id]; s != nil {
		s.announced, s.doubtful = active, false
		t.wants(s)
	}
}

// tellState goes on with the state of this node, or begins it. Meanwhile no event of this node is on its way, so that the
// state says neither more nor less than the events before it.
func (p *Peers) tellState(appendTo func(batch []*log.Entry, done func(error)) error) (more, waits bool) {
	p.mu.Lock()
	if p.failed {
		p.failed, p.state, p.begun = false, p.came, false
	}
	begins := p.state
	p.mu.Unlock()
	t := p.table
	if begins {
		rest, idle := t.announced()
		if !idle {
			return true, true
		}
		p.mu.Lock()
		p.state = false
		p.mu.Unlock()
		p.rest, p.begun = rest, true
	}
	if !p.begun {
		return false, false
	}
	flags := byte(0)
	if begins {
		flags = stateBegins
	}
	var entries []*log.Entry
	for p.begun && len(entries) < stateEntries {
		data := append(make([]byte, 0, 1<<10), stateVersion, flags)
		data = binary.LittleEndian.AppendUint64(data, p.self)
		flags = 0
		data, p.rest = t.appendStates(data, p.rest)
		if len(p.rest) == 0 {
			data[1] |= stateEnds
			p.rest, p.begun = nil, false
		}
		entries = append(entries, &log.Entry{Kind: log.KindControl, Event: stateEvent, Data: data})
	}
	done := func(err error) {
		if err != nil {
			p.mu.Lock()
			p.failed = true
			p.mu.Unlock()
			t.wake()
		}
	}
	if err := appendTo(entries, done); err != nil {
		done(err)
		return true, false
	}
	return p.begun, p.begun
}

// announced returns the subscriptions whose beginning was published, and whose end was not. idle: no event is on its way.
func (t *Table) announced() (all []*Subscription, idle bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inFlight > 0 {
		return nil, false
	}
	for _, s := range t.byID {
		if s.announced || s.doubtful {
			all = append(all, s)
		}
	}
	return all, true
}

// appendStates appends as many of all as one entry has, and returns the others.
func (t *Table) appendStates(dst []byte, all []*Subscription) (_ []byte, rest []*Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, s := range all {
		if len(dst) >= stateBytes {
			return dst, all[i:]
		}
		if s.announced || s.doubtful {
			dst = appendText(appendText(appendText(dst, s.Topic), s.Subscriber), s.Payload)
		}
	}
	return dst, nil
}
