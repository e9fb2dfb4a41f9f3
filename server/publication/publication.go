package publication

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"peal/loop/ring"
	"peal/server/log"
)

// IsText reports whether the data of e is sent as text rather than base64.
func IsText(e *log.Entry) bool { return !e.Binary && utf8.Valid(e.Data) }

// Also returns the further channels of e whose names all of its subscribers may read, as
// the publisher's server has decided it (log.AlsoTag). All subscribers share the bytes of a
// message, and one of them may be granted a single channel of it.
func Also(e *log.Entry) []string {
	if len(e.Also) == 0 {
		return nil
	}
	n, err := strconv.Atoi(e.Tags[log.AlsoTag])
	if err != nil || n < 0 {
		return nil
	}
	return e.Also[:min(n, len(e.Also))]
}

// Hidden returns the further channels of e that Also leaves out.
func Hidden(e *log.Entry) []string { return e.Also[len(Also(e)):] }

// Showing returns an entry with the same content, of which Also returns these names of Hidden,
// too. e is not changed, and shares its data with it.
func Showing(e *log.Entry, names []string) *log.Entry {
	shown := slices.Concat(Also(e), names)
	for _, name := range Hidden(e) {
		if !slices.Contains(names, name) {
			shown = append(shown, name)
		}
	}
	other := *e
	other.Also = shown
	other.Tags = maps.Clone(e.Tags)
	if other.Tags == nil {
		other.Tags = map[string]string{}
	}
	other.Tags[log.AlsoTag] = strconv.Itoa(len(Also(e)) + len(names))
	return &other
}

// appendAlso appends the member of the further channels of e, unless there is none beside
// channel.
func appendAlso(dst []byte, e *log.Entry, channel string) []byte {
	any := false
	for _, name := range Also(e) {
		if name == channel {
			continue
		}
		if any {
			dst = append(dst, ',')
		} else {
			dst = append(dst, `,"also":[`...)
			any = true
		}
		dst = AppendString(dst, name)
	}
	if any {
		dst = append(dst, ']')
	}
	return dst
}

// AppendJSON appends the object of e, published on channel at position c of the log.
// It allocates only when dst is too small.
func AppendJSON(dst []byte, e *log.Entry, channel string, c log.Cursor) []byte {
	dst = append(dst, `{"channel":`...)
	dst = AppendString(dst, channel)
	dst = appendAlso(dst, e, channel)
	dst = append(dst, `,"cursor":"`...)
	dst = c.Append(dst)
	dst = append(dst, `","time":`...)
	dst = strconv.AppendInt(dst, e.Time, 10)
	if e.Event != "" {
		dst = append(dst, `,"event":`...)
		dst = AppendString(dst, e.Event)
	}
	if len(e.Tags) > 0 {
		dst = appendTrace(dst, e.Tags[log.TraceTag])
	}
	if IsText(e) {
		dst = append(dst, `,"data":`...)
		dst = AppendString(dst, e.Data)
	} else {
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendTrace appends the member of a traceparent, if there is one.
func appendTrace(dst []byte, parent string) []byte {
	if parent == "" {
		return dst
	}
	dst = append(dst, `,"traceparent":`...)
	return AppendString(dst, parent)
}

// objectBytes is the length of an object without its channel, event and data:
// names, punctuation, a cursor, a time.
const objectBytes = len(`{"channel":"","cursor":"","time":,"event":"","data_base64":""}`) + log.MaxCursorBytes + 13

// SizeHint is a good first capacity for the object of e: exact or a few bytes
// more if nothing must be escaped.
func SizeHint(e *log.Entry, channel string) int {
	data := len(e.Data)
	if e.Binary {
		data = base64.StdEncoding.EncodedLen(data)
	}
	n := objectBytes + len(channel) + len(e.Event) + data + data/16
	for _, name := range Also(e) {
		n += len(`,"also":""`) + len(name)
	}
	if parent := e.Tags[log.TraceTag]; parent != "" {
		n += len(`,"traceparent":""`) + len(parent)
	}
	return n
}

// Reasons of a gap, as clients see them.
const (
	Discarded     = "discarded"      // dropped by count, bytes, age or eviction
	UnknownCursor = "unknown_cursor" // the server does not know the client's cursor
	Slow          = "slow"           // skipped, because the client was slow and the rule of its channel sends slow clients only the newest message
)

// AppendGap appends the object of g, a gap in the log of that lineage. It allocates
// only when dst is too small.
func AppendGap(dst []byte, g ring.Gap, lineage *log.Lineage) []byte {
	dst = append(dst, `{"channel":`...)
	dst = AppendString(dst, g.Channel)
	reason := UnknownCursor
	if !g.Foreign {
		if reason = Discarded; g.Slow {
			reason = Slow
		}
		dst = append(dst, `,"from":"`...)
		dst = lineage.Cursor(g.From).Append(dst)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"to":"`...)
	dst = lineage.Cursor(g.To).Append(dst)
	dst = append(dst, `","reason":"`...)
	dst = append(dst, reason...)
	if reason != Slow {
		return append(dst, `"}`...)
	}
	dst = append(dst, `","skipped":`...)
	dst = strconv.AppendInt(dst, int64(g.Skipped), 10)
	return append(dst, '}')
}

// AppendGaps appends the array of gs.
func AppendGaps(dst []byte, gs []ring.Gap, lineage *log.Lineage) []byte {
	dst = append(dst, '[')
	for i, g := range gs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendGap(dst, g, lineage)
	}
	return append(dst, ']')
}
