package httpapi

import "github.com/valyala/fasthttp"

// lines is the header of the request under way, as fasthttp reads it. That of a plain head is
// parsed when something asks for it, which a publication does not: fasthttp accepts all plain
// heads (FuzzHead).
func (x *exchange) lines() *fasthttp.RequestHeader {
	if !x.parsed {
		x.parsed = true
		if x.parse(x.raw) != nil {
			x.header.Reset()
		}
	}
	return &x.header
}

// rare is the values of a field that plain heads do not have.
func (x *exchange) rare(name string) [][]byte {
	if x.head.Plain {
		return nil
	}
	return x.lines().PeekAll(name)
}

// rareOne is the first of them, nil for none.
func (x *exchange) rareOne(name string) []byte {
	if x.head.Plain {
		return nil
	}
	return x.lines().Peek(name)
}

func (x *exchange) contentType() []byte {
	if x.head.Plain {
		return x.head.ContentType
	}
	return x.lines().ContentType()
}

// authorizations is the values of Authorization.
func (x *exchange) authorizations() [][]byte {
	switch {
	case !x.head.Plain:
		return x.lines().PeekAll("Authorization")
	case x.head.Authorization == nil:
		return nil
	}
	x.authorization[0] = x.head.Authorization
	return x.authorization[:]
}
