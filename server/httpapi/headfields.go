package httpapi

import (
	"bytes"

	"peal/server/ascii"
	"peal/server/refusal"
)

// take keeps what the header name says, if it is one of those that matter here.
func (h *Head) take(name, value []byte) *refusal.Error {
	switch len(name) {
	case len("host"):
		if ascii.EqualFold(name, "host") {
			return h.takeHost(value)
		}
	case len("accept"): // also origin, expect
		if ascii.EqualFold(name, "accept") {
			return nil
		}
		if ascii.EqualFold(name, "origin") {
			if h.Origin != nil {
				return errOriginTwice
			}
			h.Origin = value
			return nil
		} else if ascii.EqualFold(name, "expect") {
			if ascii.EqualFold(value, "100-continue") {
				h.Continue = true
			} else {
				h.Expectation = true
			}
		}
	case len("upgrade"):
		if ascii.EqualFold(name, "upgrade") {
			eachToken(value, func(token []byte) {
				h.websocketToken = h.websocketToken || ascii.EqualFold(token, "websocket")
			})
			return nil
		}
	case len("connection"): // also user-agent
		if ascii.EqualFold(name, "user-agent") {
			return nil
		}
		if ascii.EqualFold(name, "connection") {
			h.takeConnection(value)
			return nil
		}
	case len("content-type"):
		if h.ContentType == nil && ascii.EqualFold(name, "content-type") {
			h.ContentType = value
			return nil
		}
	case len("authorization"):
		if h.Authorization == nil && ascii.EqualFold(name, "authorization") {
			h.Authorization = value
			return nil
		}
	case len("content-length"): // also sec-fetch-site
		if ascii.EqualFold(name, "content-length") {
			return h.takeContentLength(value)
		}
		if ascii.EqualFold(name, "sec-fetch-site") {
			h.Site = value
			return nil
		}
	case len("forwarded"):
		h.forwarding = h.forwarding || ascii.EqualFold(name, "forwarded")
	case len("accept-encoding"): // also x-forwarded-for
		if ascii.EqualFold(name, "accept-encoding") {
			return nil
		}
		h.forwarding = h.forwarding || ascii.EqualFold(name, "x-forwarded-for")
	case len("transfer-encoding"): // also x-forwarded-proto
		if ascii.EqualFold(name, "x-forwarded-proto") {
			h.forwarding = true
		}
		if ascii.EqualFold(name, "transfer-encoding") {
			if h.Chunked || !ascii.EqualFold(value, "chunked") {
				return errTransferEncoding
			}
			h.Chunked = true
		}
	}
	if !h.Socket.take(name, value) && !isIdle(name) {
		h.Plain = false
	}
	return nil
}

// takeConnection reads the tokens of Connection, of which there may be several lines.
func (h *Head) takeConnection(value []byte) {
	if len(value) == len("keep-alive") && ascii.EqualFold(value, "keep-alive") {
		h.keepAliveToken = true
		return
	}
	eachToken(value, func(token []byte) {
		switch {
		case ascii.EqualFold(token, "close"):
			h.closeToken = true
		case ascii.EqualFold(token, "keep-alive"):
			h.keepAliveToken = true
		case ascii.EqualFold(token, "upgrade"):
			h.upgradeToken = true
		}
	})
}

// takeHost keeps the one Host (RFC 9112 §3.2). Two equal ones are refused too.
func (h *Head) takeHost(value []byte) *refusal.Error {
	if h.Host != nil || !isHost(value) {
		return errHost
	}
	h.Host = value
	return nil
}

// isHost reports whether b has the bytes of a host and port, and a host: without
// one, or with a user before it, it is not of http (RFC 9110 §4.2.1, §4.2.4).
func isHost(b []byte) bool {
	if len(b) == 0 || b[0] == ':' {
		return false
	}
	for _, c := range b {
		if !hostByte[c] {
			return false
		}
	}
	return true
}

// takeContentLength reads 1*DIGIT (RFC 9110 §8.6). Two equal ones may be taken
// for one, but need not be: they are refused.
func (h *Head) takeContentLength(value []byte) *refusal.Error {
	const maxDigits = 15
	if h.ContentLength >= 0 || len(value) == 0 || len(value) > maxDigits {
		return errContentLength
	}
	n := 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return errContentLength
		}
		n = n*10 + int(c-'0')
	}
	h.ContentLength = n
	return nil
}

// conclude checks what only the whole head shows.
func (h *Head) conclude() *refusal.Error {
	switch {
	case h.HTTP11 && h.Host == nil:
		return errHost
	case h.Chunked && h.ContentLength >= 0:
		return errBothLengths // RFC 9112 §6.3: smuggling
	case h.Chunked && !h.HTTP11:
		return errTransferEncoding // §6.1: faulty framing
	}
	if h.authority != nil {
		h.Host = h.authority
	}
	h.Upgrade = h.upgradeToken && h.websocketToken
	h.Close = h.closeToken || !h.HTTP11 && !h.keepAliveToken
	h.Continue = h.Continue && h.HTTP11 // RFC 9110 §10.1.1: of HTTP/1.0 it is ignored
	return nil
}

// eachToken calls f for each non-empty item of a comma list.
func eachToken(list []byte, f func(token []byte)) {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte{','})
		if item = bytes.Trim(item, " \t"); len(item) > 0 {
			f(item)
		}
	}
}
