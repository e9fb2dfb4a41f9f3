package webhook

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"peal/server/log"
)

// event is one in a body. Without an app it has an id, a cursor and a time of its own.
type event struct {
	ID          string  `json:"id,omitempty"`
	Type        string  `json:"type,omitempty"`
	Name        string  `json:"name,omitempty"` // in place of Type, for an app
	Channel     string  `json:"channel,omitempty"`
	Subscribers *int    `json:"subscription_count,omitempty"`
	User        string  `json:"user_id,omitempty"`
	Event       string  `json:"event,omitempty"`
	Data        *string `json:"data,omitempty"`
	Base64      []byte  `json:"data_base64,omitempty"`
	Socket      string  `json:"socket_id,omitempty"`
	After       string  `json:"after,omitempty"` // of a gap: what lies behind it, up to Upto, is missing
	Upto        string  `json:"upto,omitempty"`
	Cursor      string  `json:"cursor,omitempty"`
	Time        int64   `json:"time_ms,omitempty"`
}

// bytes is how long the event is in a body, or a little more.
func (k *event) bytes() int {
	n := eventBytes + textBytes(k.Channel) + textBytes(k.User) + textBytes(k.Event) + base64.StdEncoding.EncodedLen(len(k.Base64))
	if k.Data != nil {
		n += textBytes(*k.Data)
	}
	return n
}

// eventBytes is at most what an event has beside its texts: names, punctuation, numbers, cursors.
const eventBytes = 512

// textBytes is how long a text is in JSON, without quotes.
func textBytes(text string) (n int) {
	for _, c := range text {
		n += runeBytes(c)
	}
	return n
}

// runeBytes is how long a character is in a JSON string as encoding/json writes it.
func runeBytes(c rune) int {
	switch {
	case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
		return 2
	case c < ' ' || c == '<' || c == '>' || c == '&' || c == '\u2028' || c == '\u2029' || c == utf8.RuneError:
		return 6
	}
	return utf8.RuneLen(c)
}

// pusherBody and standardBody are those of requests.
type pusherBody struct {
	Time   int64   `json:"time_ms"`
	Events []event `json:"events"`
}

type standardBody struct {
	Type      string `json:"type"` // "events"
	Timestamp string `json:"timestamp"`
	Data      struct {
		Events []event `json:"events"`
	} `json:"data"`
}

// body is the same for the same events: a repeat has the same bytes.
func (p *endpoint) body(events []event, newest int64) []byte {
	var b []byte
	var err error
	if p.app != nil {
		b, err = json.Marshal(pusherBody{newest, events})
	} else {
		body := standardBody{Type: "events", Timestamp: time.UnixMilli(newest).UTC().Format("2006-01-02T15:04:05.000Z")}
		body.Data.Events = events
		b, err = json.Marshal(body)
	}
	if err != nil {
		panic("webhook: " + err.Error()) // texts and numbers: always JSON
	}
	return b
}

// appendEvents appends what an entry is for the endpoint.
func (p *endpoint) appendEvents(dst []event, e *log.Entry, l *log.Lineage) []event {
	from := len(dst)
	switch e.Kind {
	case log.KindControl:
		if e.Event == eventMisses {
			if m, err := parse[misses](e); err == nil {
				for _, name := range m.Channels {
					dst = p.appendChange(dst, &change{Name: CacheMiss, Channel: name})
				}
			}
			break
		}
		if e.Event != eventChanges {
			return dst
		}
		c, err := parse[changes](e)
		if err != nil {
			return dst // Apply has reported it
		}
		for i := range c.All {
			dst = p.appendChange(dst, &c.All[i])
		}
	case log.KindPublication:
		dst = p.appendPublication(dst, e)
	}
	cursor := ""
	for i := from; i < len(dst); i++ {
		k := &dst[i]
		if p.app != nil {
			k.Name, k.Type = k.Type, ""
			continue
		}
		if cursor == "" {
			cursor = l.Cursor(e.Sequence).String()
		}
		k.ID, k.Cursor, k.Time = cursor+"."+strconv.Itoa(i-from), cursor, e.Time
	}
	return dst
}

func (p *endpoint) appendChange(dst []event, c *change) []event {
	if !p.events[c.Name] {
		return dst
	}
	shown, ok := p.channel(c.Channel)
	if !ok {
		return dst
	}
	k := event{Type: c.Name, Channel: shown, User: c.Member}
	if p.app != nil {
		k.User = strings.TrimPrefix(c.Member, p.app.Namespace)
	}
	if c.Name == Count {
		n := c.Subscribers
		k.Subscribers = &n
	}
	return append(dst, k)
}

// appendPublication appends an event for each channel of the entry that the endpoint wants.
func (p *endpoint) appendPublication(dst []event, e *log.Entry) []event {
	kind := Publication
	if p.events[ClientEvent] && isOfClient(e) {
		kind = ClientEvent
	} else if !p.events[Publication] {
		return dst
	}
	add := func(name string) {
		shown, ok := p.channel(name)
		if !ok {
			return
		}
		k := event{Type: kind, Channel: shown, Event: e.Event}
		if e.Binary {
			k.Base64 = e.Data
		} else {
			text := string(e.Data)
			k.Data = &text
		}
		if kind == ClientEvent {
			k.Socket, k.User = socketID(e.Exclude), e.Tags[log.UserTag]
		}
		dst = append(dst, k)
	}
	add(e.Channel)
	for _, name := range e.Also {
		add(name)
	}
	return dst
}

// socketID is a session id as clients of the Pusher protocol write it; "" for none.
func socketID(id *[16]byte) string {
	if id == nil {
		return ""
	}
	hi, lo := uint64(0), uint64(0)
	for i := range 8 {
		hi, lo = hi<<8|uint64(id[i]), lo<<8|uint64(id[8+i])
	}
	return strconv.FormatUint(hi, 10) + "." + strconv.FormatUint(lo, 10)
}

// gapEvent says that what is behind a position, up to another one, is not in the log any more.
func (p *endpoint) gapEvent(after, upto string, now int64) event {
	k := event{Type: Gap, After: after, Upto: upto}
	if p.app != nil {
		k.Name, k.Type = k.Type, ""
		return k
	}
	k.ID, k.Cursor, k.Time = upto+"."+Gap, upto, now
	return k
}

// batchID is the id of a batch: of its last entry, with a name that tells endpoints apart.
func (p *endpoint) batchID(upto log.Cursor, gap bool) string {
	name := sha256.Sum256([]byte(p.Name))
	id := "peal_" + hex.EncodeToString(name[:4]) + "_" + upto.String()
	if gap {
		id += "_gap"
	}
	return id
}
