package wsproto_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"peal/server/talk"
	"peal/server/wsproto"
)

// FuzzCommand compares what the parser accepts with encoding/json, which is slower: the
// object is valid, and the id, the name and the names of the fields are the same. What
// it refuses has a code, and an id that can be repeated in a reply.
func FuzzCommand(f *testing.F) {
	for _, text := range []string{
		`{"id":1,"command":"subscribe","channel":"news","cursor":"1z-4"}`,
		`{"id":"a\u00e9","command":"publish","channels":["a","b"],"data":{"x":[1,2]},"key":"k"}`,
		`{"command":"token","id":-0.5e3,"token":"x.y.z"}`,
		`{"id":1,"id":2,"command":"ping"}`, `{"id":null,"command":"ping"}`, `[]`, `{`, ``, "{\"id\":\"\xff\"}", `{"id":1,"command":"pi\u006eg"}`,
		`{"id":1,"command":"ping","nothing":1}`, `{"id":1,"command":"ping"} `, `{"id":1,"command":"ping"}x`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			p wsproto.Parser
			c talk.Command
		)
		whole := bytes.Clone(b)
		fault := p.Parse(&c, false, b)
		if !bytes.Equal(b, whole) {
			t.Fatal("the message was changed")
		}
		if !json.Valid(c.ID) {
			t.Fatalf("id %q would spoil the reply", c.ID)
		}
		if fault != nil {
			if fault.Code == "" || fault.Message == "" || !json.Valid(fault.AppendJSON(nil)) {
				t.Fatalf("refused with %+v", fault)
			}
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatalf("accepted, but encoding/json finds: %v", err)
		}
		if id := bytes.TrimSpace(fields["id"]); !bytes.Equal(id, c.ID) {
			t.Fatalf("id %q, want %q", c.ID, id)
		}
		var name string
		if err := json.Unmarshal(fields["command"], &name); err != nil || name != c.Name {
			t.Fatalf("command %q, want %q (%v)", c.Name, name, err)
		}
		kind := slices.IndexFunc(talk.Kinds[:], func(k talk.Kind) bool { return k.Name == name })
		for field := range fields {
			if field != "id" && field != "command" && !slices.Contains(talk.Kinds[kind].Fields, field) {
				t.Fatalf("accepted with a field %q, which %s does not have", field, name)
			}
		}
	})
}
