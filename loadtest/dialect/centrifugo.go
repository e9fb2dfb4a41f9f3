package dialect

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Resumes reports whether connections can come back to where they were.
func (d *Dialect) Resumes() bool { return d.Code == "centrifugo" }

// Advance returns where a connection is after a message, given where it was: the same
// memory, or nil while that is not known. It is what {cursor} stands for when the
// connection comes back: the members of Centrifugo's subscribe command. gap says that
// the server could not resume. A channel has cursors with force_recovery.
func (d *Dialect) Advance(cursor, message []byte) (next []byte, gap bool) {
	if !d.Resumes() {
		return nil, false
	}
	if !bytes.HasPrefix(message, push) && bytes.Contains(message, subscribed) {
		var answer struct {
			Subscribe *struct {
				Recoverable, Recovered bool
				WasRecovering          bool `json:"was_recovering"`
				Epoch                  string
				Offset                 uint64
			}
		}
		_ = json.Unmarshal(message, &answer) // what is not JSON is no answer
		r := answer.Subscribe
		switch {
		case r == nil:
			return cursor, false
		case !r.Recoverable:
			return nil, false
		}
		return fmt.Appendf(cursor[:0], `,"recover":true,"epoch":%q,"offset":%d`, r.Epoch, r.Offset), r.WasRecovering && !r.Recovered
	}
	_, digits, ok := bytes.Cut(message, offset)
	at := bytes.Index(cursor, offset)
	if !ok || at < 0 || !bytes.HasPrefix(message, push) {
		return cursor, false
	}
	end := 0
	for end < len(digits) && '0' <= digits[end] && digits[end] <= '9' {
		end++
	}
	return append(cursor[:at+len(offset)], digits[:end]...), false
}

var (
	push       = []byte(`{"push":`)
	subscribed = []byte(`"subscribe":`)
	offset     = []byte(`"offset":`)
)
