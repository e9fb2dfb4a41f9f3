package look

import (
	"peal/loop"
	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/refusal"
	"peal/server/subscribe"
	"peal/server/workers"
)

// PageBytes ends a page of history or presence, as it is sent; it may be longer
// by one message or member.
const PageBytes = 1 << 20

// Directory tells about channels and their history: a hub.Hub. See there.
type Directory interface {
	Head() uint64
	Newest(channel string, n int) (after uint64)
	Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) (messages []*ring.Message, discarded uint64, more bool)
	Concerns(channel string, discarded uint64, leavesOut func(x *ring.Exclusion) bool) (upto uint64, whole bool)
	Channel(name string) (hub.Info, bool)
	Channels(prefix, after string, limit int) []hub.Info
}

// Door brings a response to its connection: a loop.Group. Any goroutine may call
// it. out becomes the loop's.
type Door interface {
	Answer(ref loop.Ref, out []byte)
}

// Desk is where questions are answered. Fixed; all loops may share it.
type Desk struct {
	Hub      Directory
	Presence *presence.Table // nil if there is none
	Lineage  *log.Lineage
	Door     Door
	Workers  *workers.Pool
}

// Reply writes the response to a question, on any goroutine. body is JSON, an
// object.
type Reply interface {
	AppendBody(dst, body []byte) []byte
	AppendError(dst []byte, err *refusal.Error) []byte
}

// Ask has a worker make the response, which costs about so many microseconds and
// comes through the door; or it returns why no worker has time.
func (d *Desk) Ask(who permit.Principal, ref loop.Ref, reply Reply, cost int, body func() []byte) *refusal.Error {
	return d.AskWhole(who, ref, reply, cost, func(dst []byte) []byte { return reply.AppendBody(dst, body()) })
}

// AskWhole is Ask for a whole response, which whole appends.
func (d *Desk) AskWhole(who permit.Principal, ref loop.Ref, reply Reply, cost int, whole func(dst []byte) []byte) *refusal.Error {
	return d.Workers.Try(&workers.Job{
		Share: who.Share, Session: who.Session, Cost: cost,
		Run: func() { d.Door.Answer(ref, whole(nil)) },
		Refuse: func(err *refusal.Error) {
			d.Workers.Tally().Refuse(err)
			d.Door.Answer(ref, reply.AppendError(nil, err))
		},
	})
}

// What questions cost, beside what they are about.
const (
	ChannelsCost = 1000
	historyCost  = 100
	presenceCost = 100
)

var errLimit = &refusal.Error{Status: 400, Code: "bad_limit", Message: "limit must be a number, 1 or more"}

// Members and channels of one page.
const (
	standardPage = 100 // where the request does not say
	largestPage  = 1000
)

// ParseLimit reads the size of a page of channels or members; it is as it was
// sent, empty for none.
func ParseLimit(b []byte) (int, *refusal.Error) { return parseLimit(b, standardPage, largestPage) }

func parseLimit(b []byte, standard, largest int) (int, *refusal.Error) {
	if len(b) == 0 {
		return standard, nil
	}
	n, err := subscribe.ParseCount(b)
	if err != nil || n < 1 {
		return 0, errLimit
	}
	return min(n, largest), nil
}
