package settings

import (
	"strings"

	"peal/server"
	"peal/server/credential"
)

// operatorKeys are the keys of operators.
var operatorKeys = List{
	Key:   "operator-keys",
	Title: "Keys of operators",
	Items: "keys of operators",
	Help:  "keys that the admin listener asks for, by their digests, and what each allows; at most 100. Without any it asks for none. A reload replaces them, but does not remove the last one",
	Files: "operator-key-file",

	Settings: []Setting{
		{Name: "name", Help: "name of the key in the log, 1 to 64 bytes, different for each key", Default: "none: must be set",
			field: ofOperator(func(d *credential.Definition) any { return &d.Name })},
		{Name: "digest", Help: "digest of the key, sha256: and 64 hexadecimal digits, as `peal key create --operator` and `peal key digest` print it", Default: "none: must be set", secret: true,
			field: ofOperator(func(d *credential.Definition) any { return &d.Digest })},
		{Name: "allow", Help: "what the operator may do: read (the dashboard, numbers, connections, metrics, traces), publish (send test messages), disconnect (end connections, and keep clients away), operate (reload, upgrade, webhooks, profiles); each includes read", Default: "none: must be set",
			field: ofOperator(func(d *credential.Definition) any { return &d.Allow })},
	},

	example: "name: grafana",
	items:   func(c *server.Config) any { return &c.OperatorKeys },
	live:    func(a, b server.Config) bool { return len(b.OperatorKeys) > 0 || len(a.OperatorKeys) == 0 },
	index:   faultAt(func(f *credential.Fault) int { return f.Key }),
}

// ofOperator is a field of the last key.
func ofOperator(field func(d *credential.Definition) any) func(c *server.Config) any {
	return ofItem(func(c *server.Config) *[]credential.Definition { return &c.OperatorKeys }, field)
}

// OperatorYAML is a list of that key alone, as lines of a file.
func OperatorYAML(d credential.Definition) string {
	b := &strings.Builder{}
	b.WriteString(operatorKeys.Key + ":\n")
	operatorKeys.appendItem(b, "", &server.Config{OperatorKeys: []credential.Definition{d}}, Setting.text)
	return b.String()
}
