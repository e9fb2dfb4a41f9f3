package ijson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep arrays and objects may be nested: the parser's own limit.
const MaxDepth = 10_000

// Reader reads one JSON text. The zero value is ready for Start; reuse saves its
// memory. After a fault it reads nothing more: loops over More end, and End returns
// the fault.
//
//	r.Start(text)
//	for r.Enter('{'); r.More(); {
//		switch name := r.Name(); string(name) {
//		…
//		}
//	}
//	err := r.End()
type Reader struct {
	decoder jsontext.Decoder
	source  bytes.Buffer
	text    []byte
	fault   error
}

// ErrKind is the error of End if a value is of another kind than Enter expects.
// Its other errors are of type *SyntaxError.
var ErrKind = errors.New("ijson: not the expected array or object")

// SyntaxError describes text that is not JSON, or not strict JSON, and its byte.
type SyntaxError struct {
	Reason string
	Offset int
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s, at byte %d", e.Reason, e.Offset) }

// Start begins with another text, which is kept until the next Start and not
// changed. Values alias it.
func (r *Reader) Start(text []byte) {
	r.text, r.fault = text, nil
	r.source = *bytes.NewBuffer(text) // the decoder reads the bytes in place
	r.decoder.Reset(&r.source)
}

// Kind is that of the next value: one of { [ " 0 t f n; 0 at the end or a fault.
func (r *Reader) Kind() byte {
	if r.fault != nil {
		return 0
	}
	return byte(r.decoder.PeekKind())
}

// Enter enters the array ('[') or object ('{') that comes next. More leaves it.
func (r *Reader) Enter(open byte) {
	token, ok := r.token()
	if ok && byte(token.Kind()) != open {
		r.fail(ErrKind)
	}
}

// More reports whether the array or object that was entered last has another
// element or member. If not, it is left.
func (r *Reader) More() bool {
	switch r.Kind() {
	case 0:
		r.token() // for the fault
		return false
	case '}', ']':
		r.token()
		return false
	}
	return true
}

// Name reads the name of the next member; its value must be read before the
// next Name. It aliases the text unless it has escapes.
func (r *Reader) Name() []byte {
	text, _ := r.Value().Text()
	return text
}

// Value reads the next value, whole. After a fault it is nil.
func (r *Reader) Value() Value {
	if r.fault != nil {
		return nil
	}
	value, err := r.decoder.ReadValue()
	if err != nil {
		r.fail(r.syntax(err))
		return nil
	}
	// The value of jsontext is valid until its next call only; the text is ours.
	end := int(r.decoder.InputOffset())
	return Value(r.text[end-len(value) : end])
}

// End returns the fault, if there was one or something follows the value.
func (r *Reader) End() error {
	if r.fault != nil {
		return r.fault
	}
	if _, err := r.decoder.ReadToken(); err != io.EOF { // unwrapped, as documented
		if err == nil {
			err = errors.New("there is text after the value")
		}
		r.fail(r.syntax(err))
	}
	return r.fault
}

func (r *Reader) token() (jsontext.Token, bool) {
	if r.fault != nil {
		return jsontext.Token{}, false
	}
	token, err := r.decoder.ReadToken()
	if err != nil {
		r.fail(r.syntax(err))
	}
	return token, err == nil
}

func (r *Reader) fail(err error) { r.fault = err }

// syntax converts the parser's error to a SyntaxError, without the parser's name.
func (r *Reader) syntax(err error) error {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &SyntaxError{e.Err.Error(), int(e.ByteOffset)}
	}
	if err == io.EOF {
		return &SyntaxError{"the text is empty", 0}
	}
	return &SyntaxError{err.Error(), int(r.decoder.InputOffset())}
}
