package command

import (
	"strings"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/log"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/talk"
	"peal/server/tally"
)

// publish appends to each of the channels; the reply has the last cursor.
func (r *Room) publish(c loop.Client, l *talk.Language, cmd *talk.Command) *refusal.Error {
	var m publish.Message
	for _, field := range publish.Fields[1:] { // the channels are known
		m.Set(field, cmd.Value(field))
	}
	d, err := m.Draft()
	if err != nil {
		return err
	}
	if err := d.Check(); err != nil {
		return err
	}
	q := r.request(c, permit.Publish)
	q.Data, q.Binary, q.Event = d.Data, d.Binary, d.Event
	if err := r.decide(&q); err != nil {
		return err
	}
	d.Data, d.Binary = q.Data, q.Binary
	if len(d.Key) > 0 {
		d.Publisher = r.Gate.Publisher(&q.Who)
	}
	c.Spend(publish.EntryWork * r.channels.Len())
	a := r.publication()
	a.Ref, a.By, a.language, a.id = c.Ref(), q.Who.Share, l, append(a.id[:0], cmd.ID...)
	out, later := a.Publish(r.out[:0], &d, r.channels.List())
	if later {
		r.free = nil
		c.Owe()
		return nil
	}
	r.out = out
	c.Write(out)
	return nil
}

// publication is one message on its way, and the reply to its command. It is used
// again unless the log is done with it later.
type publication struct {
	publish.Append
	reply
}

// publication returns the free one.
func (r *Room) publication() *publication {
	if r.free == nil {
		r.free = &publication{Append: publish.Append{To: r.Target, Way: tally.WebSocket, Counter: r.Counts}}
		r.free.Reply = &r.free.reply
	}
	return r.free
}

// raw publishes a message of a raw WebSocket client.
func (r *Room) raw(c loop.Client, binary bool, payload []byte) (code uint16, reason string) {
	channel := strings.TrimPrefix(c.PublishTo(), log.PresencePrefix) // beside its one channel it may have that one's presence
	if channel == "" {
		return frame.CloseForbidden, "this connection has several channels: publish over HTTP, or connect to one channel"
	}
	r.channels.Reset(r.Names, 1)
	r.channels.AddKnown(channel)
	q := r.request(c, permit.Publish)
	q.Data, q.Binary = payload, binary
	if err := r.decide(&q); err != nil {
		if r.parks(err, c, binary, payload) {
			return 0, ""
		}
		return r.refuse(err)
	}
	d := publish.Draft{Data: q.Data, Binary: q.Binary}
	if err := r.Target.Forget(&d, r.channels.List(), r.forgotten(c)); err != nil {
		return r.refuse(err)
	}
	r.Counts.Accept(tally.WebSocket, 1)
	return 0, ""
}

// forgotten ends the connection of a raw WebSocket whose message was lost in the store of
// the log: no other notice exists for it. nil for a log on a disk, whose faults its operator
// hears of.
func (r *Room) forgotten(c loop.Client) func(*refusal.Error) {
	if !r.Target.Remote {
		return nil
	}
	ref, door := c.Ref(), r.Door
	return func(err *refusal.Error) {
		door.Do(ref, func(c loop.Client) { c.Close(err.CloseCode(), err.Code+": "+err.Message) })
	}
}

// refuse counts the refusal of a raw message and says it as a close.
func (r *Room) refuse(err *refusal.Error) (code uint16, reason string) {
	r.Counts.Refuse(err)
	return err.CloseCode(), err.Message
}
