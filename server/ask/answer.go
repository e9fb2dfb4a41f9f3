package ask

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"peal/loop/frame"
	"peal/server/ijson"
	"peal/server/pattern"
	"peal/server/refusal"
)

// Longest parts of an answer, in bytes.
const (
	mostAnswer = 512 << 10
	mostReason = 80 // a close frame has 123 bytes for the code and this
	mostUser   = 200
	mostInfo   = 1 << 10
)

// Answer is what the backend said, or why there is no answer. Nobody changes one.
type Answer struct {
	Refusal *refusal.Error // why the client may not; nil: it may
	Failed  bool           // Refusal is no word of the backend

	User    string // name of the client; "" for none
	Info    string // what presence shows of it
	HasInfo bool

	// Rewrite: Data is published in place of the client's.
	Rewrite bool
	Data    []byte
	Binary  bool

	ttl time.Duration // how long it holds for equal questions; 0: for this one only
}

// Unavailable refuses because nobody knows whether the client may.
var (
	ErrUnavailable = &refusal.Error{Status: 503, Code: "ask_unavailable", Message: "the backend that decides about this did not answer: try again in a second", Close: frame.CloseTryAgainLater}
	ErrBusy        = &refusal.Error{Status: 503, Code: "ask_busy", Message: "too many requests wait for the backend that decides about them (ask: queue, timeout): try again in a second", Close: frame.CloseTryAgainLater}
	ErrDenied      = &refusal.Error{Status: 403, Code: "ask_denied", Message: "the backend refuses this", Close: frame.CloseForbidden}
)

// denied is ErrDenied with the reason of the backend.
func denied(reason string) *refusal.Error {
	if reason == "" {
		return ErrDenied
	}
	return &refusal.Error{Status: ErrDenied.Status, Code: ErrDenied.Code, Message: ErrDenied.Message + ": " + reason, Close: ErrDenied.Close}
}

// parse reads the body of an answer about an action. ttl is how long it holds if it does not
// say. An error says what is wrong with it, for the operator.
func parse(body []byte, action Action, ttl time.Duration) (*Answer, error) {
	a, reason := &Answer{ttl: ttl}, ""
	var allow, strange string
	var r ijson.Reader
	r.Start(body)
	if r.Kind() != '{' && len(body) > 0 && r.Kind() != 0 {
		return nil, errors.New("its answer is no JSON object")
	}
	var fault error
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		v := r.Value()
		var err error
		switch {
		case name == "allow":
			allow = string(v)
		case name == "reason":
			err = take(&reason, name, v, mostReason)
		case name == "user" && action != Publish:
			err = take(&a.User, name, v, mostUser)
			if err == nil && a.User != "" && !pattern.IsPrintable([]byte(a.User)) {
				err = errors.New("user is not printable UTF-8")
			}
		case name == "info" && action != Publish:
			a.HasInfo = !v.IsNull()
			if a.Info = text(v); len(a.Info) > mostInfo {
				err = fmt.Errorf("info has more than %d bytes", mostInfo)
			}
		case (name == "data" || name == "data_base64") && action == Publish:
			err = a.rewrite(name, v)
		case name == "ttl":
			a.ttl, err = parseTTL(v)
		case strange == "":
			strange = name
		}
		if fault == nil {
			fault = err
		}
	}
	if err := r.End(); err != nil {
		return nil, errors.New("its answer is not JSON by RFC 7493")
	}
	switch {
	case fault != nil:
		return nil, fmt.Errorf("in its answer, %w", fault)
	case allow != "true" && allow != "false":
		return nil, errors.New(`its answer has no "allow" that is true or false`)
	case strange != "":
		return nil, fmt.Errorf("its answer about %s has an unknown member %.40q", action, strange)
	case allow == "false":
		return &Answer{Refusal: denied(reason), ttl: a.ttl}, nil
	}
	return a, nil
}

// take reads a string of at most that many bytes; null is none.
func take(into *string, name string, v ijson.Value, most int) error {
	if v.IsNull() {
		return nil
	}
	b, ok := v.Text()
	switch {
	case !ok:
		return fmt.Errorf("%s is no string", name)
	case len(b) > most:
		return fmt.Errorf("%s has more than %d bytes", name, most)
	}
	*into = string(b)
	return nil
}

// text is a string as its text, null as nothing, and any other value as its JSON.
func text(v ijson.Value) string {
	if v.IsNull() {
		return ""
	}
	if b, ok := v.Text(); ok {
		return string(b)
	}
	return string(v.Compact())
}

// rewrite reads data, whose value is text or any JSON, or data_base64.
func (a *Answer) rewrite(name string, v ijson.Value) (err error) {
	if v.IsNull() {
		return nil
	}
	if a.Rewrite {
		return errors.New("there are both data and data_base64")
	}
	a.Rewrite = true
	if name == "data" {
		a.Data = []byte(text(v))
		return nil
	}
	b, ok := v.Text()
	if !ok {
		return errors.New("data_base64 is no string")
	}
	if a.Data, err = base64.StdEncoding.DecodeString(string(b)); err != nil {
		return errors.New("data_base64 is not base64")
	}
	a.Binary = !utf8.Valid(a.Data)
	return nil
}

func parseTTL(v ijson.Value) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(string(v), 64)
	if err != nil || seconds < 0 {
		return 0, errors.New("ttl is no number of seconds, 0 or more")
	}
	return time.Duration(min(seconds, mostTTL.Seconds()) * float64(time.Second)), nil
}

// size is what the answer takes in a cache, about.
func (a *Answer) size() int { return 256 + len(a.User) + len(a.Info) + len(a.Data) }
