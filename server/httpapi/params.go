package httpapi

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"time"

	"peal/loop"
	"peal/server/log"
)

// maxLast bounds last=N; what is retained bounds it further.
const maxLast = 1 << 20

// maxLastOfSeveral bounds it where the newest of several channels must be found
// among all of theirs: a step for each of them, on the loop.
const maxLastOfSeveral = 1000

// params is what the query of a request says. Its slices alias the Front's
// memory.
type params struct {
	known     bool   // cursor is the id of the client's last event
	cursor    []byte // where to begin: of the Last-Event-ID header, else of its spellings in the query, else cursor; empty for none
	last      []byte
	format    []byte
	timeout   []byte
	event     []byte
	key       []byte // idempotency key
	prefix    []byte
	after     []byte
	limit     []byte
	client    []byte // the name the client gives itself, and what it says about itself
	info      []byte
	presence  bool // it wants to be told who comes and goes
	ignoreGap bool
}

// query reads the parameters. The channels go to f.picked, in their order,
// without duplicates. Those that nobody knows are left to stray (slips.go).
func (f *Front) query() (p params, err error) {
	f.picked = f.picked[:0]
	f.args.ParseBytes(f.head.Query)
	var lastEventID []byte
	for key, value := range f.args.All() {
		switch string(key) {
		case "channel":
			err = f.pick(value)
		case "cursor":
			if len(value) > 0 {
				p.cursor = value
			}
		case "lastEventId", "lastEventID", "last_event_id", "Last-Event-ID", "last-event-id":
			if len(value) > 0 { // polyfills append it at each reconnect: the last one is of now
				lastEventID = value
			}
		case "last":
			err = setOnce(&p.last, "last", value)
		case "format":
			err = setOnce(&p.format, "format", value)
		case "timeout":
			err = setOnce(&p.timeout, "timeout", value)
		case "event":
			err = setOnce(&p.event, "event", value)
		case "idempotency_key":
			err = setOnce(&p.key, "idempotency_key", value)
		case "prefix":
			err = setOnce(&p.prefix, "prefix", value)
		case "after":
			err = setOnce(&p.after, "after", value)
		case "limit":
			err = setOnce(&p.limit, "limit", value)
		case "client":
			err = setOnce(&p.client, "client", value)
		case "info":
			err = setOnce(&p.info, "info", value)
		case "presence":
			p.presence = string(value) == "1" || string(value) == "true"
		case "gap":
			p.ignoreGap = string(value) == "ignore"
		default:
			if isChannelKey(key) {
				err = f.pick(value)
			}
		}
		if err != nil {
			return p, err
		}
	}
	if len(p.cursor) > 0 && len(p.last) > 0 {
		return p, errCursorAndLast
	}
	// What a client has come to since it made its URL goes before the URL's own
	// cursor: EventSource says it in this header, polyfills in the query.
	if len(lastEventID) > 0 {
		p.cursor, p.known = lastEventID, true
	}
	for _, id := range f.header.PeekAll("Last-Event-ID") {
		if len(id) > 0 {
			p.cursor, p.known = id, true
		}
	}
	return p, nil
}

var errCursorAndLast = contradiction("cursor and last", "the one says after which message to begin, the other with how many: send one of them")

// isChannelKey reports whether key is one of PHP's spellings of a repeated
// parameter: channel[] or channel[0].
func isChannelKey(key []byte) bool { return isElementKey(key, "channel[") }

// isElementKey is isChannelKey for any parameter; prefix is its name and "[".
func isElementKey(key []byte, prefix string) bool {
	inner, ok := bytes.CutPrefix(key, []byte(prefix))
	if !ok {
		return false
	}
	inner, ok = bytes.CutSuffix(inner, []byte("]"))
	return ok && len(bytes.Trim(inner, digits)) == 0
}

// pick adds a channel to f.picked.
func (f *Front) pick(b []byte) error {
	n, err := f.names.get(b)
	if err != nil {
		return err
	}
	for _, have := range f.picked {
		if have.text() == n.text() {
			return nil
		}
	}
	if len(f.picked) == f.deps.ChannelLimit {
		return errTooManyChannels
	}
	f.picked = append(f.picked, n)
	return nil
}

// pickDefault picks the default channel where none is named.
func (f *Front) pickDefault() {
	if len(f.picked) == 0 {
		n, err := f.names.get([]byte(DefaultChannel))
		if err != nil {
			panic("httpapi: the default channel has no legal name")
		}
		f.picked = append(f.picked, n)
	}
}

// channels returns the picked channels as a subscription wants them: sorted.
func (f *Front) channels() []string {
	f.pickDefault()
	if len(f.picked) == 1 {
		return f.picked[0].set[:]
	}
	set := make([]string, len(f.picked))
	for i, n := range f.picked {
		set[i] = n.text()
	}
	slices.Sort(set)
	return set
}

// start tells where a subscription begins: after the cursor, else with the
// newest messages asked for, else now.
func (f *Front) start(p *params) (from loop.From, sequence uint64, last int, err error) {
	switch {
	case string(p.cursor) == "earliest":
		return loop.FromEarliest, 0, 0, nil
	case len(p.cursor) > 0:
		c, err := log.ParseCursor(p.cursor)
		if err != nil {
			return loop.FromGap, 0, 0, nil
		}
		sequence, ok := f.deps.Log.Resolve(c)
		if !ok {
			return loop.FromGap, 0, 0, nil
		}
		return loop.FromCursor, sequence, 0, nil
	case len(p.last) > 0:
		n, err := parseCount(p.last)
		switch {
		case err != nil:
			return loop.FromNow, 0, 0, errLast
		case n > maxLastOfSeveral && len(f.picked) > 1:
			return loop.FromNow, 0, 0, errLastOfSeveral
		case n > 0:
			return loop.FromLast, 0, min(n, maxLast), nil
		}
	}
	return loop.FromNow, 0, 0, nil
}

// parseCount reads a decimal number; one beyond an int is the largest int.
func parseCount(b []byte) (int, error) {
	if len(b) == 0 || len(bytes.Trim(b, digits)) > 0 {
		return 0, strconv.ErrSyntax
	}
	n := 0
	for _, c := range b {
		if n > (math.MaxInt-9)/10 {
			return math.MaxInt, nil
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}

// pollTimeout reads seconds, or a Go duration.
func (l *Limits) pollTimeout(b []byte) (time.Duration, error) {
	if len(b) == 0 {
		return l.PollTimeout, nil
	}
	var d time.Duration
	if n, err := parseCount(b); err == nil {
		d = time.Duration(min(n, int(l.MaxPollTimeout/time.Second)+1)) * time.Second
	} else if d, err = time.ParseDuration(string(b)); err != nil {
		seconds, err := strconv.ParseFloat(string(b), 64)
		if err != nil || math.IsNaN(seconds) {
			return 0, errTimeout
		}
		d = time.Duration(max(0, min(seconds, l.MaxPollTimeout.Seconds())) * float64(time.Second))
	}
	return max(l.MinPollTimeout, min(d, l.MaxPollTimeout)), nil
}

// parseLimit reads the size of a page.
func parseLimit(b []byte, standard, largest int) (int, error) {
	if len(b) == 0 {
		return standard, nil
	}
	n, err := parseCount(b)
	if err != nil || n < 1 {
		return 0, errLimit
	}
	return min(n, largest), nil
}
