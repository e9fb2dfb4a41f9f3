package ijson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"peal/server/ijson"
)

// tree reads the next value with r, as encoding/json makes it of the same text.
func tree(r *ijson.Reader) any {
	switch r.Kind() {
	case '{':
		object := map[string]any{}
		for r.Enter('{'); r.More(); {
			name := string(r.Name())
			object[name] = tree(r)
		}
		return object
	case '[':
		array := []any{}
		for r.Enter('['); r.More(); {
			array = append(array, tree(r))
		}
		return array
	}
	v := r.Value()
	switch text, ok := v.Text(); {
	case ok:
		return string(text)
	case v.IsNull(), v == nil:
		return nil
	case v[0] == 't' || v[0] == 'f':
		return v[0] == 't'
	}
	return json.Number(v)
}

// lenient is what encoding/json says of text: the judge of what is accepted.
func lenient(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err = d.Decode(&v); err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows")
		}
	}
	return v, err
}

// refused are texts that two readers could take for two things, and texts that
// are not JSON.
var refused = []struct{ name, text string }{
	{"empty", ""},
	{"blank", " \n"},
	{"not UTF-8", "{\"a\":\"caf\xe9\"}"},
	{"not UTF-8 in a name", "{\"\xff\":1}"},
	{"overlong", "{\"a\":\"\xc0\xaf\"}"},
	{"surrogate as UTF-8", "{\"a\":\"\xed\xa0\x80\"}"},
	{"high surrogate alone", `{"a":"\ud800"}`},
	{"low surrogate alone", `{"a":"\udc00"}`},
	{"surrogates the wrong way round", `{"a":"\udc00\ud800"}`},
	{"surrogate before a letter", `{"a":"\ud800a"}`},
	{"surrogate before an escape", `{"a":"\ud800\n"}`},
	{"surrogate in a name", `{"\ud800":1}`},
	{"surrogate deep inside", `{"a":[{"b":["\ud800"]}]}`},
	{"name twice", `{"a":1,"b":2,"a":3}`},
	{"name twice by an escape", `{"a":1,"\u0061":2}`},
	{"name twice deep inside", `[{"x":{"a":1,"a":1}}]`},
	{"something follows", `{} x`},
	{"another value follows", `{}{}`},
	{"NUL follows", "{}\x00"},
	{"byte order mark", "\ufeff{}"},
	{"control character", "{\"a\":\"x\ny\"}"},
	{"unknown escape", `{"a":"\q"}`},
	{"comma at the end", `{"a":1,}`},
	{"comma in an array", `[1,]`},
	{"leading zero", `{"a":01}`},
	{"plus", `[+1]`},
	{"NaN", `[NaN]`},
	{"single quotes", `{'a':1}`},
	{"name without quotes", `{a:1}`},
	{"comment", `{/**/}`},
	{"cut off", `{"a":`},
	{"cut off in a string", `{"a`},
	{"too deep", strings.Repeat("[", ijson.MaxDepth+1) + strings.Repeat("]", ijson.MaxDepth+1)},
}

func TestReaderRefuses(t *testing.T) {
	var r ijson.Reader
	for _, c := range refused {
		for _, how := range []string{"whole", "step by step"} {
			r.Start([]byte(c.text))
			if how == "whole" {
				r.Value()
			} else {
				tree(&r)
			}
			var syntax *ijson.SyntaxError
			if err := r.End(); !errors.As(err, &syntax) || syntax.Reason == "" || syntax.Offset < 0 || syntax.Offset > len(c.text) {
				t.Errorf("%s, %s: %v, want a SyntaxError", c.name, how, err)
			}
			if r.More() || r.Value() != nil || r.Name() != nil || r.Kind() != 0 {
				t.Errorf("%s, %s: something was read after the fault", c.name, how)
			}
		}
	}
}

var accepted = []string{
	`{}`, ` [ ] `, `"x"`, `7`, `null`, `true`,
	`{"a":"b","A":"c"}`,
	`{"channel":["a","b"],"data":{"x":[1,-2.50e+3,"\u00e9\n\\\""]},"event":null}`,
	`{"a":"\ud83d\udc9a","💚":"é"}`,
	`{"ch\u0061nnel":"x"}`,
	`["\u0000","` + "\u2028\x7f\ufffd" + `"]`,
	strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
}

func TestReaderReadsWhatEncodingJSONReads(t *testing.T) {
	var r ijson.Reader
	for _, text := range accepted {
		r.Start([]byte(text))
		got := tree(&r)
		want, err := lenient([]byte(text))
		if e := r.End(); e != nil || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60s: %v %v, want %v %v", text, got, e, want, err)
		}
	}
}

func TestEnterSaysWhenTheKindIsAnother(t *testing.T) {
	var r ijson.Reader
	for _, text := range []string{`[]`, `7`, `"x"`, `null`} {
		r.Start([]byte(text))
		if r.Enter('{'); r.More() || r.End() != ijson.ErrKind {
			t.Errorf("%s: %v", text, r.End())
		}
	}
}

func TestCompactKeepsNumbersAndStrings(t *testing.T) {
	var r ijson.Reader
	for _, text := range []string{
		`{ "a" : [ 1.0 , 1E2 , "x  y" ] }`, "[\n\t\"\\\" \\\\\" ,\r\n{}]", `{"a":"no white space"}`, `[]`, `"a b"`, ` 1 `,
	} {
		r.Start([]byte(text))
		got := r.Value().Compact()
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(text)); err != nil || string(got) != want.String() {
			t.Errorf("%s: %s, want %s (%v)", text, got, want.String(), err)
		}
	}
}

func TestReadingAKnownShapeMakesNoGarbage(t *testing.T) {
	var r ijson.Reader
	text := []byte(`{"id":1,"command":"publish","channel":"news","data":"hello","idempotency_key":"k"}`)
	read := func() {
		r.Start(text)
		for r.Enter('{'); r.More(); {
			r.Name()
			r.Value()
		}
		if r.End() != nil {
			t.Error(r.End())
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzReader: what we accept encoding/json accepts, and decodes to the same;
// what it would change or resolve in silence is refused. Nothing else is.
func FuzzReader(f *testing.F) {
	for _, c := range refused {
		if len(c.text) < 1000 {
			f.Add([]byte(c.text))
		}
	}
	for _, text := range accepted {
		f.Add([]byte(text))
	}
	var r ijson.Reader
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		r.Start(text)
		got := tree(&r)
		err := r.End()
		r.Start(text)
		whole := r.Value()
		if e := r.End(); (e == nil) != (err == nil) {
			t.Fatalf("step by step %v, whole %v", err, e)
		}
		if !bytes.Equal(text, before) {
			t.Fatal("the text was changed")
		}
		want, judge := lenient(text)
		if err != nil {
			if judge == nil && utf8.Valid(text) && !ambiguous(text) {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if judge != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v, want %v (%v)", got, want, judge)
		}
		if !utf8.Valid(text) {
			t.Fatal("accepted bytes that are not UTF-8")
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil || compact.String() != string(whole.Compact()) {
			t.Fatalf("compact %s, want %s (%v)", whole.Compact(), compact.String(), err)
		}
	})
}

// ambiguous reports whether valid JSON has a name twice in one object, or half a
// pair of surrogates. It is the plain way, beside which the Reader is judged.
func ambiguous(text []byte) bool {
	half := false
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if i++; text[i] != 'u' {
			continue
		}
		switch unit := text[i+1 : i+5]; {
		case !strings.ContainsRune("dD", rune(unit[0])) || unit[1] < '8':
		case strings.ContainsRune("89abAB", rune(unit[1])) && i+11 <= len(text) && text[i+5] == '\\' && text[i+6] == 'u' &&
			strings.ContainsRune("dD", rune(text[i+7])) && strings.ContainsRune("cdefCDEF", rune(text[i+8])):
			i += 6
		default:
			half = true
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return half || namesTwice(d)
}

func namesTwice(d *json.Decoder) bool {
	token, err := d.Token()
	open, ok := token.(json.Delim)
	if err != nil || !ok {
		return false
	}
	names, twice := map[string]bool{}, false
	for d.More() {
		if open == '{' {
			name, _ := d.Token()
			text, _ := name.(string)
			twice = twice || names[text]
			names[text] = true
		}
		twice = namesTwice(d) || twice
	}
	d.Token() // the end
	return twice
}
