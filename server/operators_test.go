package server_test

import (
	"bytes"
	"net/http"
	"testing"

	"peal/server"
	"peal/server/apikey"
	"peal/server/credential"
)

// The admin listener asks for keys, a reload replaces them, and no reload opens it.
func TestOperatorKeysAreReloaded(t *testing.T) {
	var keys []string
	var all []credential.Definition
	for i, allow := range []string{"read", "publish"} {
		key, err := apikey.Create(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		keys, all = append(keys, key), append(all, credential.Definition{Name: allow, Digest: apikey.Digest(key), Allow: []string{allow}})
	}
	c := server.Config{Admin: "127.0.0.1:0", OperatorKeys: all[:1]}
	s, _ := run(t, c)
	check := func(when string, want ...int) {
		t.Helper()
		for i, key := range append([]string{""}, keys...) {
			r, err := http.NewRequest("GET", "http://"+s.AdminAddrs()[0].String()+"/connections", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth("ann", key)
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want[i] {
				t.Errorf("%s: key %d: %d, want %d", when, i, response.StatusCode, want[i])
			}
		}
	}
	check("at the start", 401, 200, 401)
	for _, step := range []struct {
		when string
		keys []credential.Definition
		want []int
	}{{"another key", all[1:], []int{401, 401, 200}}, {"no key", nil, []int{401, 401, 200}}, {"both", all, []int{401, 200, 200}}} {
		c.OperatorKeys = step.keys
		if err := s.Reload(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		check(step.when, step.want...)
	}
}

// Keys alone do not make a cleartext address safe that other machines reach; with TLS they do.
func TestKeysAndTLSMakeAnAdminAddressPublic(t *testing.T) {
	keys := []credential.Definition{{Name: "a", Digest: apikey.Digest("x"), Allow: []string{"read"}}}
	for _, c := range []struct {
		config server.Config
		ok     bool
	}{
		{server.Config{Admin: "0.0.0.0:1"}, false},
		{server.Config{Admin: "0.0.0.0:1", OperatorKeys: keys}, false},
		{server.Config{Admin: "0.0.0.0:1", AdminTLS: server.AdminTLS{Cert: "c", Key: "k"}}, false},
		{server.Config{Admin: "0.0.0.0:1", AdminTLS: server.AdminTLS{Cert: "c", Key: "k"}, OperatorKeys: keys}, true},
	} {
		if got := server.CheckAdmin(c.config) == nil; got != c.ok {
			t.Errorf("%+v: %v", c.config, got)
		}
	}
}
