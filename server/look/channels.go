package look

import (
	"strconv"

	"peal/server/hub"
	"peal/server/log"
	"peal/server/publication"
)

// Channels is a page of channels by name: {"channels":[…],"next":…?}. The hub
// looks at each channel there is, so it is a question for a worker. The page lacks those that hides
// picks, and may be shorter for it.
func (d *Desk) Channels(prefix, after string, limit int, hides func(channel string) bool) []byte {
	infos := d.Hub.Channels(prefix, after, limit)
	body := append(make([]byte, 0, 64+192*len(infos)), `{"channels":[`...)
	begun := false
	for _, info := range infos {
		if hides(info.Name) {
			continue
		}
		if begun {
			body = append(body, ',')
		}
		begun = true
		body = appendInfo(body, d.Lineage, info)
	}
	body = append(body, ']')
	if len(infos) == limit {
		body = append(body, `,"next":`...)
		body = publication.AppendString(body, infos[limit-1].Name)
	}
	return append(body, '}')
}

// Channel tells about one channel. One that nobody knows is not an error: channels
// exist by being used.
func (d *Desk) Channel(name string) []byte {
	info, _ := d.Hub.Channel(name)
	info.Name = name
	return appendInfo(nil, d.Lineage, info)
}

// appendInfo appends {"channel","subscribers","messages","bytes","oldest"?,"newest"?}.
func appendInfo(dst []byte, lineage *log.Lineage, info hub.Info) []byte {
	dst = append(dst, `{"channel":`...)
	dst = publication.AppendString(dst, info.Name)
	dst = append(dst, `,"subscribers":`...)
	dst = strconv.AppendInt(dst, int64(info.Subscribers), 10)
	dst = append(dst, `,"messages":`...)
	dst = strconv.AppendInt(dst, int64(info.Messages), 10)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, int64(info.Bytes), 10)
	if info.Messages > 0 {
		dst = append(dst, `,"oldest":"`...)
		dst = lineage.Cursor(info.Oldest).Append(dst)
		dst = append(dst, `","newest":"`...)
		dst = lineage.Cursor(info.Newest).Append(dst)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}
