package dialect

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Values are what placeholders stand for: of one connection, or one publication.
type Values struct {
	I       int      // {i}: number of the connection, or of the channel that is published to
	Channel string   // {channel}
	Token   string   // {token}, unless a column has that name
	Cursor  []byte   // {cursor}: of a connection that comes back
	Message []byte   // {message}: what is published
	Row     []string // of the data: {NAME} of its column
}

// Template is text with placeholders. It is a sequence of parts, each of which
// appends its own to dst.
type Template []func(dst []byte, v *Values) []byte

// Append appends the text with the values in their places.
func (t Template) Append(dst []byte, v *Values) []byte {
	for _, part := range t {
		dst = part(dst, v)
	}
	return dst
}

// Text is Append to nothing.
func (t Template) Text(v *Values) string { return string(t.Append(nil, v)) }

// special is all that a template does not mean literally: {{name}} is the text {name},
// {name} and {name:escape} are placeholders, {u16(} … {)} puts the length of what it
// encloses before it, \xHH is a byte. Any other brace is itself, as JSON needs it.
var special = regexp.MustCompile(`\{\{[a-z_][\w-]*\}\}|\{[A-Za-z_][\w-]*(?::\w+)*\}|\{\w+\(\}|\{\)\}|\\x[0-9a-fA-F]{2}`)

// escapes are what a placeholder's value can be made to suit.
var escapes = map[string]func(string) string{
	"url": url.QueryEscape,
	"json": func(text string) string {
		b, _ := json.Marshal(text) // a string always marshals
		return string(b[1 : len(b)-1])
	},
}

// lengths append the number of bytes that follow.
var lengths = map[string]func(dst []byte, n int) []byte{
	"u8":     func(dst []byte, n int) []byte { return append(dst, byte(n)) },
	"u16":    func(dst []byte, n int) []byte { return binary.BigEndian.AppendUint16(dst, uint16(n)) },
	"u32":    func(dst []byte, n int) []byte { return binary.BigEndian.AppendUint32(dst, uint32(n)) },
	"varint": func(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) },
}

// compile reads a template. columns are the names of the data's; all placeholders are
// escaped by default, too.
func compile(text string, columns []string, byDefault ...string) (Template, error) {
	open, kinds := []Template{nil}, []string{}
	add := func(part func([]byte, *Values) []byte) { open[len(open)-1] = append(open[len(open)-1], part) }
	literal := func(s string) {
		if s != "" {
			add(func(dst []byte, _ *Values) []byte { return append(dst, s...) })
		}
	}
	fault := func(format string, args ...any) (Template, error) {
		return nil, fmt.Errorf("template %q: "+format, append([]any{text}, args...)...)
	}
	at := 0
	for _, m := range special.FindAllStringIndex(text, -1) {
		literal(text[at:m[0]])
		token := text[m[0]:m[1]]
		at = m[1]
		switch {
		case token[0] == '\\':
			b, _ := strconv.ParseUint(token[2:], 16, 8) // it is hexadecimal
			literal(string([]byte{byte(b)}))
		case strings.HasPrefix(token, "{{"):
			literal(token[1 : len(token)-1])
		case token == "{)}":
			if len(kinds) == 0 {
				return fault("{)} ends nothing")
			}
			inner, length := open[len(open)-1], lengths[kinds[len(kinds)-1]]
			open, kinds = open[:len(open)-1], kinds[:len(kinds)-1]
			add(func(dst []byte, v *Values) []byte {
				content := inner.Append(nil, v)
				return append(length(dst, len(content)), content...)
			})
		case strings.HasSuffix(token, "(}"):
			kind := token[1 : len(token)-2]
			if lengths[kind] == nil {
				return fault("unknown length %s: must be {u8(}, {u16(}, {u32(} or {varint(}", token)
			}
			open, kinds = append(open, nil), append(kinds, kind)
		default:
			names := append(strings.Split(token[1:len(token)-1], ":"), byDefault...)
			part := placeholder(names[0], columns)
			if part == nil {
				return fault("unknown placeholder %s: known are i, channel, token, message, cursor, and the columns of --data; {%s} is the text", token, token)
			}
			for _, name := range names[1:] {
				escape, plain := escapes[name], part
				if escape == nil {
					return fault("unknown escape in %s: must be json or url", token)
				}
				part = func(dst []byte, v *Values) []byte { return append(dst, escape(string(plain(nil, v)))...) }
			}
			add(part)
		}
	}
	literal(text[at:])
	if len(kinds) > 0 {
		return fault("{%s(} has no {)}", kinds[len(kinds)-1])
	}
	return open[0], nil
}

// placeholder returns nil for an unknown name.
func placeholder(name string, columns []string) func(dst []byte, v *Values) []byte {
	if i := slices.Index(columns, name); i >= 0 {
		return func(dst []byte, v *Values) []byte { return append(dst, v.Row[i]...) }
	}
	return map[string]func(dst []byte, v *Values) []byte{
		"i":       func(dst []byte, v *Values) []byte { return strconv.AppendInt(dst, int64(v.I), 10) },
		"channel": func(dst []byte, v *Values) []byte { return append(dst, v.Channel...) },
		"token":   func(dst []byte, v *Values) []byte { return append(dst, v.Token...) },
		"message": func(dst []byte, v *Values) []byte { return append(dst, v.Message...) },
		"cursor":  func(dst []byte, v *Values) []byte { return append(dst, v.Cursor...) },
	}[name]
}
