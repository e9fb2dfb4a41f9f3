package httpapi

import (
	"strconv"

	"peal/loop"
	"peal/server/publication"
	"peal/server/share"
	"peal/server/wsproto"
)

// commandIntroduce takes what a subscribe says about its client, and whether it
// wants to be told of presence: then the channels that it returns are more than added.
func (f *Front) commandIntroduce(c loop.Client, cmd *wsproto.Command, added []string) ([]string, *Error) {
	client, fault := cmd.Text("client")
	watching, fault2 := cmd.Switch("presence")
	if fault == nil {
		fault = fault2
	}
	if fault != nil {
		return nil, refusalOf(fault)
	}
	f.visitor = visitor{client: client}
	var m message
	m.setData(cmd.Value("info")) // a text, or JSON as its text, as data is
	f.visitor.info = m.data
	g := f.guests[c.Session()]
	if g != nil && g.ByURL && len(client) > 0 && string(client) != g.Client() {
		return nil, contradiction("client", "this connection named another one in its URL: name it in one place, or connect anew")
	}
	if g != nil && len(client) == 0 {
		f.visitor.client = []byte(g.Client())
		if f.visitor.info == nil {
			f.visitor.info = []byte(g.Info())
		}
	}
	err := f.visitor.check()
	if err == nil {
		err = f.letIn()
	}
	if err == nil && watching {
		added, err = f.watch(share.Of(c.Peer().Addr(), c.Session()), loop.WSJSON)
	}
	if err != nil {
		return nil, asError(err)
	}
	return added, nil
}

// commandUnsubscribe takes the picked channels from the client, and what it was
// told of their presence.
func (f *Front) commandUnsubscribe(c loop.Client) {
	f.pickDefault()
	c.Spend(workSeat * len(f.picked))
	f.leave(c.Session())
	var all []string
	for _, n := range f.picked {
		all = append(all, n.watchedSet()...)
	}
	c.Unsubscribe(all)
}

// commandPresence has a worker list who is on one channel.
func (f *Front) commandPresence(c loop.Client, cmd *wsproto.Command) *Error {
	if len(f.picked) != 1 {
		return errOneChannel
	}
	channel := f.picked[0]
	if !f.hasPresence(channel) {
		return errPresenceOff
	}
	after, fault := cmd.Text("after")
	if fault != nil {
		return refusalOf(fault)
	}
	limit, err := parseLimit(cmd.Digits("limit"), presencePage, maxPresencePage)
	if err != nil {
		return asError(err)
	}
	from := string(after)
	return f.askFor(c, cmd, presenceCost+limit, func(q *questions) []byte { return q.presenceBody(channel.text(), from, limit) })
}

// Members of one page.
const (
	presencePage    = 100 // without limit=
	maxPresencePage = 1000
)

// presenceBody is {"channel","cursor","count","anonymous","members":[…],"next"?}.
// The cursor is read first: what is told after it may be in the list already, what was
// told before it is.
func (q *questions) presenceBody(channel, after string, limit int) []byte {
	at := q.lineage.Cursor(q.hub.Head())
	info, _ := q.hub.Channel(channel)
	page := q.presence.List(channel, after, limit)
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
	body = append(body, `,"members":`...)
	body = publication.AppendMembers(body, page.Members)
	if page.More {
		body = append(body, `,"next":`...)
		body = publication.AppendString(body, page.Members[len(page.Members)-1].Client)
	}
	return append(body, '}')
}
