package dialect

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// Pattern recognises a message: /regular expression/, or a template that must be the
// whole message.
type Pattern struct {
	Source string
	re     *regexp.Regexp
	text   Template
}

func compilePattern(source string, columns []string) (p Pattern, err error) {
	p.Source = source
	if re, ok := betweenSlashes(source); ok {
		if p.re, err = regexp.Compile(re); err != nil {
			err = fmt.Errorf("pattern %q: %w", source, err)
		}
		return p, err
	}
	p.text, err = compile(source, columns)
	return p, err
}

// betweenSlashes is the expression of "/expression/".
func betweenSlashes(text string) (string, bool) {
	if len(text) < 2 || !strings.HasPrefix(text, "/") || !strings.HasSuffix(text, "/") {
		return "", false
	}
	return text[1 : len(text)-1], true
}

// match reports whether message is what the pattern describes. A text is rendered for
// it, and returned as scratch.
func (p *Pattern) match(message, scratch []byte, v *Values) (bool, []byte) {
	if p.re != nil {
		return p.re.Match(message), scratch
	}
	scratch = p.text.Append(scratch[:0], v)
	return bytes.Equal(message, scratch), scratch
}
