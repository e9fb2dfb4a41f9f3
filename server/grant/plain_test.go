package grant_test

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"slices"
	"testing"

	"peal/server/grant"
)

// selectors stand for those of the Mercure protocol.
type selectors []string

func (s selectors) Match(topic string) bool { return slices.Contains(s, topic) }
func (s selectors) Texts() []string         { return s }

// TestPlain: a grant that has passed to another process allows what it allowed.
func TestPlain(t *testing.T) {
	scope := func(lists map[grant.Action][]string) *grant.Scope {
		s, err := grant.NewScope(lists)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	both := scope(map[grant.Action][]string{grant.Subscribe: {"a.*", `b\*`}, grant.History: {"old"}, grant.Publish: {}, grant.Revoke: {}})
	for _, g := range []*grant.Grant{
		{Kind: grant.User, Subject: "42", ID: "j", Issued: 1, Expires: 2, Info: `{"a":1}`, Scope: both},
		{Kind: grant.Backend, Subject: "shop", Scope: scope(map[grant.Action][]string{grant.Publish: {"*", "a*b**c"}, grant.Disconnect: {}})},
		{Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(selectors{"t"}, nil)},
		{Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(nil, selectors{"*", "u"})},
	} {
		again := g
		for range 2 { // from process to process
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(again.Plain()); err != nil {
				t.Fatal(err)
			}
			var p grant.Plain
			if err := gob.NewDecoder(&b).Decode(&p); err != nil {
				t.Fatal(err)
			}
			var err error
			again, err = p.Grant(func(texts []string) (grant.Selectors, error) { return selectors(texts), nil })
			if err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
		}
		a, b := *g, *again
		a.Scope, b.Scope = nil, nil
		if a != b {
			t.Errorf("%+v became %+v", a, b)
		}
		for _, action := range grant.Actions() {
			if g.May(action) != again.May(action) {
				t.Errorf("%+v: %v is granted: %t", g, action, again.May(action))
			}
			for _, channel := range []string{"a.b", "b*", "bc", "old", "t", "u", "*", "axbyc", "$me", "acb"} {
				if g.Allows(action, channel) != again.Allows(action, channel) {
					t.Errorf("%+v: %v on %q is granted: %t", g, action, channel, again.Allows(action, channel))
				}
			}
		}
		if !reflect.DeepEqual(g.Plain(), again.Plain()) {
			t.Errorf("%+v grows: %+v", g.Plain(), again.Plain())
		}
	}
	if _, err := (&grant.Plain{Kind: "machine"}).Grant(nil); err == nil {
		t.Error("a kind that is not known was taken for one that is")
	}
}
