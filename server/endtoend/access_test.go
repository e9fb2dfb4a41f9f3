package endtoend_test

import (
	"crypto/rand"
	"testing"

	"peal/server"
	"peal/server/apikey"
)

// createKey is a new key for a backend, and its definition for a configuration.
func createKey(t testing.TB, name string, allow ...string) (key string, d apikey.Definition) {
	t.Helper()
	key, err := apikey.Create(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key, apikey.Definition{Name: name, Digest: apikey.Digest(key), Allow: allow}
}

// bearer is the header line that carries a token or a key.
func bearer(text string) string { return "Authorization: Bearer " + text }

// guarded is a server on which nothing is allowed that no token or key grants.
type guarded struct {
	*peal
	keys map[string]string // by name
}

// startGuarded starts one with a key for each name. set may change the configuration
// further; nil for no change.
func startGuarded(t testing.TB, allow map[string][]string, set func(*server.Config)) *guarded {
	t.Helper()
	g := &guarded{keys: map[string]string{}}
	g.peal = startWith(t, func(c *server.Config) {
		c.Auth = "token"
		for name, entries := range allow {
			key, d := createKey(t, name, entries...)
			g.keys[name] = key
			c.Keys = append(c.Keys, d)
		}
		if set != nil {
			set(c)
		}
	})
	return g
}
