package ijson_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"peal/server/ijson"
)

// plainReader is a Reader in the plain way: jsontext reads each token. The Reader must
// return the same for each call, errors and their positions included.
type plainReader struct {
	decoder jsontext.Decoder
	source  bytes.Buffer
	text    []byte
	fault   error
}

func (r *plainReader) Start(text []byte) {
	r.text, r.fault = text, nil
	r.source = *bytes.NewBuffer(text)
	r.decoder.Reset(&r.source)
}

func (r *plainReader) Kind() byte {
	if r.fault != nil {
		return 0
	}
	return byte(r.decoder.PeekKind())
}

func (r *plainReader) Enter(open byte) {
	token, ok := r.token()
	if ok && byte(token.Kind()) != open {
		r.fault = ijson.ErrKind
	}
}

func (r *plainReader) More() bool {
	switch r.Kind() {
	case 0, '}', ']':
		r.token()
		return false
	}
	return true
}

func (r *plainReader) Name() []byte {
	v := r.Value()
	if len(v) == 0 || v[0] != '"' {
		return nil
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		panic(err)
	}
	return text
}

func (r *plainReader) Value() ijson.Value {
	if r.fault != nil {
		return nil
	}
	value, err := r.decoder.ReadValue()
	if err != nil {
		r.fault = r.syntax(err)
		return nil
	}
	end := int(r.decoder.InputOffset())
	return ijson.Value(r.text[end-len(value) : end])
}

func (r *plainReader) End() error {
	if r.fault != nil {
		return r.fault
	}
	if _, err := r.decoder.ReadToken(); err != io.EOF {
		if err == nil {
			err = errors.New("there is text after the value")
		}
		r.fault = r.syntax(err)
	}
	return r.fault
}

func (r *plainReader) token() (jsontext.Token, bool) {
	if r.fault != nil {
		return jsontext.Token{}, false
	}
	token, err := r.decoder.ReadToken()
	if err != nil {
		r.fault = r.syntax(err)
	}
	return token, err == nil
}

func (r *plainReader) syntax(err error) error {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &ijson.SyntaxError{Reason: e.Err.Error(), Offset: int(e.ByteOffset)}
	}
	if err == io.EOF {
		return &ijson.SyntaxError{Reason: "the text is empty", Offset: 0}
	}
	return &ijson.SyntaxError{Reason: err.Error(), Offset: int(r.decoder.InputOffset())}
}

// reads is what both readers have.
type reads interface {
	Start(text []byte)
	Kind() byte
	Enter(open byte)
	More() bool
	Name() []byte
	Value() ijson.Value
	End() error
}

// compare makes the same calls of both readers, as calls says: each byte is one, and
// behind the last comes End. It describes the first difference, "" if there is none.
func compare(fast *ijson.Reader, plain *plainReader, text, calls []byte) string {
	fast.Start(text)
	plain.Start(text)
	for i, c := range calls {
		got, want := call(fast, c), call(plain, c)
		if got != want {
			return fmt.Sprintf("call %d (%c): %s, want %s", i, c, got, want)
		}
	}
	if got, want := fmt.Sprintf("%#v", fast.End()), fmt.Sprintf("%#v", plain.End()); got != want {
		return "End: " + describe(fast.End()) + ", want " + describe(plain.End())
	}
	return ""
}

func describe(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// call makes one call, and returns the result as text.
func call(r reads, c byte) string {
	switch c {
	case 'k':
		return fmt.Sprintf("%q", r.Kind())
	case '{', '[':
		r.Enter(c)
	case 'm':
		return fmt.Sprint(r.More())
	case 'n':
		return fmt.Sprintf("%q", r.Name())
	case 'v':
		v := r.Value()
		text, ok := v.Text()
		if !ok {
			return fmt.Sprintf("%q", v)
		}
		plain, err := jsontext.AppendUnquote(nil, v)
		if err != nil || !bytes.Equal(text, plain) {
			return fmt.Sprintf("%q: %q is not %q, %v", v, text, plain, err)
		}
		return fmt.Sprintf("%q %q", v, text)
	}
	return ""
}

// walk is how a program reads: each value whole or step by step, as steps decides.
// It returns what it read, and the error.
func walk(r reads, text []byte, steps byte) string {
	var b strings.Builder
	r.Start(text)
	var value func(depth int)
	value = func(depth int) {
		if depth == 100 || steps>>(depth%8)&1 == 0 {
			v := r.Value()
			text, ok := v.Text()
			fmt.Fprintf(&b, "%s %s %t,", v, text, ok)
			return
		}
		switch kind := r.Kind(); kind {
		case '{':
			for r.Enter('{'); r.More(); {
				fmt.Fprintf(&b, "%s:", r.Name())
				value(depth + 1)
			}
		case '[':
			for r.Enter('['); r.More(); {
				value(depth + 1)
			}
		default:
			fmt.Fprintf(&b, "%q%s,", kind, r.Value())
		}
	}
	value(0)
	return b.String() + describe(r.End())
}

// odd are texts beside accepted and refused: what is at the edges of the scanner's words
// of 8 bytes, of the sizes from which tables are made, and of the depth.
func odd() (texts []string) {
	for n := range 17 {
		pad := strings.Repeat("x", n)
		for _, c := range []string{`\"`, `\\`, `\u00e9`, `\ud83d\udc9a`, "é", "€", "💚", "\x1f", "\x7f", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", `\u12`, `\ud83d\u12`, `\ud83dx`, `\udc00\udc00`, `\ud800\ud800`, `\ud800\u0041`, `\udbff\udfff`, `\ud7ff\ue000`} {
			texts = append(texts, `["`+pad+c+pad+`"]`, `["`+pad+c, `{"`+pad+c+pad+`":1}`, `"`+pad+c+pad+c+`"`)
		}
		var many strings.Builder
		for i := range 2 * n {
			fmt.Fprintf(&many, `"%d":{"a":1,"\u0062":[]},`, i)
		}
		texts = append(texts, `{`+many.String()+`"x":1}`, `{`+many.String()+`"3":1}`, `[{`+many.String()+`"\u0030":1}]`, `{"y":{`+many.String()+`"x":{`+many.String()+`"z":1}},"y":0}`)
	}
	for _, n := range []string{"0", "-0", "-", "1.", ".5", "1.5", "1e", "1e+", "1e5", "1E-05", "0123", "--1", "1.5.5", "0x1", "9e", "-a", "00", "1 2"} {
		texts = append(texts, n, "["+n+"]", `{"a":`+n+`}`, n+" ")
	}
	for _, l := range []string{"true", "tru", "truee", "nul", "null", "nulls", "fals", "false", "True", "n", "falze"} {
		texts = append(texts, l, "["+l+"]", `{"a":`+l+`}`, l+"\n")
	}
	for _, depth := range []int{ijson.MaxDepth - 1, ijson.MaxDepth, ijson.MaxDepth + 1} {
		texts = append(texts, strings.Repeat("[", depth)+strings.Repeat("]", depth), strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth), strings.Repeat("[", depth))
	}
	return append(texts, `{"a":1,}`, `{,}`, `{"a",}`, `{"a":,}`, `{"a":}`, `{"a"}`, `{:1}`, `[,1]`, `[1,,2]`, `[1:2]`, `{"a":1:2}`, `[1}`, `{"a":1]`, `{]`, `[}`, `]`, `}`, `,1`, `:1`,
		`{"a":1 "b":2}`, `["a" "b"]`, `{1:2}`, `{{}:1}`, `{[1]:1}`, `{null:1}`, "[\x00]", "\x00", "[ 1 , 2 ]", " { \"a\" : { } , \"b\" : [ ] } ", `[1`, `[1,`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, "[\f]", "[\u00a0]")
}

// scripts are calls as programs make them, and as they should not.
var scripts = []string{
	"", "v", "k", "kv", "vv", "vkv", "{mnvmnvmnvm", "{mnvm", "{mnkvmnkvm", "[mvmvmvm", "[m[mvm", "{mn{mnvmmn", "{mn[mvmm", "{vvvv", "[vvvv", "{mmm", "[mmm", "m", "n", "{n", "{nn", "{nm", "{mnm", "[[[[", "{{", "{m{", "{mn[", "kkk", "vm", "{mnvv", "{mn{mnvmv",
}

func TestReaderReadsLikeJsontext(t *testing.T) {
	texts := append(odd(), accepted...)
	for _, c := range refused {
		texts = append(texts, c.text)
	}
	var fast ijson.Reader
	var plain plainReader
	for i, text := range texts {
		for _, s := range []byte{0, 1, 3, 5} {
			if got, want := walk(&fast, []byte(text), s), walk(&plain, []byte(text), s); got != want {
				t.Fatalf("%.60q, steps %d: %.300s, want %.300s", text, s, got, want)
			}
		}
		for j, script := range scripts {
			if len(text) > 12 && j%8 != i%8 {
				continue // each of the short ones, some of the others
			}
			if fault := compare(&fast, &plain, []byte(text), []byte(script)); fault != "" {
				t.Fatalf("%.60q, %s: %s", text, script, fault)
			}
		}
	}
}

// FuzzReaderLikeJsontext: whatever is called, on whatever text, and on each beginning of
// it, the Reader returns what jsontext returns.
func FuzzReaderLikeJsontext(f *testing.F) {
	for _, text := range odd() {
		if len(text) < 1000 {
			f.Add([]byte(text), []byte("{mnvmnvm"), byte(3))
		}
	}
	for i, script := range scripts {
		f.Add([]byte(accepted[7]), []byte(script), byte(i))
	}
	f.Add([]byte(`{"messages":[{"channel":"a","data":"b\n"},{"channel":["a","é"],"data":{"x":[1,null]},"event":"e"}]}`), []byte("{mn[m{mnvmnvm"), byte(7))
	var fast ijson.Reader
	var plain plainReader
	const names = "k{[mnv"
	f.Fuzz(func(t *testing.T, text, calls []byte, steps byte) {
		if len(calls) > 64 {
			calls = calls[:64]
		}
		script := make([]byte, len(calls))
		for i, c := range calls {
			if script[i] = c; !strings.Contains(names, string(rune(c))) {
				script[i] = names[int(c)%len(names)]
			}
		}
		before := bytes.Clone(text)
		cuts := []int{len(text), len(text) / 2, len(text) - 1, int(steps)}
		for _, cut := range cuts {
			part := text[:max(0, min(cut, len(text)))]
			if fault := compare(&fast, &plain, part, script); fault != "" {
				t.Fatalf("%q, %s: %s", part, script, fault)
			}
			if got, want := walk(&fast, part, steps), walk(&plain, part, steps); got != want {
				t.Fatalf("%q, steps %d: %s, want %s", part, steps, got, want)
			}
		}
		if !bytes.Equal(text, before) {
			t.Fatal("the text was changed")
		}
	})
}
