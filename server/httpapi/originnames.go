package httpapi

import "strings"

// anybodyName names the origins of pages that may read without cookies.
const anybodyName = "*"

// OriginName is the name of a number that outlives the process: the origin, "" for none. Any
// goroutine may call it.
func (o *Origins) OriginName(number uint16) string {
	switch number {
	case noOrigin:
		return ""
	case anybody:
		return anybodyName
	}
	_, rest, _ := strings.Cut(o.head(number), ": ")
	origin, _, _ := strings.Cut(rest, "\r\n")
	return origin
}

// OriginOf is the number that an origin has here. One that is not trusted any more is anybody's.
// Any goroutine may call it.
func (o *Origins) OriginOf(name string) (number uint16, ok bool) {
	switch name {
	case "":
		return noOrigin, true
	case anybodyName:
		return anybody, true
	}
	number, _ = o.admit([]byte(name))
	return number, true
}
