package dialect

import (
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	v := Values{I: 7, Channel: `a "b"`, Token: "t", Cursor: []byte("9"), Message: []byte("L0a"), Row: []string{"x/y", "Ann"}}
	check := func(text, want string, byDefault ...string) {
		t.Helper()
		compiled, err := compile(text, []string{"path", "name"}, byDefault...)
		if err != nil {
			t.Error(err)
			return
		}
		if got := compiled.Text(&v); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	check("", "")
	check("{i} {token} {cursor} {message}", "7 t 9 L0a")
	check("{name}:{path}", "Ann:x/y")
	check("/x?c={channel}&p={path}", "/x?c=a+%22b%22&p=x%2Fy", "url")
	check(`{"c":"{channel:json}"}`, `{"c":"a \"b\""}`)
	check(`{"c":"{channel:json:json}"}`, `{"c":"a \\\"b\\\""}`)
	check(`{"a":{"b":{}}, "c": { "d": [{}] }}`, `{"a":{"b":{}}, "c": { "d": [{}] }}`) // braces of JSON
	check(`{{channel}} {{unknown}}`, `{channel} {unknown}`)
	check(`{2,3} {} { i }`, `{2,3} {} { i }`)
	check(`\x00\x1e\xff \" \n`, "\x00\x1e\xff \\\" \\n") // other escapes are JSON's
	check(`\x10{varint(}{u16(}MQTT{)}\x04{u8(}{)}{)}`, "\x10\x08\x00\x04MQTT\x04\x00")
	v.Message = []byte(strings.Repeat("m", 200))
	check(`{varint(}{message}{)}{u32(}{)}`, "\xc8\x01"+strings.Repeat("m", 200)+"\x00\x00\x00\x00")
}

func TestTemplateNamesItsFault(t *testing.T) {
	for text, want := range map[string]string{
		"{chanel}":       "unknown placeholder {chanel}",
		"{channel:html}": "unknown escape",
		"{u16(}x":        "{u16(} has no {)}",
		"x{)}":           "ends nothing",
		"{u24(}x{)}":     "unknown length",
	} {
		if _, err := compile(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
