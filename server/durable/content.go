package durable

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"peal/server/log"
	"peal/server/publication"
)

// Content is what a stream consists of.
type Content uint8

const (
	JSON  Content = iota // an array with an element for each message
	Text                 // the data of all messages, UTF-8; base64 where it is none
	Bytes                // the same, of any kind
)

// Contents are all, in the order of the rows of a dialect table.
var Contents = [...]Content{JSON, Text, Bytes}

// String is the name of c in the query of a request.
func (c Content) String() string { return [...]string{"json", "text", "bytes"}[c] }

// ParseContent returns the content of that name; empty is JSON.
func ParseContent(b []byte) (c Content, ok bool) {
	if len(b) == 0 {
		return JSON, true
	}
	for _, c := range Contents {
		if string(b) == c.String() {
			return c, true
		}
	}
	return 0, false
}

// Type is the media type of a stream.
func (c Content) Type() string {
	return [...]string{"application/json", "text/plain; charset=utf-8", "application/octet-stream"}[c]
}

// appendElement appends the element of e in a stream of JSON: its data if that is JSON,
// else a string with it; of bytes that are no text, a string of base64.
func appendElement(dst []byte, e *log.Entry) []byte {
	switch {
	case !publication.IsText(e):
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		return append(dst, '"')
	case json.Valid(e.Data):
		return append(dst, e.Data...)
	}
	return publication.AppendString(dst, e.Data)
}

// Encode returns the bytes of e in a page of a stream, without what separates it from the
// others.
func (c Content) Encode(e *log.Entry) []byte {
	switch {
	case c == JSON:
		return appendElement(make([]byte, 0, len(e.Data)+2), e)
	case c == Text && !publication.IsText(e):
		return base64.StdEncoding.AppendEncode(nil, e.Data)
	}
	return e.Data
}

// appendBody appends the body of a page with those messages.
func (c Content) appendBody(dst []byte, messages [][]byte) []byte {
	if c != JSON {
		return append(dst, bytes.Join(messages, nil)...)
	}
	dst = append(dst, '[')
	dst = append(dst, bytes.Join(messages, []byte{','})...)
	return append(dst, ']')
}

// bodyBytes is the length of what appendBody appends.
func (c Content) bodyBytes(messages [][]byte) (n int) {
	for _, m := range messages {
		n += len(m)
	}
	if c == JSON {
		n += len("[]") + max(0, len(messages)-1)
	}
	return n
}
