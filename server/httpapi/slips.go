package httpapi

import (
	"bytes"
	"slices"

	"peal/server/ijson"
	"peal/server/names"
	"peal/server/publish"
	"peal/server/refusal"
)

// textSlip refuses a body that is data by its Content-Type, names no channel,
// and is the JSON of a message or of a list of them, complete or cut off, behind a
// byte order mark or not: its channel would be ignored.
func textSlip(r *ijson.Reader, body []byte) *refusal.Error {
	first := bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\ufeff")), "[ \t\r\n")
	if len(first) == 0 || first[0] != '{' {
		return nil
	}
	r.Start(first)
	r.Enter('{')
	for n := 0; n < maxSlips && r.More(); n++ { // a message has fewer fields
		switch name := r.Name(); {
		case slices.Contains([]string{"channels", "data", "data_base64", "messages"}, string(name)), names.Nearest(name, publish.Fields[:1]) != "":
			return errTextSlip
		}
		r.Value()
	}
	return nil // some other text; it may be JSON or not
}

// formSlip refuses a form without data that names no channel. It is a form, and
// not text that somebody calls so (curl -d does), if each part of it is name=value.
func formSlip(body []byte) *refusal.Error {
	for part := range bytes.SplitSeq(body, []byte("&")) {
		name, _, ok := bytes.Cut(part, []byte("="))
		if !ok || len(name) == 0 || len(bytes.Trim(name, letters+digits+"_-.[]%")) > 0 {
			return nil
		}
	}
	return errFormSlip
}

// Found where no channel is named.
var (
	errTextSlip   = &refusal.Error{Status: 400, Code: "bad_content_type", Message: `the body looks like a message in JSON, but its Content-Type is not JSON: send Content-Type: application/json, or name the channel in the query to publish it as it is`}
	errFormSlip   = &refusal.Error{Status: 400, Code: "no_data", Message: "the form has no field data, and no channel is named: send channel=…&data=…, or name the channel in the query to publish the body as it is"}
	errNotMessage = &refusal.Error{Status: 400, Code: "bad_json", Message: `without a channel in the query a JSON body must be a message: {"channel":…,"data":…}; name the channel in the query to publish any JSON as it is`}
)
