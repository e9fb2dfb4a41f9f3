package rest

import (
	"slices"
	"time"

	"peal/server/app"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/look"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/publish"
	"peal/server/refusal"
)

// Call is one POST of events, or of a batch of them. Its events are published together or
// not at all.
type Call struct {
	// Fixed before Run. Reply of Append is set by Run.
	publish.Append
	View     View
	Signed   app.Request
	Now      time.Time
	Batch    bool
	Gate     *permit.Gate
	Names    *names.Cache   // of the goroutine that runs it
	Request  permit.Request // whose it is; Run sets what differs between events
	Response look.Reply

	Traceparent []byte // header of the request; the Call's own

	events []*Event
	items  []publish.Item
}

// Run verifies, reads and publishes, and appends the response to dst, if it is known at
// once. Else later is true: the response comes through the door.
func (c *Call) Run(dst []byte) (out []byte, later bool) {
	c.Reply = c
	if err := c.read(); err != nil {
		return c.Refuse(dst, err), false
	}
	return c.PublishAll(dst, c.items)
}

// Refuse appends the response that nothing was published.
func (c *Call) Refuse(dst []byte, err *refusal.Error) []byte {
	c.To.Tally.Refuse(err)
	return c.Response.AppendError(dst, err)
}

// Work is what the publication costs a loop, in units of loop.Call.Work.
func (c *Call) Work() (units int) {
	for i := range c.items {
		units += publish.EntryWork * len(c.items[i].Channels)
	}
	return units
}

// read makes the items, in the order of checks that the service has: signature, form,
// then what package permit decides.
func (c *Call) read() (err *refusal.Error) {
	if err := Verify(c.View.App, c.Signed, c.Now); err != nil {
		return err
	}
	var r ijson.Reader
	if c.Batch {
		c.events, err = ParseBatch(&r, c.Signed.Body)
	} else {
		var e *Event
		e, err = ParseEvent(&r, c.Signed.Body)
		c.events = append(c.events, e)
	}
	if err != nil {
		return err
	}
	var set names.Set
	for _, e := range c.events {
		set.Reset(c.Names, maxChannels)
		for _, name := range e.Channels {
			if err := set.Add(append([]byte(c.View.App.Namespace), name...)); err != nil {
				return err
			}
		}
		c.Request.Channels, c.Request.Data, c.Request.Binary = set.List(), e.Draft.Data, e.Draft.Binary
		if err := c.Gate.Decide(&c.Request); err != nil {
			return err
		}
		e.Draft.SetTraceparent(c.Traceparent)
		c.items = append(c.items, publish.Item{Draft: &e.Draft, Channels: slices.Clone(set.List())})
	}
	return nil
}

// AppendResults implements publish.Reply.
func (c *Call) AppendResults(dst []byte, _ *log.Lineage, results []publish.Result) []byte {
	for i := range results {
		if _, _, err := results[i].Outcome(); err != nil {
			return c.Response.AppendError(dst, err)
		}
	}
	return c.Response.AppendBody(dst, c.body())
}

// AppendError implements publish.Reply.
func (c *Call) AppendError(dst []byte, err *refusal.Error) []byte {
	return c.Response.AppendError(dst, err)
}

// body is an empty object, or the numbers that were asked for:
// {"channels":{NAME:{…},…}}, of a batch {"batch":[{…},…]}.
func (c *Call) body() []byte {
	if !slices.ContainsFunc(c.events, func(e *Event) bool { return e.Wish != 0 }) {
		return []byte("{}")
	}
	if !c.Batch {
		return c.View.appendChannels([]byte(`{"channels":{`), c.items[0].Channels, c.events[0].Wish)
	}
	body := []byte(`{"batch":[`)
	for i, e := range c.events {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(c.View.appendCounts(body, c.View.name(c.items[i].Channels[0]), e.Wish), '}')
	}
	return append(body, "]}"...)
}
