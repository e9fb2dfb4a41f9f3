package wsproto_test

import (
	"strings"
	"testing"

	"peal/server/talk"
	"peal/server/wsproto"
)

// An id of exactly the documented 64 bytes is good, in a string as in a number, and
// comes back as it was written.
func TestAnIDHasSixtyFourBytes(t *testing.T) {
	for _, row := range []struct {
		id   string
		good bool
	}{
		{`"` + strings.Repeat("x", 64) + `"`, true},
		{`"` + strings.Repeat("x", 65) + `"`, false},
		{`"` + strings.Repeat("é", 32) + `"`, true},
		{`"` + strings.Repeat("é", 32) + `x"`, false},
		{strings.Repeat("1", 64), true},
		{strings.Repeat("1", 65), false},
		{`""`, true},
		{`null`, false},
		{`[]`, false},
	} {
		var (
			p wsproto.Parser
			c talk.Command
		)
		fault := p.Parse(&c, false, []byte(`{"command":"ping","id":`+row.id+`}`))
		switch {
		case row.good && (fault != nil || string(c.ID) != row.id):
			t.Errorf("id %s: fault %v, id %s", row.id, fault, c.ID)
		case !row.good && (fault == nil || fault.Code != "bad_id" || string(c.ID) != "null"):
			t.Errorf("id %s: fault %v, id %s, want bad_id and null", row.id, fault, c.ID)
		}
	}
}
