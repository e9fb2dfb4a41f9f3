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

// detailType is the type of the details that are Mercure's; others are ignored.
const detailType = "https://mercure.rocks/authorization-detail"

var errDetails = invalid("authorization_details of " + detailType + " must be objects with actions and topics, arrays that are not empty; a topic has match, and match_type is exact or urlpattern")

// details reads the claim of Mercure 1.0 that grants topics, as mercure does the one before.
func (c *claims) details(v ijson.Value) {
	var r ijson.Reader
	r.Start(v)
	for r.Enter('['); r.More(); {
		c.detail(r.Value())
	}
	if r.End() != nil {
		c.fail(errDetails)
	}
	for _, list := range c.lists {
		if len(list) > mercure.MaxSelectors {
			c.fail(errSelectors)
		} else if _, err := mercure.Compile(list); err != nil {
			c.fail(errSelectors)
		}
	}
}

// detail reads one of them. Actions that are not known grant nothing.
func (c *claims) detail(v ijson.Value) {
	members := map[string]ijson.Value{}
	var r ijson.Reader
	r.Start(v)
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		members[name] = r.Value()
	}
	if r.End() != nil {
		c.fail(errDetails)
		return
	}
	if kind, _ := members["type"].Text(); string(kind) != detailType {
		return
	}
	if len(members["actions"]) == 0 || members["actions"][0] != '[' || len(members["topics"]) == 0 {
		c.fail(errDetails)
		return
	}
	topics := c.matchers(members["topics"])
	all := c.texts(members["actions"], mercure.MaxSelectors, errDetails)
	if len(all) == 0 {
		c.fail(errDetails)
	}
	for _, name := range all {
		if name == "subscribe" || name == "publish" {
			c.lists[actionOf(name)] = append(c.lists[actionOf(name)], topics...)
		}
	}
	if payload := members["payload"]; len(payload) > 0 && c.info == "" {
		c.info = string(payload.Compact())
	}
}

// matchers are the topics of a detail as selectors. A pattern of URLs grants nothing, as
// long as Peal cannot match it, and neither does a topic with braces: among selectors it would
// be a template.
func (c *claims) matchers(v ijson.Value) (topics []string) {
	var r ijson.Reader
	r.Start(v)
	n := 0
	for r.Enter('['); r.More(); n++ {
		var one ijson.Reader
		var match, kind []byte
		ok := true
		one.Start(r.Value())
		for one.Enter('{'); one.More(); {
			name := string(one.Name())
			value := one.Value()
			switch name {
			case "match":
				match, ok = value.Text()
			case "match_type":
				var is bool
				kind, is = value.Text()
				ok = ok && is && (string(kind) == "exact" || string(kind) == "urlpattern")
			}
		}
		if one.End() != nil || !ok || len(match) == 0 {
			c.fail(errDetails)
			continue
		}
		if string(match) == "*" || string(kind) != "urlpattern" && !bytes.ContainsAny(match, "{}") {
			topics = append(topics, string(match))
		}
	}
	if r.End() != nil || n == 0 {
		c.fail(errDetails)
	}
	return topics
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
