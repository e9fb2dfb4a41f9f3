package token

import (
	"bytes"

	"peal/server/grant"
	"peal/server/ijson"
	"peal/server/mercure"
	"peal/server/pattern"
	"peal/server/refusal"
)

// Found in tokens of the Mercure protocol.
var (
	errMercure   = invalid("the claim mercure must be an object, in which publish and subscribe are arrays of topic selectors")
	errSelectors = invalid("a list of the claim mercure has more than 100 topic selectors, or one that is empty or longer than 1,024 bytes: use URI templates or *")
)

// mercure reads the claim that grants topics. The lists are subscribe and publish, by the
// index of actions; nil grants nothing, and so does an empty one. The payload becomes info.
func (c *claims) mercure(v ijson.Value) {
	var r ijson.Reader
	r.Start(v)
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		member := r.Value()
		switch name {
		case "subscribe", "publish":
			if member.IsNull() {
				continue
			}
			if len(member) == 0 || member[0] != '[' {
				c.fail(errMercure)
				continue
			}
			list := c.texts(member, mercure.MaxSelectors, errSelectors)
			if _, err := mercure.Compile(list); err != nil {
				c.fail(errSelectors)
			}
			c.lists[actionOf(name)] = list
		case "payload":
			c.info = string(member.Compact()) // as long as the token: MaxBytes
		}
	}
	if r.End() != nil {
		c.fail(errMercure)
	}
}

// topicScope is the scope of lists, as mercure has read them.
func topicScope(lists *[len(actions)][]string) (*grant.Scope, *refusal.Error) {
	var selectors [len(actions)]grant.Selectors
	for i, list := range lists {
		if len(list) == 0 {
			continue
		}
		compiled, err := mercure.Compile(list)
		if err != nil {
			return nil, errSelectors
		}
		selectors[i] = compiled
	}
	return grant.NewTopicScope(selectors[actionOf("subscribe")], selectors[actionOf("publish")]), nil
}

// optionalName reads a sub or jti that need not be there: one that cannot be the name of a
// user or token counts as absent. Libraries of other hubs accept any.
func optionalName(v ijson.Value, most int) string {
	name, ok := v.Text()
	if !ok || len(name) == 0 || len(name) > most || !pattern.IsPrintable(name) {
		return ""
	}
	return string(name)
}

// wholeSeconds cuts the fraction off a time: the common library of PHP signs with
// microseconds.
func wholeSeconds(v ijson.Value) ijson.Value {
	whole, fraction, ok := bytes.Cut(v, []byte{'.'})
	if !ok || len(fraction) > 9 || len(bytes.Trim(fraction, "0123456789")) > 0 {
		return v
	}
	return whole
}
