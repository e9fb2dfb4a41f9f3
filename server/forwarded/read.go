package forwarded

import (
	"bytes"
	"errors"
	"net/netip"

	"peal/server/ascii"
)

// maxHops is how many trusted proxies one behind another are looked through. Behind
// that the farthest one counts as the client, so that no list costs more.
const maxHops = 32

// Client is who sent a request to the first of the trusted proxies.
type Client struct {
	// Addr is its address. Not valid: the head names nobody, and the client is who is
	// at the other end of the connection. The port is 0 where it was not sent.
	Addr netip.AddrPort

	// HTTPS is whether it came there over TLS, by the proto of Forwarded, or the last
	// value of X-Forwarded-Proto.
	HTTPS bool
}

// ErrConflict: X-Forwarded-For and Forwarded name different clients. A proxy writes one
// of them and passes on the other, which then anybody could have written.
var ErrConflict = errors.New("forwarded: X-Forwarded-For and Forwarded name different clients")

// Read returns the client behind the trusted proxies. head is the head of a request in
// lines that end with CR LF and are not folded. Other headers are not read: not
// X_Forwarded_For, X-Real-IP or X-Forwarded-Host.
//
// It looks at each byte of the head a few times at most, keeps none, and allocates a
// little for each address.
func Read(head []byte, t *Trusted) (Client, error) {
	x, f := walk{trusted: t}, walk{trusted: t}
	var https, hasProto bool
	for end := len(head); end > 0; {
		var line []byte
		line, end = lastLine(head, end)
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		switch len(name) {
		case len("forwarded"):
			if ascii.EqualFold(name, "forwarded") {
				f.forwarded(value)
			}
		case len("x-forwarded-for"):
			if ascii.EqualFold(name, "x-forwarded-for") {
				x.plain(value)
			}
		case len("x-forwarded-proto"):
			if !hasProto && ascii.EqualFold(name, "x-forwarded-proto") {
				_, last := cutLast(value)
				https, hasProto = isHTTPS(last), true
			}
		}
	}
	c := Client{x.client, f.https}
	if hasProto {
		c.HTTPS = https
	}
	if f.named {
		if x.named && x.client.Addr() != f.client.Addr() {
			return Client{}, ErrConflict
		}
		c.Addr = f.client
	}
	return c, nil
}

// lastLine returns the last line of head[:end], without its end, and where it begins.
func lastLine(head []byte, end int) (line []byte, begin int) {
	begin = bytes.LastIndexByte(head[:end-1], '\n') + 1
	return bytes.TrimRight(head[begin:end], "\r\n"), begin
}

// walk goes through the elements of one kind of header from the right to the left.
type walk struct {
	trusted *Trusted
	client  netip.AddrPort // the last address on the way
	https   bool           // Forwarded: the proto of the last element on the way
	named   bool           // there was an element that names somebody, understood or not
	ended   bool
	hops    int
}

// plain goes through a line of X-Forwarded-For. Empty elements are none (RFC 9110
// §5.6.1.2).
func (w *walk) plain(list []byte) {
	for len(list) > 0 && !w.ended {
		var item []byte
		if list, item = cutLast(list); len(item) == 0 {
			continue
		}
		w.named = true
		w.step(parseNode(bytes.Trim(item, `"`), true))
	}
}

// step takes one address on the way.
func (w *walk) step(a netip.AddrPort, ok bool) {
	if !ok {
		w.ended = true
		return
	}
	w.client = a
	w.hops++
	w.ended = w.hops == maxHops || !w.trusted.Has(a.Addr())
}

// cutLast cuts the last element off a list without quoted strings.
func cutLast(list []byte) (rest, item []byte) {
	if i := bytes.LastIndexByte(list, ','); i >= 0 {
		rest, list = list[:i], list[i+1:]
	}
	return rest, bytes.Trim(list, " \t")
}

func isHTTPS(proto []byte) bool {
	return ascii.EqualFold(proto, "https") || ascii.EqualFold(proto, "wss")
}
