package durable

import (
	"strconv"
	"time"

	"peal/server/log"
	"peal/server/refusal"
	"peal/server/response"
)

// Page is a response with a part of a stream, or with none. The caller sets the fields
// of its Head that concern the connection.
type Page struct {
	response.Head
	Content  Content
	From     log.Cursor // what the reader has; zero: nothing
	Next     log.Cursor // where the next request goes on
	UpToDate bool       // there is nothing after Next
	Live     bool       // a long poll: without messages it is 204
	Now      bool       // it begins at the tail, so it is about a moment and has no ETag
	HeadOnly bool       // without the body, but with its length
	Match    []byte     // If-None-Match of the request
	Time     time.Time  // the present one
}

// Nosniff keeps what was published from running as a page of this origin (section 10.7).
const Nosniff = "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: cross-origin\r\n"

// exposed are the headers that scripts of other origins may read.
const exposed = "Stream-Next-Offset, Stream-Cursor, Stream-Up-To-Date, ETag"

// Exposed is the header line that lets scripts of other origins read those of a stream.
const Exposed = "Access-Control-Expose-Headers: " + exposed + "\r\n"

// Append appends the response; messages are those of Content.Encode, oldest first.
func (p Page) Append(dst []byte, messages [][]byte) []byte {
	tag := p.tag()
	p.Status, p.Type, p.Size = 200, p.Content.Type(), p.Content.bodyBytes(messages)
	switch {
	case p.Live && len(messages) == 0:
		p.Status, p.Type, p.Size = 204, "", 0
	case tag != "" && string(p.Match) == tag:
		p.Status, p.Type, p.Size = 304, "", 0
	}
	// A page that ends where there was more will always be the same; one that ends at the
	// tail grows. Shared caches keep none, because access depends on the request.
	caching := response.NoStore
	if !p.UpToDate && !p.Now {
		caching = "Cache-Control: private, max-age=60, stale-while-revalidate=300\r\n"
	} else if tag != "" && p.Status != 204 {
		caching = "Cache-Control: private, no-cache\r\n"
	}
	p.Lines = caching + Nosniff
	dst = p.AppendLines(dst)
	dst = append(dst, "Stream-Next-Offset: "...)
	dst = AppendOffset(dst, p.Next)
	dst = append(dst, "\r\nStream-Cursor: "...)
	dst = strconv.AppendInt(dst, Cursor(p.Time), 10)
	dst = append(dst, "\r\n"...)
	if p.UpToDate {
		dst = append(dst, "Stream-Up-To-Date: true\r\n"...)
	}
	if tag != "" && p.Status != 204 {
		dst = append(append(append(dst, "ETag: "...), tag...), "\r\n"...)
	}
	if p.Origin != "" {
		dst = append(dst, Exposed...)
	}
	dst = response.End(dst)
	if p.HeadOnly || p.Status != 200 {
		return dst
	}
	return p.Content.appendBody(dst, messages)
}

// tag is the entity tag of the page: where it begins, where it ends, and what of.
func (p *Page) tag() string {
	if p.Now || p.HeadOnly {
		return ""
	}
	dst := append([]byte{'"'}, p.Content.String()...)
	dst = AppendOffset(append(dst, ':'), p.From)
	dst = AppendOffset(append(dst, ':'), p.Next)
	return string(append(dst, '"'))
}

// Found in offsets.
var (
	ErrBadOffset = refusal.Bad("bad_offset", "offset must be one that this server has given out (Stream-Next-Offset, streamNextOffset), -1 or now, and be there once")

	// ErrGone: see section 5.5 of the protocol.
	ErrGone = &refusal.Error{Status: 410, Code: "offset_gone", Message: "messages after this offset are no longer retained, or another server has given it out: begin with offset=-1, and take it that messages are missing"}
)

// AppendGone appends the response with ErrGone to a long poll.
func AppendGone(dst []byte, h response.Head, headOnly bool) []byte {
	body := ErrGone.AppendJSON(nil)
	h.Status, h.Type, h.Size, h.Lines = ErrGone.Status, response.JSON, len(body), response.NoStore+Nosniff
	if dst = h.Append(dst); headOnly {
		return dst
	}
	return append(dst, body...)
}
