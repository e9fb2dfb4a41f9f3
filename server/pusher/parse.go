package pusher

import (
	"bytes"

	"peal/server/ijson"
)

// Message is one message of a client. Its fields alias the payload, except texts with
// escapes.
type Message struct {
	Event   []byte
	Channel []byte      // beside data: of client- events
	Data    ijson.Value // of client- events; nil: absent

	// Fields of data, of the events of the protocol. A field that is absent is nil.
	Subscribe Subscribe
	Signin    Signin
}

// Subscribe is the data of pusher:subscribe and pusher:unsubscribe.
type Subscribe struct {
	Channel, Auth, ChannelData []byte
	Cursor                     []byte // of clients that know Peal: where to go on
}

// Signin is the data of pusher:signin.
type Signin struct{ Auth, UserData []byte }

// Events that clients send.
const (
	EventPing        = "pusher:ping"
	EventPong        = "pusher:pong"
	EventSubscribe   = "pusher:subscribe"
	EventUnsubscribe = "pusher:unsubscribe"
	EventSignin      = "pusher:signin"
	ClientPrefix     = "client-"
)

// IsClientEvent reports whether an event is one that clients send to each other.
func IsClientEvent(event []byte) bool { return bytes.HasPrefix(event, clientPrefix) }

var clientPrefix = []byte(ClientPrefix)

// Parser reads messages. Its zero value is ready; one goroutine at a time.
type Parser struct{ reader, inner ijson.Reader }

// Faults of messages, for pusher:error.
const (
	faultForm  = "invalid message format: a message is a JSON object (RFC 7493) in a text frame with event and data, as in {\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"news\"}}"
	faultEvent = "invalid message format: event must be a string that is not empty"
	faultData  = "invalid message format: data of this event must be an object, or a string with one, whose fields are strings"
	faultName  = "invalid message format: channel must be a string"
)

// Parse reads one message into m. A fault is a sentence for the client, "" for none.
func (p *Parser) Parse(m *Message, binary bool, payload []byte) (fault string) {
	*m = Message{}
	if binary {
		return faultForm
	}
	var event, channel ijson.Value
	r := &p.reader
	r.Start(payload)
	for r.Enter('{'); r.More(); {
		switch string(r.Name()) {
		case "event":
			event = r.Value()
		case "channel":
			channel = r.Value()
		case "data":
			m.Data = r.Value()
		default:
			r.Value()
		}
	}
	if r.End() != nil {
		return faultForm
	}
	var ok bool
	if m.Event, ok = event.Text(); !ok || len(m.Event) == 0 {
		return faultEvent
	}
	if m.Channel, ok = optional(channel); !ok {
		return faultName
	}
	switch string(m.Event) {
	case EventSubscribe, EventUnsubscribe:
		return p.parseData(m.Data, func(name []byte) *[]byte {
			switch string(name) {
			case "channel":
				return &m.Subscribe.Channel
			case "auth":
				return &m.Subscribe.Auth
			case "channel_data":
				return &m.Subscribe.ChannelData
			case "cursor":
				return &m.Subscribe.Cursor
			}
			return nil
		})
	case EventSignin:
		return p.parseData(m.Data, func(name []byte) *[]byte {
			switch string(name) {
			case "auth":
				return &m.Signin.Auth
			case "user_data":
				return &m.Signin.UserData
			}
			return nil
		})
	}
	return ""
}

// parseData reads the object v, or the one in the string v, into the texts that field
// returns for a name; nil for those that are not read.
func (p *Parser) parseData(v ijson.Value, field func(name []byte) *[]byte) (fault string) {
	if text, ok := v.Text(); ok { // some clients send it so
		v = text
	}
	r := &p.inner
	r.Start(v)
	for r.Enter('{'); r.More(); {
		to := field(r.Name())
		value := r.Value()
		if to == nil {
			continue
		}
		text, ok := optional(value)
		if !ok {
			return faultData
		}
		*to = text
	}
	if r.End() != nil {
		return faultData
	}
	return ""
}

// optional is the text of a string; absent and null are nil.
func optional(v ijson.Value) (text []byte, ok bool) {
	if v == nil || v.IsNull() {
		return nil, true
	}
	return v.Text()
}

// User is what user_data and channel_data say of a user.
type User struct {
	ID   []byte      // id, or user_id
	Info ijson.Value // user_info; nil for none
}

// ParseUser reads a JSON object with an id under that name, a string or a number, and
// user_info.
func (p *Parser) ParseUser(data []byte, name string) (u User, ok bool) {
	var id ijson.Value
	r := &p.inner
	r.Start(data)
	for r.Enter('{'); r.More(); {
		switch field := string(r.Name()); field {
		case name:
			id = r.Value()
		case "user_info":
			u.Info = r.Value().Compact()
		default:
			r.Value()
		}
	}
	if r.End() != nil {
		return User{}, false
	}
	if text, isText := id.Text(); isText {
		u.ID = text
	} else if len(id) > 0 && (id[0] == '-' || '0' <= id[0] && id[0] <= '9') {
		u.ID = id
	}
	if u.Info.IsNull() {
		u.Info = nil
	}
	return u, len(u.ID) > 0 && len(u.ID) <= MaxUserBytes
}

// MaxUserBytes is the length of the longest id of a user.
const MaxUserBytes = 128

// ClientData is the data of a client- event as it is published: the text of a string, else
// the JSON.
func ClientData(v ijson.Value) []byte {
	if text, ok := v.Text(); ok {
		return text
	}
	if v == nil {
		return []byte("null")
	}
	return v
}
