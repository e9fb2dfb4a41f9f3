package dialect

import (
	"strings"
	"testing"
)

func found(t testing.TB, extract, message string) string {
	t.Helper()
	x, err := compileExtract(extract)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, payload := range x.Append(nil, []byte(message)) {
		all = append(all, string(payload))
	}
	return strings.Join(all, "|")
}

func TestExtract(t *testing.T) {
	check := func(extract, message, want string) {
		t.Helper()
		if got := found(t, extract, message); got != want {
			t.Errorf("%s of %s: %q, want %q", extract, message, got, want)
		}
	}
	check("", "L0a", "L0a")
	check("$.a", `{"a":"L0"}`, "L0")
	check("$.a.b", ` { "x" : {"b":"no"}, "a" : { "b" : "L0" } , "b":"no"} `, "L0")
	check("$.a", `{"b":"a","c":{"a":1},"d":["a",{"a":2}],"a":[3, 4]}`, "[3, 4]")
	check("$.a", `{"b":"} , \" {","a":true}`, "true")
	check("$[1]", `42["message","L0"]`, "L0") // Socket.IO's
	check("$[1]", `42["message"]`, "")
	check("$.m[*].d", `{"m":[{"d":"L0"},{"e":1},{"d":"L1"}]}`, "L0|L1")
	check("$.m[1].d", `{"m":[{"d":"L0"},{"d":"L1"}]}`, "L1")
	check("$[*]", `[]`, "")
	check("$.d.message", `{"d":"{\"message\":\"L0 \\\"x\\\"\"}"}`, `L0 "x"`) // JSON in a string
	check("$.d", `{"d": "\"L0\""}`, "L0")
	check("$.d", `{"d":"a\/b\\c\nd\u00e9\ud83d\ude00"}`, "a/b\\c\ndé😀")
	check("$.d", `{"e":"L0"}`, "")
	check("$.d", `no JSON`, "")
	check("$.d.e", `{"d":5}`, "")
	check(`/^data: (.*)$/`, "data: L0", "L0")
	check(`/(L[0-9]+)/`, "xL0yL12", "L0|L12")
	check(`/(L[0-9]+)/`, "none", "")
}

func TestExtractNamesItsFault(t *testing.T) {
	for _, text := range []string{"data", "$", "$.", "$a", "$.a[x]", "$.a[-1]", "$.a[1", "/no group/", "/(/"} {
		if _, err := compileExtract(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestExtractAllocatesNothing(t *testing.T) {
	payload := "L" + strings.Repeat("0", 100)
	for extract, message := range map[string]string{
		"":                `x`,
		"$.push.pub.data": `{"push":{"channel":"bench","pub":{"offset":7,"data":"` + payload + `"}}}`,
		"$[1]":            `42["message","` + payload + `"]`,
		"$.m[*].d":        `{"m":[{"d":"` + payload + `"},{"d":"` + payload + `"}]}`,
		"$.d.m":           `{"d":"{\"m\":\"` + payload + `\"}"}`,
	} {
		x, err := compileExtract(extract)
		if err != nil {
			t.Fatal(err)
		}
		var dst [][]byte
		b := []byte(message)
		if n := testing.AllocsPerRun(100, func() { dst = x.Append(dst[:0], b) }); n > 0 {
			t.Errorf("%s: %v allocations", extract, n)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("$.a[0].b", `{"a":[{"b":"x"}]}`)
	f.Add("$[*]", `["a","\"b\"",{"c":"\u00e9"}]`)
	f.Fuzz(func(t *testing.T, extract, message string) {
		x, err := compileExtract(extract)
		if err != nil {
			return
		}
		for _, payload := range x.Append(nil, []byte(message)) {
			if x.path != nil && len(payload) > len(message)*3 { // an escape may become three bytes
				t.Errorf("%q of %q: %q", extract, message, payload)
			}
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	payload := "L" + strings.Repeat("0", 127)
	message := []byte(`{"push":{"channel":"bench","pub":{"offset":7,"data":"` + payload + `"}}}`)
	for _, extract := range []string{"$.push.pub.data", `/"data":"([^"]*)"/`} {
		b.Run(extract, func(b *testing.B) {
			x, err := compileExtract(extract)
			if err != nil {
				b.Fatal(err)
			}
			var dst [][]byte
			b.ReportAllocs()
			for b.Loop() {
				dst = x.Append(dst[:0], message)
			}
		})
	}
}
