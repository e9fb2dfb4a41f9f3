package httpapi

import (
	"peal/server/ascii"
	"peal/server/ijson"
	"peal/server/refusal"
)

// argument is one of an order to the server (POST /disconnect, /revoke): a parameter of
// the query, a field of a form, or a member of a JSON object.
type argument struct {
	name string

	// list: it may be there several times, in the spellings of PHP too, and is an array in
	// JSON. Otherwise it is one value, in JSON a string or a number.
	list bool

	// take takes one value, which is lent until the order is read.
	take func(value []byte) *refusal.Error

	// Of a list in JSON: none is the error for an empty one, wrong for what is neither a
	// string nor an array of strings, and for the name with an s, a mistake that is
	// refused, not guessed at.
	none, wrong *refusal.Error
}

// maxArguments is how many an order may have.
const maxArguments = 4

// arguments reads the query, and the body if it is a form or JSON. Others are ignored.
func (x *exchange) arguments(all []argument) *refusal.Error {
	take := func(key, value []byte) *refusal.Error {
		for i := range all {
			if a := &all[i]; string(key) == a.name || a.list && isElementKey(key, a.name+"[") {
				return a.take(value)
			}
		}
		return nil
	}
	x.args.ParseBytes(x.head.Query)
	for key, value := range x.args.All() {
		if err := take(key, value); err != nil {
			return err
		}
	}
	switch media := mediaType(x.contentType()); {
	case ascii.EqualFold(media, "application/x-www-form-urlencoded"):
		x.form.ParseBytes(x.body)
		for key, value := range x.form.All() {
			if err := take(key, value); err != nil {
				return err
			}
		}
	case ascii.EqualFold(media, "multipart/form-data"):
		return x.eachPart(take)
	case ascii.EqualFold(media, "application/json"):
		return jsonArguments(&x.json, x.body, all)
	}
	return nil
}

// jsonArguments takes the members of a JSON object. Without a body there is none.
func jsonArguments(r *ijson.Reader, body []byte, all []argument) *refusal.Error {
	if len(body) == 0 {
		return nil
	}
	var values [maxArguments]ijson.Value
	var plural *refusal.Error
	r.Start(body)
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		value := r.Value()
		for i := range all {
			switch a := &all[i]; {
			case name == a.name:
				values[i] = value
			case a.list && name == a.name+"s":
				plural = a.wrong
			}
		}
	}
	if err := r.End(); err != nil {
		return refusal.OfJSON(err)
	}
	if plural != nil {
		return plural
	}
	for i := range all {
		if err := all[i].json(r, values[i]); err != nil {
			return err
		}
	}
	return nil
}

// json takes the value of a member, nil if there is none.
func (a *argument) json(r *ijson.Reader, value ijson.Value) *refusal.Error {
	if !a.list {
		if value == nil || value.IsNull() {
			return nil
		}
		text, ok := value.Text()
		if !ok {
			text = value
		}
		return a.take(text)
	}
	texts, err := ijson.AppendTexts(nil, r, value)
	switch {
	case err == ijson.ErrNoTexts:
		return a.none
	case err != nil:
		return a.wrong
	}
	for _, text := range texts {
		if err := a.take(text); err != nil {
			return err
		}
	}
	return nil
}
