package settings

import (
	"strings"

	"peal/server"
	"peal/server/apikey"
)

// backendKeys are the keys of backends.
var backendKeys = List{
	Key:   "keys",
	Title: "Keys",
	Items: "keys of backends",
	Help:  "keys of backends by their digests, and what each allows; at most 1000",
	Files: "key-file",

	Settings: []Setting{
		{Name: "name", Help: "name of the key in metrics, 1 to 64 bytes, different for each key", Default: "none: must be set",
			field: ofKey(func(d *apikey.Definition) any { return &d.Name })},
		{Name: "digest", Help: "digest of the key, sha256: and 64 hexadecimal digits, as `peal key create` and `peal key digest` print it", Default: "none: must be set", secret: true,
			field: ofKey(func(d *apikey.Definition) any { return &d.Digest })},
		{Name: "allow", Help: "what the key may do: subscribe, history, presence, publish, inspect, disconnect, revoke; the first five also with a pattern of channels, as in publish:orders.*; without one on every channel, also on those of single users ($user:42), which the pattern * does not match; subscribe includes history", Default: "none: must be set",
			field: ofKey(func(d *apikey.Definition) any { return &d.Allow })},
	},

	example: "name: shop",
	items:   func(c *server.Config) any { return &c.Keys },
	live:    func(a, b server.Config) bool { return true },
	index:   faultAt(func(f *apikey.Fault) int { return f.Key }),
}

// ofKey is a field of the last key.
func ofKey(field func(d *apikey.Definition) any) func(c *server.Config) any {
	return ofItem(func(c *server.Config) *[]apikey.Definition { return &c.Keys }, field)
}

// KeyYAML is a list of that key alone, as lines of a file.
func KeyYAML(d apikey.Definition) string {
	b := &strings.Builder{}
	b.WriteString(backendKeys.Key + ":\n")
	backendKeys.appendItem(b, "", &server.Config{Keys: []apikey.Definition{d}}, Setting.text)
	return b.String()
}
