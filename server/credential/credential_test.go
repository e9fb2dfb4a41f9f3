package credential_test

import (
	"bytes"
	"strings"
	"testing"

	"peal/server/apikey"
	"peal/server/credential"
)

func key(t *testing.T, b byte) string {
	t.Helper()
	text, err := apikey.Create(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOperatorsAreFoundByTheirKeys(t *testing.T) {
	one, two := key(t, 1), key(t, 2)
	table := credential.New([]credential.Definition{{Name: "grafana", Digest: apikey.Digest(one), Allow: []string{"read"}}, {Name: "ann", Digest: apikey.Digest(two), Allow: []string{"disconnect", "publish"}}})
	for _, c := range []struct{ key, name, rights string }{
		{one, "grafana", "[read]"}, {two, "ann", "[read publish disconnect]"},
	} {
		o, ok := table.Find(c.key)
		if !ok || o.Name != c.name || strings.Join(strings.Fields(sprint(o.Rights())), " ") != c.rights || o.May(credential.Operate) {
			t.Errorf("%+v, %v", o, ok)
		}
	}
	for _, wrong := range []string{"", "peal_", key(t, 3), one + "x", one[:len(one)-1], strings.ToUpper(one)} {
		if o, ok := table.Find(wrong); ok || o != nil {
			t.Errorf("%q is %+v", wrong, o)
		}
	}
	if o, ok := credential.New(nil).Find(one); ok || o != nil {
		t.Error("without keys there is an operator")
	}
	var nobody *credential.Operator
	if !nobody.May(credential.Operate) || len(nobody.Rights()) != 4 {
		t.Error("without keys not everything is allowed")
	}
}

func sprint(rights []credential.Right) string {
	var all []string
	for _, r := range rights {
		all = append(all, string(r))
	}
	return "[" + strings.Join(all, " ") + "]"
}

func TestAllFaultsOfOperatorsAtOnce(t *testing.T) {
	one := key(t, 1)
	digest := apikey.Digest(one)
	err := credential.Validate([]credential.Definition{
		{Name: "a", Digest: digest, Allow: []string{"read"}}, {Name: "a", Digest: digest, Allow: []string{"raed", "everything"}}, {Digest: one},
	})
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{
		`key 2, "a": key 1 has this name already`, `key 2, "a": has the digest of key 1`, `allow "raed": unknown right; did you mean read?`, `allow "everything": must be one of read, publish, disconnect, operate`,
		`key 3, "": set name`, `key 3, "": its digest is a key`, `key 3, "": allows nothing`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), one[5:]) || strings.Contains(err.Error(), digest[7:]) {
		t.Error("a fault repeats a key or a digest")
	}
	if credential.Validate(make([]credential.Definition, credential.Most+1)) == nil || credential.Validate(nil) != nil {
		t.Error("the number of keys")
	}
}
