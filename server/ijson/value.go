package ijson

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// Value is the text of one value that a Reader has read, without white space
// around it. nil is the value of an absent member.
type Value []byte

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return len(v) > 0 && v[0] == 'n' }

// IsString reports whether v is a string.
func (v Value) IsString() bool { return len(v) > 0 && v[0] == '"' }

// Text returns the text of the string v, false for other values. It aliases v
// unless v has escapes; only then it allocates.
func (v Value) Text() (text []byte, ok bool) {
	if !v.IsString() {
		return nil, false
	}
	inner := v[1 : len(v)-1]
	first := bytes.IndexByte(inner, '\\')
	if first < 0 {
		return inner, true
	}
	text = append(make([]byte, 0, len(inner)-1), inner[:first]...)
	return appendUnescaped(text, inner[first:]), true
}

// appendUnescaped appends what is between the quotes of a string that a Reader has read,
// with its escapes replaced. That is never longer than they are.
func appendUnescaped(dst, inner []byte) []byte {
	for {
		i := bytes.IndexByte(inner, '\\')
		if i < 0 {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:i]...)
		inner = inner[i:]
		n := 2
		switch c := inner[1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			unit, _ := hexUnit(inner)
			if n = 6; utf16.IsSurrogate(unit) {
				low, _ := hexUnit(inner[6:])
				unit, n = utf16.DecodeRune(unit, low), 12
			}
			dst = utf8.AppendRune(dst, unit)
		default:
			dst = append(dst, c)
		}
		inner = inner[n:]
	}
}

// Compact returns v without the white space between its tokens; numbers and
// strings do not change. It aliases v if there is none.
func (v Value) Compact() []byte {
	if len(v) == 0 || v[0] != '{' && v[0] != '[' || !bytes.ContainsAny(v, " \t\r\n") {
		return v // white space inside strings only costs the copy below
	}
	compact := make([]byte, 0, len(v))
	inString := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case inString && c == '\\':
			compact = append(compact, c)
			i++ // a value that was read does not end in an escape
			c = v[i]
			compact = append(compact, c)
		case c == '"':
			inString = !inString
			compact = append(compact, c)
		case !inString && (c == ' ' || c == '\t' || c == '\r' || c == '\n'):
		default:
			compact = append(compact, c)
		}
	}
	return compact
}

// Found by AppendTexts.
var (
	ErrNotTexts = errors.New("neither a string nor an array of strings")
	ErrNoTexts  = errors.New("an empty array")
)

// AppendTexts appends the text of v, a string, or those of an array of strings;
// nothing if v is not there. r is used for an array. The texts alias v, except
// those with escapes.
func AppendTexts(dst [][]byte, r *Reader, v Value) ([][]byte, error) {
	if v == nil {
		return dst, nil
	}
	if text, ok := v.Text(); ok {
		return append(dst, text), nil
	}
	if v[0] != '[' {
		return dst, ErrNotTexts
	}
	before := len(dst)
	r.Start(v)
	for r.Enter('['); r.More(); {
		text, ok := r.Value().Text()
		if !ok {
			return dst, ErrNotTexts
		}
		dst = append(dst, text)
	}
	if len(dst) == before {
		return dst, ErrNoTexts
	}
	return dst, nil
}
