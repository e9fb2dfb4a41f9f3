package tracecontext_test

import (
	"strings"
	"testing"

	"peal/server/tracecontext"
)

const example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		example: example,
		strings.Replace(example, "-01", "-00", 1): strings.Replace(example, "-01", "-00", 1),
		strings.Replace(example, "-01", "-03", 1): example, // other flags are not ours to pass on
		"cc" + example[2:] + "-what-comes":        example,
		"cc" + example[2:]:                        example,
		"cc" + example[2:] + "x":                  "",
		"ff" + example[2:]:                        "",
		example + "-x":                            "",
		example[:54]:                              "",
		"":                                        "",
		strings.ToUpper(example):                  "",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": "",
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01": "",
		strings.ReplaceAll(example, "-", "_"):                     "",
	} {
		p, ok := tracecontext.Parse(text)
		got := ""
		if ok {
			got = p.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if _, same := tracecontext.Parse([]byte(text)); same != ok {
			t.Errorf("%q: bytes and text differ", text)
		}
	}
}
