package session

import "encoding/base64"

// ID is the name of a session. The zero value is none.
type ID [16]byte

// TextBytes is the length of an ID in text.
const TextBytes = 22

// encoding accepts one text for each ID: what is left of the last character must be 0.
var encoding = base64.RawURLEncoding.Strict()

// Parse reads an ID; ok is false if the text is none. It does not allocate.
func Parse(text []byte) (id ID, ok bool) {
	if len(text) != TextBytes {
		return ID{}, false
	}
	n, err := encoding.Decode(id[:], text)
	if err != nil || n != len(id) || id.IsZero() {
		return ID{}, false
	}
	return id, true
}

// IsZero reports whether id is none.
func (id ID) IsZero() bool { return id == ID{} }

// Append appends the text of id.
func (id ID) Append(dst []byte) []byte { return encoding.AppendEncode(dst, id[:]) }

// String is the text of id.
func (id ID) String() string { return string(id.Append(nil)) }

// HeaderName is the header of a response that has the ID of its client.
const HeaderName = "Peal-Session"

// HeaderBytes is the length of a header line with an ID.
const HeaderBytes = len(HeaderName+": \r\n") + TextBytes

// AppendHeader appends the header line with id.
func (id ID) AppendHeader(dst []byte) []byte {
	dst = append(dst, HeaderName+": "...)
	return append(id.Append(dst), "\r\n"...)
}
