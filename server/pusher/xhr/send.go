package xhr

import (
	"bytes"

	"peal/server/ijson"
	"peal/server/refusal"
)

var errSend = &refusal.Error{Status: 400, Code: "bad_json", Message: "the body must be an array of at most 64 strings, each a message of the Pusher protocol"}

// ParseSend returns copies of the messages in the body of a request, an array of strings; none
// for the answer to a sign of life.
func ParseSend(r *ijson.Reader, body []byte) ([][]byte, *refusal.Error) {
	var all [][]byte
	r.Start(body)
	for r.Enter('['); r.More(); {
		text, ok := r.Value().Text()
		if !ok || len(all) == maxWaiting {
			return nil, errSend
		}
		all = append(all, bytes.Clone(text))
	}
	if err := r.End(); err != nil {
		return nil, errSend
	}
	return all, nil
}
