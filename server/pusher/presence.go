package pusher

import (
	"encoding/json"
	"strings"

	"peal/server/app"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/publication"
)

// AppendPresence appends the frames of e, an entry of kind presence: one
// pusher_internal:member_added or member_removed for each member that it names. An event
// without names has the numbers only: peal:members, upon which a client that must know the
// members subscribes anew.
func AppendPresence(dst []byte, e *log.Entry, _ log.Cursor) []byte {
	channel := app.Name(e.Channel)
	namespace := e.Channel[:len(e.Channel)-len(channel)]
	before := len(dst)
	var r ijson.Reader
	count := ijson.Value("0")
	r.Start(e.Data)
	for r.Enter('{'); r.More(); {
		switch string(r.Name()) {
		case "count":
			count = r.Value()
		case "join":
			for r.Enter('['); r.More(); {
				client, info := readMember(&r)
				dst = appendMember(dst, "pusher_internal:member_added", channel, namespace, client, info, true)
			}
		case "leave":
			for r.Enter('['); r.More(); {
				client, _ := readMember(&r)
				dst = appendMember(dst, "pusher_internal:member_removed", channel, namespace, client, "", false)
			}
		default:
			r.Value()
		}
	}
	if len(dst) > before {
		return dst
	}
	data := append(make([]byte, 0, 32), `{"count":`...)
	data = append(data, count...)
	return appendInternal(dst, "peal:members", channel, append(data, '}'))
}

// readMember reads {"client","info"?}.
func readMember(r *ijson.Reader) (client, info string) {
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		text, _ := r.Value().Text()
		switch name {
		case "client":
			client = string(text)
		case "info":
			info = string(text)
		}
	}
	return client, info
}

func appendMember(dst []byte, event, channel, namespace, client, info string, added bool) []byte {
	data := append(make([]byte, 0, 64+len(client)+len(info)), `{"user_id":`...)
	data = publication.AppendString(data, strings.TrimPrefix(client, namespace))
	if added {
		data = append(data, `,"user_info":`...)
		data = appendInfo(data, info)
	}
	return appendInternal(dst, event, channel, append(data, '}'))
}

// appendInfo appends what a member has said about itself: JSON, as clients of the protocol
// send it, or else the text.
func appendInfo(dst []byte, info string) []byte {
	if info == "" {
		return append(dst, "null"...)
	}
	if b := []byte(info); json.Valid(b) {
		return append(dst, b...)
	}
	return publication.AppendString(dst, info)
}
