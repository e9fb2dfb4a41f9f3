package command

import (
	"peal/loop"
	"peal/server/look"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/talk"
)

// Found in questions.
var (
	errOneChannel = &refusal.Error{Status: 400, Code: "bad_channel", Message: "history and presence take one channel"}
	errAsking     = &refusal.Error{Status: 429, Code: "busy", Message: "a history or presence command is still running on this connection: wait for its reply"}
)

// one returns the channel of a command that takes one.
func (r *Room) one() (*names.Name, *refusal.Error) {
	if r.channels.Len() != 1 {
		return nil, errOneChannel
	}
	return r.channels.List()[0], nil
}

// history has a worker read the history of one channel.
func (r *Room) history(c loop.Client, l *talk.Language, cmd *talk.Command) *refusal.Error {
	n, err := r.one()
	if err != nil {
		return err
	}
	start, err := r.start(cmd)
	if err != nil {
		return err
	}
	h, err := look.NewHistory(n.Text(), start, cmd.Digits("limit"))
	if err != nil {
		return err
	}
	return r.ask(c, l, cmd, permit.History, h.Cost(), start.Behind, func() []byte { return r.Desk.History(h) })
}

// presence has a worker list the members of one channel.
func (r *Room) presence(c loop.Client, l *talk.Language, cmd *talk.Command) *refusal.Error {
	n, err := r.one()
	if err != nil {
		return err
	}
	after, err := cmd.Text("after")
	if err != nil {
		return err
	}
	limit, err := look.ParseLimit(cmd.Digits("limit"))
	if err != nil {
		return err
	}
	from := string(after)
	return r.ask(c, l, cmd, permit.Presence, look.MembersCost(limit), false, func() []byte { return r.Desk.Members(n.Text(), from, limit) })
}

// ask has a worker make the object of the reply, if the client may have it. behind is
// permit.Request.Behind.
func (r *Room) ask(c loop.Client, l *talk.Language, cmd *talk.Command, a permit.Action, cost int, behind bool, body func() []byte) *refusal.Error {
	q := r.request(c, a)
	q.Behind = behind
	if err := r.decide(&q); err != nil {
		return err
	}
	if !c.Ask() {
		return errAsking
	}
	ref := c.Ref()
	ref.Asked = true
	if err := r.Desk.Ask(q.Who, ref, replyTo(l, cmd), cost, body); err != nil {
		c.Unask()
		return err
	}
	return nil
}
