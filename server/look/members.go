package look

import (
	"strconv"

	"peal/server/publication"
)

// MembersCost is about how many microseconds a page of so many members takes.
func MembersCost(limit int) int { return presenceCost + limit }

// Members is a page of the members of a channel, by client:
// {"channel","cursor","count","anonymous","incomplete"?,"members":[…],"next"?}.
// The cursor is read first: changes after it may be in the list already, changes
// before it are.
func (d *Desk) Members(channel, after string, limit int) []byte {
	at := d.Lineage.Cursor(d.Hub.Head())
	info, _ := d.Hub.Channel(channel)
	page := d.Presence.List(channel, after, limit)
	var one []byte
	size := 0
	for i := range page.Members {
		one = publication.AppendMembers(one[:0], page.Members[i:i+1])
		if size += len(one); size > PageBytes {
			page.Members, page.More = page.Members[:i+1], i+1 < len(page.Members) || page.More
			break
		}
	}
	body := append(make([]byte, 0, 256+64*len(page.Members)), `{"channel":`...)
	body = publication.AppendString(body, channel)
	body = append(body, `,"cursor":"`...)
	body = at.Append(body)
	body = append(body, `","count":`...)
	body = strconv.AppendInt(body, int64(page.Count), 10)
	body = append(body, `,"anonymous":`...)
	body = strconv.AppendInt(body, int64(max(0, info.Subscribers-page.Connections)), 10)
	if page.Incomplete {
		body = append(body, `,"incomplete":true`...)
	}
	body = append(body, `,"members":`...)
	body = publication.AppendMembers(body, page.Members)
	if page.More {
		body = append(body, `,"next":`...)
		body = publication.AppendString(body, page.Members[len(page.Members)-1].Client)
	}
	return append(body, '}')
}
