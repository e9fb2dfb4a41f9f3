package ijson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrKind is the error of End if a value is of another kind than Enter expects.
// Its other errors are of type *SyntaxError.
var ErrKind = errors.New("ijson: not the expected array or object")

// SyntaxError describes text that is not JSON, or not strict JSON, and its byte.
type SyntaxError struct {
	Reason string
	Offset int
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s, at byte %d", e.Reason, e.Offset) }

// step is what a Reader wanted to read when it found a fault.
type step uint8

const (
	stepToken step = iota
	stepValue
	stepEnd
)

// explainer finds the words for faults: jsontext reads the text once more, up to the
// fault. So a text costs twice as much at most if it is refused, and the reasons are
// those of a parser that many use.
type explainer struct {
	decoder jsontext.Decoder
	source  bytes.Buffer
}

// explain describes the fault behind the first at bytes of text, which are well formed
// and end behind a name, a value or a bracket.
func (x *explainer) explain(text []byte, at int, s step) error {
	x.source = *bytes.NewBuffer(text) // the decoder reads the bytes in place
	d := &x.decoder
	d.Reset(&x.source)
	defer func() {
		x.source = bytes.Buffer{}
		d.Reset(&x.source)
	}()
	for int(d.InputOffset()) < at {
		if _, err := d.ReadToken(); err != nil {
			return syntax(d, err)
		}
	}
	var err error
	switch s {
	case stepToken:
		_, err = d.ReadToken()
	case stepValue:
		_, err = d.ReadValue()
	case stepEnd:
		if _, err = d.ReadToken(); err == nil {
			err = errors.New("there is text after the value")
		}
	}
	if err == nil { // unreachable: FuzzReaderLikeJsontext
		err = errors.New("this is not JSON as RFC 7493 requires")
	}
	return syntax(d, err)
}

// syntax converts the parser's error to a SyntaxError, without the parser's name.
func syntax(d *jsontext.Decoder, err error) error {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &SyntaxError{e.Err.Error(), int(e.ByteOffset)}
	}
	if err == io.EOF { // unwrapped, as documented
		return &SyntaxError{"the text is empty", 0}
	}
	return &SyntaxError{err.Error(), int(d.InputOffset())}
}
