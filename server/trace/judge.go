package trace

import (
	"math"
	"net/netip"
)

// judge says what became of the message for one life. ok is false for the refusal of other channels, which says nothing.
func (r *Record) judge(l *life, q *Question, on func(uint32) bool, live func(uint32) uint64) (f Found, ok bool) {
	f = Found{
		Client: Client{Session: l.session, ID: r.idOf(l, q), Name: r.texts.of(l.name), Dialect: l.dialect, Poll: l.flags&flagPoll != 0},
		Began:  l.beganAt, Covered: l.covered,
		Confirmed: l.confirmed, ConfirmedAt: l.confirmedAt, ConfirmedBy: l.confirmedBy,
	}
	f.refused = l.flags&flagRefused != 0
	if l.flags&flagAddress != 0 {
		f.Address = netip.AddrFrom16(l.address).Unmap()
	}
	if l.flags&flagEnded != 0 {
		f.Ended, f.How, f.gone = l.endedAt, r.texts.of(l.how), l.ended
	} else {
		f.Covered = live(l.slot)
	}
	m := q.Sequence
	best, found := Later, false
	excluded := q.Exclude != [16]byte{} && f.ID == q.Exclude
	pick := func(v Verdict, k *node, at int64, detail string) {
		if !found || v < best {
			best, found = v, true
			f.Channel, f.At, f.Detail = r.texts.of(k.channel), at, detail
		}
	}
	before, until := false, int64(0)
	var gaps map[uint32]*node // by channel: the oldest gap with the message behind the subscription that comes next
	for i := l.first; i != 0; i = r.node(i).next {
		k := r.node(i)
		if !on(k.channel) {
			continue
		}
		switch k.kind {
		case kindGap:
			if k.start < m && m <= k.upto {
				if gaps == nil {
					gaps = map[uint32]*node{}
				}
				gaps[k.channel] = k
			}
		case kindRefused:
			v := ByPolicy
			code := r.texts.of(k.code)
			if IsGrant(code) {
				v = NotGranted
			}
			pick(v, k, k.at, code)
		case kindJoined:
			if before = before || k.head < m; k.head < m || f.Poll { // further polls may have several nodes
				until = max(until, k.hadUntil(f.Poll))
			}
			if k.cursor > f.cursor {
				f.cursor, f.cursorAt = k.cursor, k.cursorAt
			}
			g := gaps[k.channel]
			delete(gaps, k.channel)
			if v, at, detail := l.judgeJoined(k, g, m, f.Covered); v != none {
				if excluded && (v == Sent || v == Behind) {
					v = Excluded
				}
				pick(v, k, at, detail)
			}
		}
	}
	if before {
		f.hadUntil = until
	}
	switch {
	case l.flags&flagEnded != 0 && l.ended < m && best > Disconnected:
		best, f.Channel = Disconnected, ""
	case !found && l.began < m:
		best = NotSubscribed
	}
	if best == Disconnected {
		f.At = f.Ended
	}
	if l.flags&flagLossy != 0 || m <= l.forgotten && best != Sent {
		best, f.Detail = Unclear, "the record of this connection is not complete"
	}
	f.Verdict = best
	return f, found || l.flags&flagRefused == 0 || l.flags&flagLossy != 0
}

// hadUntil is until when a connection had the channel of a subscription.
func (k *node) hadUntil(poll bool) int64 {
	switch {
	case poll:
		return max(k.at, k.endAt)
	case k.open:
		return math.MaxInt64
	}
	return k.endAt
}

// none is no verdict.
const none = NotKnown + 1

// judgeJoined says what became of message m by subscription k. g is the gap of it that has m, nil for none.
func (l *life) judgeJoined(k, g *node, m, covered uint64) (v Verdict, at int64, detail string) {
	upto := k.upto
	if k.open {
		upto = max(upto, covered)
	}
	if m <= k.start {
		switch {
		case k.from == again:
			return none, 0, ""
		case k.from == Carried:
			return Unclear, k.at, reasonCarried
		case k.from == After:
			return Had, k.at, ""
		case k.from == Foreign:
			return GapTold, k.at, whys[Unknown]
		case k.from == Earliest:
			return Gone, k.at, ""
		case l.began >= m:
			return Later, k.at, ""
		}
		return NotSubscribed, k.at, ""
	}
	if g != nil {
		if g.why == Policy {
			return ByPolicy, g.at, "slow consumer"
		}
		return GapTold, g.at, whys[g.why]
	}
	switch {
	case m <= k.told && k.from == Foreign:
		return GapTold, k.at, whys[Unknown]
	case m <= k.told:
		return Gone, k.at, ""
	case m <= upto:
		return Sent, k.at, ""
	case m == k.unsure, k.unsure == AllUnsure && (k.open || m <= k.end):
		return Unclear, k.endAt, "it was being sent when the subscription changed"
	case k.open:
		return Behind, 0, ""
	case k.atEnd:
		return Disconnected, l.endedAt, ""
	}
	return NotSubscribed, k.endAt, ""
}

// IsGrant reports whether a refusal with that code is about what the client has proven.
func IsGrant(code string) bool {
	switch code {
	case "not_allowed", "signature_invalid", "key_invalid", "key_unknown", "token_missing", "token_invalid", "token_expired", "token_not_yet_valid", "token_revoked":
		return true
	}
	return false
}
