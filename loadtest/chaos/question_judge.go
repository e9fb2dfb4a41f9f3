package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Answers is what the judge found in the answers of the trace.
type Answers struct {
	Asked    int            `json:"asked"`
	Wrong    uint64         `json:"wrong"`
	NotKnown int            `json:"not_known"` // of messages that are in the record
	Before   int            `json:"before"`    // not known, and older than the record: from before the last start of the server
	Verdicts map[string]int `json:"verdicts"`  // of connections
	By       map[string]int `json:"confirmed"` // of those that were sent the message
	Missing  []string       `json:"missing,omitempty"`

	wrong []string // the first ones
}

// Verdicts and confirmations of the trace.
const (
	saidSent    = "sent"
	saidUnknown = "not known"
	saidNobody  = "not connected"
	unconfirmed = "unconfirmed"

	olderThanRecord = "the message is older than the record"
)

// Each of these must occur in a run. With tokens the one of tokens, too.
var (
	everyVerdict      = []string{saidSent, "still behind", "had it by its cursor", "gap told", "policy", "not subscribed then", "disconnected", "connected later"}
	everyConfirmation = []string{unconfirmed, "pong", "next poll", "reconnect cursor"}
)

const verdictOfTokens = "token did not grant"

// Clean reports that no answer was wrong, that at most one in a hundred was not known, and that each kind of answer
// occurred.
func (a *Answers) Clean() bool {
	return a == nil || a.Wrong == 0 && a.NotKnown*100 <= a.Asked-a.Before && len(a.Missing) == 0
}

func (a *Answers) findings() []string {
	if a == nil {
		return nil
	}
	return a.wrong
}

// judge compares all answers with the journals.
func (q *Questions) judge(w *world, journals []*journal) *Answers {
	if q == nil {
		return nil
	}
	a := &Answers{Asked: len(q.asked), Verdicts: map[string]int{}, By: map[string]int{}}
	if q.fault != "" {
		a.find("%s", q.fault)
	}
	tokens, said := false, map[string]bool{}
	for i := range q.asked {
		one := &q.asked[i]
		e := examiner{w, journals[one.client], one, w.at[one.id-1], w.ledger[one.id-1].channel}
		tokens = tokens || len(e.journal.connections) > 0 && e.journal.connections[0].proof != nil
		switch {
		case one.report.Verdict != saidUnknown:
		case one.report.Reason == olderThanRecord:
			a.Before++
		default:
			a.NotKnown++
		}
		for _, c := range one.report.Connections {
			a.Verdicts[c.Verdict]++
			said[c.Verdict] = true
			if c.Verdict == saidSent {
				a.By[confirmation(c)]++
				said[confirmation(c)] = true
			}
		}
		if why := e.examine(); why != "" {
			a.find("client %d, message %d of channel %d at %v, asked at %v of start %d: %s; the answer is %q %q of %+v",
				one.client, one.id, e.channel, e.at, one.from, one.start, why, one.report.Verdict, one.report.Reason, one.report.Connections)
		}
	}
	a.Missing = missing(said, tokens)
	return a
}

// missing is what was not said.
func missing(said map[string]bool, tokens bool) (all []string) {
	for _, v := range slices.Concat(everyVerdict, everyConfirmation) {
		if !said[v] {
			all = append(all, v)
		}
	}
	if tokens && !said[verdictOfTokens] {
		all = append(all, verdictOfTokens)
	}
	return all
}

func confirmation(c traceConnection) string {
	if c.Confirmed == nil {
		return unconfirmed
	}
	return c.Confirmed.By
}

func (a *Answers) find(format string, args ...any) {
	if a.Wrong++; a.Wrong <= findingsOfAKind {
		a.wrong = append(a.wrong, "trace: "+fmt.Sprintf(format, args...))
	}
}

// examiner compares one answer with the journal of its client.
type examiner struct {
	*world
	journal *journal
	*asked
	at      place // of the message
	channel int32
}

// never is the time of what did not happen.
const never = time.Duration(1<<63 - 1)

// heard is what a client has heard on one connection, and when first.
type heard struct {
	opened   time.Duration
	anything time.Duration
	message  time.Duration // the message in question
	anchor   time.Duration // where the channel begins
	beyond   time.Duration // a position at or behind the message: it was served up to there
	gap      bool          // in which the message is
	earlier  bool          // an earlier message of the channel
}

// hears reads what the client has heard on connection number k.
func (e *examiner) hears(k int) heard {
	h := heard{never, never, never, never, never, false, false}
	c, now := &e.journal.connections[k], -1
	for _, r := range e.journal.records {
		if r.kind == opened {
			if now = int(r.id); now == k {
				h.opened = r.when
			}
			continue
		}
		if now != k {
			continue
		}
		h.anything = min(h.anything, r.when)
		at := e.canonical(r.at)
		switch r.kind {
		case message:
			at = e.world.at[r.id-1]
			if r.id == e.id {
				h.message = min(h.message, r.when)
			}
			if at.isZero() || c.separate && r.channel != e.channel {
				continue
			}
			h.earlier = h.earlier || r.channel == e.channel && at.compare(e.at) < 0
		case position:
			if r.channel != everyChannel && r.channel != e.channel {
				continue
			}
		case gap:
			h.gap = h.gap || r.channel == e.channel && at.compare(e.at) >= 0
			continue
		default:
			continue
		}
		h.anchor = min(h.anchor, r.when)
		if at.compare(e.at) >= 0 {
			h.beyond = min(h.beyond, r.when)
		}
	}
	return h
}

// examine says what is wrong with the answer, "" for nothing.
func (e *examiner) examine() string {
	said := e.report.Verdict
	listed := map[int]bool{}
	for i := range e.report.Connections {
		c := &e.report.Connections[i]
		k := slices.IndexFunc(e.journal.connections, func(j connection) bool { return j.address == c.Address })
		if k < 0 || e.journal.connections[k].start != e.start && e.journal.connections[k].start != 0 {
			return fmt.Sprintf("it names a connection that the client did not have: %s", c.Address)
		}
		listed[k] = true
		if why := e.connection(c, k); why != "" {
			return fmt.Sprintf("%s (%s): %s", c.Address, e.journal.connections[k].transport, why)
		}
	}
	if said != saidUnknown && said != saidNobody && !slices.ContainsFunc(e.report.Connections, func(c traceConnection) bool { return c.Verdict == said }) {
		return "no connection in it says so"
	}
	if said == verdictOfTokens && e.overtaken() {
		return "the client was subscribed after the refusal and before the message"
	}
	for k := range e.journal.connections {
		if e.journal.connections[k].start != e.start || said == saidUnknown {
			continue
		}
		h := e.hears(k)
		if h.message < e.from && said != saidSent {
			return fmt.Sprintf("the client had received it on connection %d", k)
		}
		if h.anything < e.from && !listed[k] && e.report.Omitted == 0 {
			return fmt.Sprintf("connection %d of the client, %s, is missing", k, e.journal.connections[k].address)
		}
	}
	return ""
}

// overtaken reports whether the client has had the channel after the newest refusal of the answer and before the message.
func (e *examiner) overtaken() bool {
	newest := e.began
	for _, c := range e.report.Connections {
		if at, err := time.Parse(time.RFC3339, c.At); err == nil && c.Verdict == verdictOfTokens && at.After(newest) {
			newest = at
		}
	}
	for k, c := range e.journal.connections {
		h := e.hears(k)
		if c.start == e.start && slices.Contains(c.channels, e.channel) && !c.reduced && h.anchor < e.sentAt() && e.began.Add(h.opened).After(newest) {
			return true
		}
	}
	return false
}

// connection says what is wrong with the verdict about connection k.
func (e *examiner) connection(said *traceConnection, k int) string {
	c, h := &e.journal.connections[k], e.hears(k)
	i := slices.Index(c.channels, e.channel)
	from := place{}
	if i >= 0 {
		from = e.canonical(c.from[i])
	}
	if i < 0 && !slices.Contains([]string{"not subscribed then", "disconnected", "connected later", saidUnknown, "policy", verdictOfTokens}, said.Verdict) {
		return "the client did not ask for the channel there"
	}
	refusedLater := said.Verdict == verdictOfTokens && strings.HasPrefix(c.transport, "poll") // a further poll
	if said.Verdict != saidSent && said.Verdict != saidUnknown && h.message < e.from && !refusedLater {
		return "the client had received it there"
	}
	switch said.Verdict {
	case saidSent:
		return e.sent(said, k, h)
	case "still behind":
		if h.beyond < e.from {
			return "the client had been served up to behind it there"
		}
	case "had it by its cursor":
		if h.message != never || from.compare(e.at) < 0 {
			return fmt.Sprintf("the client asked for what follows %v", from)
		}
	case "disconnected":
		if h.beyond != never {
			return "the client was served up to behind it there"
		}
	case "connected later":
		if h.anything < e.sentAt() {
			return "the client was connected before it was published"
		}
	case "not subscribed then":
		if i >= 0 && h.anchor < e.sentAt() && h.beyond != never && !c.reduced {
			return "the client was subscribed before it was published, and was served up to behind it"
		}
	case "gap told", "policy":
		if h.message != never || h.beyond != never && !h.gap {
			return "the client was told of no gap there"
		}
		if said.Verdict == "policy" && said.Detail == "slow consumer" && e.channel < e.latest {
			return "the channel skips nothing"
		}
	case verdictOfTokens:
		if p := c.proof; h.message != never && !refusedLater || p == nil || !p.narrow && !p.retried && !p.revoking.Load() && p.expires.Sub(e.began) > e.to && !c.reduced {
			return "the token grants the channel"
		}
	case "retention passed":
		if h.message != never || !c.retained || h.earlier {
			return "the client has older ones"
		}
	case saidUnknown:
	default:
		return "unexpected verdict"
	}
	return ""
}

// sent says what is wrong with the verdict that connection k was sent the message.
func (e *examiner) sent(said *traceConnection, k int, h heard) string {
	if h.message == never && h.beyond != never {
		return "the client was served up to behind it there, and did not receive it"
	}
	if said.Confirmed == nil {
		return ""
	}
	switch said.Confirmed.By {
	case "pong":
		if h.message == never {
			return "the client has confirmed by a pong what it did not receive"
		}
	case "next poll", "reconnect cursor":
		if !(said.Confirmed.By == "next poll" && h.message != never) && !e.returns(k) {
			return "the client did not come back with a cursor behind it"
		}
	default:
		return "unexpected confirmation"
	}
	return ""
}

// returns reports whether the client has come, after connection k, with a cursor behind the message.
func (e *examiner) returns(k int) bool {
	for n, c := range e.journal.connections[k+1:] {
		i := slices.Index(c.channels, e.channel)
		polls := strings.HasPrefix(c.transport, "poll") // its further polls have cursors, too
		if i >= 0 && (e.canonical(c.from[i]).compare(e.at) >= 0 || polls && e.hears(k+1+n).beyond != never) {
			return true
		}
	}
	return false
}

// sentAt is when the publication was begun.
func (e *examiner) sentAt() time.Duration { return e.ledger[e.id-1].sent.Sub(e.began) }
