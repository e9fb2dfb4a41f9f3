package publication

import "peal/server/log"

// Member is one client that is present on a channel.
type Member struct {
	Client string
	Info   string // the info that it sent, "" for none
}

// AppendMembers appends the array of members: [{"client","info"?},…].
func AppendMembers(dst []byte, members []Member) []byte {
	dst = append(dst, '[')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"client":`...)
		dst = AppendString(dst, m.Client)
		if m.Info != "" {
			dst = append(dst, `,"info":`...)
			dst = AppendString(dst, m.Info)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// AppendPresence appends the object of e, an entry of kind presence: the
// channel, the cursor c, and the members of its data, a JSON object that is not
// empty.
func AppendPresence(dst []byte, e *log.Entry, c log.Cursor) []byte {
	dst = append(dst, `{"channel":`...)
	dst = AppendString(dst, e.Channel)
	dst = append(dst, `,"cursor":"`...)
	dst = c.Append(dst)
	dst = append(dst, `",`...)
	return append(dst, e.Data[1:]...)
}
