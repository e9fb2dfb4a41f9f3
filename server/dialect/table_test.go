package dialect_test

import (
	"slices"
	"testing"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/log"
)

func TestAClientChoosesItsDialect(t *testing.T) {
	check := func(f loop.Framing, protocol, format string, want ring.Encoding) {
		t.Helper()
		if k, ok := table.Choose(f, protocol, format); !ok || k != want {
			t.Errorf("framing %d, subprotocol %q, format %q: %d (%v), want %s", f, protocol, format, k, ok, table.At(want).Name)
		}
	}
	none := func(f loop.Framing, protocol, format string) {
		t.Helper()
		if k, ok := table.Choose(f, protocol, format); ok {
			t.Errorf("framing %d, subprotocol %q, format %q: %s, want none", f, protocol, format, table.At(k).Name)
		}
	}
	check(loop.WebSocket, "", "", dialect.WSRaw)
	check(loop.WebSocket, "", "raw", dialect.WSRaw)
	check(loop.WebSocket, "", "json", dialect.WSJSON)
	none(loop.WebSocket, "", "xml")
	check(loop.WebSocket, "peal.raw", "", dialect.WSRaw)
	check(loop.WebSocket, "peal.raw", "raw", dialect.WSRaw)
	none(loop.WebSocket, "peal.raw", "json")
	check(loop.WebSocket, "peal.v1", "", dialect.V1)
	check(loop.WebSocket, "peal.v1", "json", dialect.V1)
	none(loop.WebSocket, "peal.v1", "raw")
	check(loop.EventStream, "", "", dialect.SSERaw)
	check(loop.EventStream, "", "json", dialect.SSEJSON)
	check(loop.Held, "", "", dialect.PollJSON)
	check(loop.Held, "", "raw", dialect.PollRaw)
	none(loop.Held, "", "xml")
	if got := table.Protocols(); !slices.Equal(got, []string{"peal.raw", "peal.v1"}) {
		t.Errorf("subprotocols %q", got)
	}
}

// Rows with the same bytes share an encoding.
func TestRowsThatAreSentTheSameShareAnEncoding(t *testing.T) {
	for k := range table.Len() {
		k := ring.Encoding(k)
		want := k
		if k == dialect.V1 {
			want = dialect.WSJSON
		}
		if k == dialect.Mercure {
			want = dialect.SSERaw
		}
		if got := table.Encoding(k); got != want {
			t.Errorf("%s has encoding %d, want %d", table.At(k).Name, got, want)
		}
	}
}

func TestNewTableRefusesRowsThatContradict(t *testing.T) {
	encode := func(*log.Entry, string, log.Cursor) []byte { return nil }
	respond := func(dst []byte, _ dialect.Answer) []byte { return dst }
	for name, rows := range map[string][]dialect.Dialect{
		"a name twice":                 {{Name: "a", Encode: encode}, {Name: "a", Encode: encode}},
		"no words":                     {{Name: "a"}},
		"a stream that responds":       {{Name: "a", Encode: encode, Respond: respond}},
		"a response without a word":    {{Name: "a", Framing: loop.Held, Encode: encode}},
		"the same as nobody":           {{Name: "a", SameAs: "b"}},
		"the same on another framing":  {{Name: "a", Encode: encode}, {Name: "b", SameAs: "a", Framing: loop.EventStream}},
		"the same, but not all of it":  {{Name: "a", Encode: encode}, {Name: "b", SameAs: "a", Encode: encode}},
		"more than an encoding counts": make([]dialect.Dialect, 257),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			dialect.NewTable(rows...)
		}()
	}
}
