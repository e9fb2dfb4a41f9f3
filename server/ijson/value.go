package ijson

import (
	"bytes"
	"errors"
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
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	return appendUnescaped(nil, inner), true
}

// Aliases reports whether text, which is not empty, is in the memory of v: whether what
// made it of v has made no copy.
func (v Value) Aliases(text []byte) bool {
	return len(v) > 0 && (&text[0] == &v[0] || len(v) > 1 && &text[0] == &v[1])
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
