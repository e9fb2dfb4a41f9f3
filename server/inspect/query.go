package inspect

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"peal/server/spelling"
)

// Limits of a list.
const (
	StandardPage = 100
	LargestPage  = 1000
	ListedNames  = 16 // channels of each connection in a list
)

// Query is what to look for among the connections. Zero values look for all.
type Query struct {
	Channel string
	User    string // name of the client, by its token or as it has given it
	Behind  bool   // only those that have not taken all there is
	Unix    bool   // only those over a Unix socket
	Prefix  netip.Prefix
	Loop    int // where to begin: the connections of this loop from this slot on
	Slot    uint32
	Limit   int
}

// Error is why a request cannot be carried out, and what to change.
type Error struct {
	Status  int
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// parameters of a Query.
var parameters = []string{"channel", "user", "address", "behind", "after", "limit"}

// ParseQuery reads a Query from the parameters of a URL.
func ParseQuery(values url.Values) (q Query, err *Error) {
	if err := Known(values, parameters...); err != nil {
		return q, err
	}
	q.Channel, q.User = values.Get("channel"), values.Get("user")
	switch values.Get("behind") {
	case "", "0", "false":
	case "1", "true":
		q.Behind = true
	default:
		return q, &Error{400, "bad_behind", "behind must be 1 or 0"}
	}
	if err := q.address(values.Get("address")); err != nil {
		return q, err
	}
	if q.Limit, err = ParseLimit(values.Get("limit"), StandardPage, LargestPage); err != nil {
		return q, err
	}
	return q, q.after(values.Get("after"))
}

// Known refuses parameters that are not among names, come twice or are not UTF-8.
func Known(values url.Values, names ...string) *Error {
	for name, all := range values {
		if !slices.Contains(names, name) {
			message := "the parameter " + strconv.Quote(cut(name)) + " is not known here; known: " + strings.Join(names, ", ")
			if near := spelling.Nearest(name, names); near != "" {
				message = "the parameter " + strconv.Quote(cut(name)) + " is not known here; did you mean " + near + "?"
			}
			return &Error{400, "unknown_parameter", message}
		}
		if len(all) > 1 {
			return &Error{400, "bad_parameter", "give the parameter " + name + " once"}
		}
		if !utf8.ValidString(all[0]) {
			return &Error{400, "bad_parameter", "the parameter " + name + " is not UTF-8 when its percent-encoding is decoded"}
		}
	}
	return nil
}

func cut(text string) string {
	if len(text) > 40 {
		return strings.ToValidUTF8(text[:40], "") + "…"
	}
	return text
}

// ParseLimit reads how many to list; text is empty for the standard.
func ParseLimit(text string, standard, largest int) (int, *Error) {
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > largest {
		return 0, &Error{400, "bad_limit", "limit must be a number from 1 to " + strconv.Itoa(largest)}
	}
	return n, nil
}

func (q *Query) address(text string) *Error {
	if text == "" {
		return nil
	}
	if text == "unix" {
		q.Unix = true
		return nil
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		q.Prefix = prefix.Masked()
		return nil
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		a = a.Unmap().WithZone("")
		q.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	return &Error{400, "bad_address", "address must be an IP address (192.0.2.7, 2001:db8::7), a network (192.0.2.0/24), or unix; without a port"}
}

// Address returns whether a client of that address is looked for; nil for all.
func (q *Query) Address() func(netip.Addr) bool {
	switch {
	case q.Unix:
		return func(a netip.Addr) bool { return !a.IsValid() }
	case q.Prefix.IsValid():
		return q.Prefix.Contains
	}
	return nil
}

// after reads where a list goes on: a loop and a slot, as Next writes them.
func (q *Query) after(text string) *Error {
	if text == "" {
		return nil
	}
	loop, slot, ok := strings.Cut(text, ".")
	n, err := strconv.ParseUint(loop, 10, 16)
	m, err2 := strconv.ParseUint(slot, 10, 32)
	if !ok || err != nil || err2 != nil {
		return &Error{400, "bad_after", "after must be the value of next in the page before"}
	}
	q.Loop, q.Slot = int(n), uint32(m)
	return nil
}

// Next is the value of after from which a list goes on.
func Next(loop int, slot uint32) string {
	return strconv.Itoa(loop) + "." + strconv.FormatUint(uint64(slot), 10)
}
