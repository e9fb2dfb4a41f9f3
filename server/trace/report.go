package trace

import "time"

// Report is an Answer as the admin listener sends it. Times are RFC 3339 in UTC; cursors are those of
// clients.
type Report struct {
	Cursor      string       `json:"cursor"`
	Channels    []string     `json:"channels,omitempty"`  // of the message; none if it is not retained
	Published   string       `json:"published,omitempty"` // likewise
	Verdict     string       `json:"verdict"`
	Reason      string       `json:"reason,omitempty"` // why it is not known
	Note        string       `json:"note,omitempty"`   // what the answer does not consider
	Connections []Connection `json:"connections"`
	Omitted     int          `json:"omitted,omitempty"` // further connections
}

// Connection is what became of the message for one connection.
type Connection struct {
	Verdict   string        `json:"verdict"`
	Session   string        `json:"session,omitempty"`
	Number    uint64        `json:"number,string"` // of the session, as in logs
	Name      string        `json:"name,omitempty"`
	Address   string        `json:"address,omitempty"`
	Transport string        `json:"transport"`
	Dialect   string        `json:"dialect"`
	Began     string        `json:"began"`
	Ended     string        `json:"ended,omitempty"`
	How       string        `json:"how,omitempty"`
	Channel   string        `json:"channel,omitempty"` // by which the verdict was found
	At        string        `json:"at,omitempty"`      // of what the verdict says
	Detail    string        `json:"detail,omitempty"`
	Covered   string        `json:"covered,omitempty"` // it was sent everything of its channels up to here, but for gaps
	Confirmed *Confirmation `json:"confirmed,omitempty"`
}

// Confirmation is that the client has the message.
type Confirmation struct {
	By     string `json:"by"`
	Cursor string `json:"cursor"` // up to which it confirms
	At     string `json:"at"`
}

// Names are how sequences, ids and dialects are written.
type Names struct {
	Cursor  func(sequence uint64) string
	ID      func(id [16]byte) string
	Dialect func(number uint8) (name, transport string)
}

// NewReport is an answer in words. The caller adds what it knows of the message.
func NewReport(q *Question, a *Answer, n Names) Report {
	r := Report{Cursor: n.Cursor(q.Sequence), Verdict: a.String(), Reason: a.Reason, Connections: []Connection{}, Omitted: a.Omitted}
	for i := range a.Found {
		f := &a.Found[i]
		c := Connection{
			Verdict: f.String(), Name: f.Name, Began: Time(f.Began), Ended: Time(f.Ended), How: f.How,
			Channel: f.Channel, At: Time(f.At), Detail: f.Detail,
		}
		c.Number = f.Session
		c.Dialect, c.Transport = n.Dialect(f.Dialect)
		if f.ID != [16]byte{} {
			c.Session = n.ID(f.ID)
		}
		if f.Address.IsValid() {
			c.Address = f.Address.String()
		}
		if f.Covered > 0 {
			c.Covered = n.Cursor(f.Covered)
		}
		if f.IsConfirmed(q.Sequence) {
			c.Confirmed = &Confirmation{By: bys[f.ConfirmedBy], Cursor: n.Cursor(f.Confirmed), At: Time(f.ConfirmedAt)}
		}
		r.Connections = append(r.Connections, c)
	}
	return r
}

// Time is a moment in milliseconds since 1970 as reports have it; "" for 0.
func Time(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// Names of channels that a question may have to look at.
const mostChannels = 1000

// Channels adds the channels that the lives of a question receive, or have received, to set. It goes through
// the lives as Ask does.
func (r *Record) Channels(q *Question, from uint32, n int, set map[string]bool) (next uint32) {
	from = max(from, 1)
	for i := from; i < from+uint32(n); i++ {
		if i >= r.usedLives {
			return 0
		}
		l := r.life(i)
		if l.session == 0 || !r.isAsked(l, q, func(uint32) bool { return false }) {
			continue
		}
		for k := l.first; k != 0 && len(set) < mostChannels; k = r.node(k).next {
			set[r.texts.of(r.node(k).channel)] = true
		}
	}
	return from + uint32(n)
}

// News is the messages behind a cursor, as the admin listener lists them.
type News struct {
	Cursors []string `json:"cursors"`
	Next    string   `json:"next"` // the cursor for the next question
}
