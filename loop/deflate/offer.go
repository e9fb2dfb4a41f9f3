package deflate

import "strconv"

// Name is the name of the extension.
const Name = "permessage-deflate"

// Agreement is what was negotiated. The zero value is no compression.
type Agreement struct {
	Agreed     bool
	Window     Window
	serverBits uint8 // server_max_window_bits of the offer, 0 for none
}

// Negotiate chooses the first of the client's offers that the server can meet, by the
// value of Sec-WebSocket-Extensions, several lines joined with commas. A value that does
// not have the form of RFC 6455 §9.1 is no offer at all.
//
// An offer is declined if it has a parameter that RFC 7692 §7.1 does not define, one
// twice, a value where there must be none, or one that is not legal.
func Negotiate(offers []byte) (a Agreement) {
	p := parser{rest: offers}
	for p.more() {
		offered, ok := p.offer()
		if p.failed {
			return Agreement{}
		}
		if ok && !a.Agreed {
			a = offered // the rest must still be well-formed
		}
	}
	return a
}

// AppendLine appends the header line of the response, nothing for no compression.
//
// Neither side keeps what it has sent or received as context: the server could not share
// its messages otherwise, and would need a window for each connection to inflate what it
// receives. An offer that the server asks for no context is not needed for that (§7.1.1).
func (a Agreement) AppendLine(dst []byte) []byte {
	if !a.Agreed {
		return dst
	}
	dst = append(dst, "Sec-WebSocket-Extensions: "+Name+"; server_no_context_takeover; client_no_context_takeover"...)
	if a.serverBits > 0 {
		dst = append(dst, "; server_max_window_bits="...)
		dst = strconv.AppendUint(dst, uint64(a.serverBits), 10)
	}
	return append(dst, "\r\n"...)
}

// parser reads a list of extensions (RFC 6455 §9.1):
//
//	extension-list  = 1#extension
//	extension       = token *( ";" extension-param )
//	extension-param = token [ "=" (token | quoted-string) ]
//
// The text of a quoted string must be a token, too.
type parser struct {
	rest   []byte
	failed bool
}

// more skips empty items (RFC 9110 §5.6.1.2) and reports whether an extension follows.
func (p *parser) more() bool {
	for p.space(); len(p.rest) > 0 && p.rest[0] == ','; p.space() {
		p.rest = p.rest[1:]
	}
	return len(p.rest) > 0
}

// offer reads one extension, and returns what is agreed to if ok.
func (p *parser) offer() (a Agreement, ok bool) {
	ok = equalFold(p.token(), Name)
	var seen [len(parameters)]bool
	for p.skip(';') {
		name := p.token()
		value, has := p.value()
		if p.failed {
			return Agreement{}, false
		}
		i := indexOf(name)
		if i < 0 || seen[i] {
			ok = false
			continue
		}
		seen[i] = true
		ok = ok && a.take(i, value, has)
	}
	if len(p.rest) > 0 && p.rest[0] != ',' {
		p.failed = true
	}
	a.Agreed = true
	return a, ok
}

// The parameters of RFC 7692 §7.1.
var parameters = [...]string{"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"}

const (
	serverNoContext = iota
	clientNoContext
	serverWindow
	clientWindow
)

func indexOf(name []byte) int {
	for i, known := range parameters {
		if equalFold(name, known) {
			return i
		}
	}
	return -1
}

// take takes the parameter i of an offer, and reports whether it can be met.
func (a *Agreement) take(i int, value []byte, has bool) bool {
	switch i {
	case serverNoContext, clientNoContext: // §7.1.1: no value
		return !has
	case clientWindow: // §7.1.2.2: the client can keep to a window, which is not asked of it
		_, legal := windowBits(value)
		return !has || legal
	}
	bits, legal := windowBits(value)
	if !has || !legal {
		return false
	}
	a.serverBits = bits // §7.1.2.1: the answer must have it, as it is or smaller
	if bits < 15 {
		a.Window = Narrow
	}
	return true
}

// windowBits reads a decimal number from 8 to 15 without a leading zero (§7.1.2).
func windowBits(b []byte) (bits uint8, ok bool) {
	switch {
	case len(b) == 1 && (b[0] == '8' || b[0] == '9'):
		return b[0] - '0', true
	case len(b) == 2 && b[0] == '1' && '0' <= b[1] && b[1] <= '5':
		return 10 + b[1] - '0', true
	}
	return 0, false
}

// space skips optional white space.
func (p *parser) space() {
	for len(p.rest) > 0 && (p.rest[0] == ' ' || p.rest[0] == '\t') {
		p.rest = p.rest[1:]
	}
}

// skip skips c, with white space around it, and reports whether it was there.
func (p *parser) skip(c byte) bool {
	p.space()
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	p.space()
	return true
}

// token reads a token (RFC 9110 §5.6.2).
func (p *parser) token() []byte {
	n := 0
	for n < len(p.rest) && isTokenByte(p.rest[n]) {
		n++
	}
	p.failed = p.failed || n == 0
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

// value reads "=" and a value, if there are.
func (p *parser) value() (value []byte, has bool) {
	if !p.skip('=') {
		return nil, false
	}
	if len(p.rest) > 0 && p.rest[0] == '"' {
		return p.quoted(), true
	}
	return p.token(), true
}

// quoted reads a quoted string whose text is a token (RFC 9110 §5.6.4).
func (p *parser) quoted() []byte {
	var text []byte
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '"':
			p.rest = p.rest[i+1:]
			p.failed = p.failed || len(text) == 0
			return text
		case c == '\\' && i+1 < len(p.rest):
			i++
			c = p.rest[i]
		}
		p.failed = p.failed || !isTokenByte(c)
		text = append(text, c)
	}
	p.failed = true
	return nil
}

func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// equalFold compares without regard to case in ASCII.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
