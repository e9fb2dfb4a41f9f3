package httpapi

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"peal/server/ijson"
	"peal/server/spelling"
)

// The default channel is for a request that names none and says nothing that is
// not documented. With anything else in it a name was misspelt, or meant for
// somebody else, and what was meant for one channel would reach everybody on
// another. Beside a named channel an unknown parameter does no harm: proxies and
// trackers add theirs.

// Parameters of the routes that have a default channel.
var (
	subscribeParameters = []string{
		"channel", "cursor", "lastEventId", "lastEventID", "last_event_id", "Last-Event-ID", "last-event-id",
		"last", "format", "timeout", "client", "info", "presence", "gap",
	}
	publishParameters = []string{"channel", "event", "idempotency_key"}
)

// added are parameters that client libraries add to any URL against caches and
// buffers (jQuery, engine.io and its kin, event-source-polyfill): they say nothing.
var added = []string{"_", "t", "padding"}

// stray refuses a request that names no channel if its query has a parameter
// that is not known. near is only about those that look like one that is.
func (f *Front) stray(known []string, near bool) error {
	if len(f.picked) > 0 {
		return nil
	}
	var first []byte
	found := 0
	for key := range f.args.All() {
		if slices.Contains(known, string(key)) || slices.Contains(added, string(key)) || isChannelKey(key) {
			continue
		}
		if nearest(key, known) != "" {
			return strayParameter(key, known)
		}
		if found == 0 {
			first = key
		}
		if found++; found == maxSlips {
			break
		}
	}
	if found == 0 || near {
		return nil
	}
	return strayParameter(first, known)
}

func strayParameter(name []byte, known []string) *Error {
	return &Error{Status: 400, Code: "unknown_parameter", Message: strayMessage("parameter", name, known)}
}

// strayField refuses a message that names no channel if it has a field that is
// not known.
func strayField(name []byte) error {
	if name == nil {
		return nil
	}
	return &Error{Status: 400, Code: "unknown_field", Message: strayMessage("field", name, messageFields)}
}

func strayMessage(kind string, name []byte, known []string) string {
	meant := "name a channel, or remove it to use main"
	if k := nearest(name, known); k != "" {
		meant = "did you mean " + k + "?"
	}
	return fmt.Sprintf("%s is an unknown %s, and no channel is named: %s", quoted(name), kind, meant)
}

// Limits of the search for similar names: each comparison takes time, and a
// request may have thousands of names.
const (
	maxSlip  = 40 // bytes of an unknown name
	maxSlips = 16 // such names
)

func nearest(name []byte, known []string) string {
	if len(name) > maxSlip {
		return ""
	}
	return spelling.Nearest(string(name), known)
}

// quoted is a name of the client's in a sentence.
func quoted(name []byte) string {
	text := string(name)
	if len(text) > maxSlip {
		text = text[:maxSlip] + "…"
	}
	return `"` + strings.ToValidUTF8(text, "?") + `"`
}

// textSlip refuses a body that is data by its Content-Type, names no channel,
// and is the JSON of a message or of a list of them, complete or cut off, behind a
// byte order mark or not: its channel would be ignored.
func textSlip(r *ijson.Reader, body []byte) error {
	first := bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\ufeff")), "[ \t\r\n")
	if len(first) == 0 || first[0] != '{' {
		return nil
	}
	r.Start(first)
	r.Enter('{')
	for n := 0; n < maxSlips && r.More(); n++ { // a message has fewer fields
		switch name := r.Name(); {
		case slices.Contains([]string{"channels", "data", "data_base64", "messages"}, string(name)), nearest(name, messageFields[:1]) != "":
			return errTextSlip
		}
		r.Value()
	}
	return nil // some other text; it may be JSON or not
}

// formSlip refuses a form without data that names no channel. It is a form, and
// not text that somebody calls so (curl -d does), if each part of it is name=value.
func formSlip(body []byte) error {
	for part := range bytes.SplitSeq(body, []byte("&")) {
		name, _, ok := bytes.Cut(part, []byte("="))
		if !ok || len(name) == 0 || len(bytes.Trim(name, letters+digits+"_-.[]%")) > 0 {
			return nil
		}
	}
	return errFormSlip
}

// contradiction refuses an ambiguous request.
func contradiction(what, change string) *Error {
	return &Error{Status: 400, Code: "contradiction", Message: what + ": " + change}
}

// Found where no channel is named.
var (
	errNoChannels = &Error{Status: 400, Code: "bad_channel", Message: `the list of channels is empty: name at least one, or remove the field to use "main"`}
	errTextSlip   = &Error{Status: 400, Code: "bad_content_type", Message: `the body looks like a message in JSON, but its Content-Type is not JSON: send Content-Type: application/json, or name the channel in the query to publish it as it is`}
	errFormSlip   = &Error{Status: 400, Code: "no_data", Message: "the form has no field data, and no channel is named: send channel=…&data=…, or name the channel in the query to publish the body as it is"}
	errNotMessage = &Error{Status: 400, Code: "bad_json", Message: `without a channel in the query a JSON body must be a message: {"channel":…,"data":…}; name the channel in the query to publish any JSON as it is`}
)
