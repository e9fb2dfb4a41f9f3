package dialect

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/buger/jsonparser"
)

// Extract finds the published payloads in a message. The zero value takes the whole
// message. A JSON path allocates nothing; a regular expression costs ten times as much.
type Extract struct {
	re   *regexp.Regexp
	path []string

	texts [][]byte // memory of strings that had escapes
	used  int
}

// jsonPath is like $.data.messages[0], and pathStep one step of it.
var (
	jsonPath = regexp.MustCompile(`^\$(\.[^.\[\]]+|\[(\d+|\*)\])+$`)
	pathStep = regexp.MustCompile(`[^.\[\]]+|\[[^\]]+\]`)
)

// compileExtract reads a JSON path, where [*] stands for all, a string on the way is read
// as JSON, and what is before the first { or [ does not count; or "/expression/", whose
// first group is the payload, as often as it matches.
func compileExtract(text string) (x *Extract, err error) {
	x = &Extract{}
	if re, ok := betweenSlashes(text); ok {
		if x.re, err = regexp.Compile(re); err == nil && x.re.NumSubexp() == 0 {
			err = errors.New("the expression needs a group, like /data: (.*)/")
		}
	} else if jsonPath.MatchString(text) {
		x.path = pathStep.FindAllString(text[1:], -1)
	} else if text != "" {
		err = errors.New("must be a JSON path, like $.data.message or $.messages[*], or a regular expression, like /data: (.*)/")
	}
	if err != nil {
		return nil, fmt.Errorf("extract %q: %w", text, err)
	}
	return x, nil
}

// Append appends the payloads of message to dst. They are the message's memory or x',
// until the next call.
func (x *Extract) Append(dst [][]byte, message []byte) [][]byte {
	if x.re != nil {
		for _, m := range x.re.FindAllSubmatch(message, -1) {
			dst = append(dst, m[1])
		}
		return dst
	}
	if x.path == nil {
		return append(dst, message)
	}
	x.used = 0
	if start := bytes.IndexAny(message, "{["); start >= 0 {
		return x.walk(dst, message[start:], x.path)
	}
	return dst
}

// walk appends what path leads to in value. What is not JSON leads nowhere, or to
// something else: what is found is checked as a message.
func (x *Extract) walk(dst [][]byte, value []byte, path []string) [][]byte {
	for i := range path {
		if path[i] == "[*]" {
			_, _ = jsonparser.ArrayEach(value, func(v []byte, kind jsonparser.ValueType, _ int, _ error) {
				dst = x.walk(dst, x.text(v, kind), path[i+1:])
			})
			return dst
		}
		v, kind, _, err := jsonparser.Get(value, path[i:i+1]...)
		if err != nil {
			return dst
		}
		value = x.text(v, kind)
	}
	return append(dst, value)
}

// text is a value, or the text of a string; some libraries send a string in a string.
func (x *Extract) text(v []byte, kind jsonparser.ValueType) []byte {
	if kind != jsonparser.String || bytes.IndexByte(v, '\\') < 0 {
		return v
	}
	if x.used == len(x.texts) {
		x.texts = append(x.texts, nil)
	}
	out, err := jsonparser.Unescape(v, slices.Grow(x.texts[x.used][:0], len(v))[:len(v)])
	if err != nil {
		return v
	}
	x.texts[x.used] = out
	x.used++
	if n := len(out); n > 1 && out[0] == '"' && out[n-1] == '"' {
		return x.text(out[1:n-1], kind)
	}
	return out
}
