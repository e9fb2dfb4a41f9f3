package settings

import (
	"peal/server"
	"peal/server/ask"
	"peal/server/outbound"
)

// asking is how a backend is asked about clients.
var asking = List{
	Key:   "ask",
	Title: "Asking a backend",
	Items: "one mapping",
	Help:  "a backend that Peal asks whether a client may connect, subscribe or publish (callbacks.md); at most one; a reload changes it",

	Settings: []Setting{
		{Name: "url", Help: "where questions are sent with POST, as in https://app.example/peal/ask; http:// needs allow-private", Default: "none: must be set", redact: outbound.Redacted,
			field: ofAsking(func(d *ask.Definition) any { return &d.URL })},
		{Name: "secret", Help: "secret of the signature (Standard Webhooks): whsec_ and base64, or 24 to 512 bytes", Default: "none: set secret-file or secret", secret: true,
			field: ofAsking(func(d *ask.Definition) any { return &d.Secret })},
		{Name: "secret-file", Help: "file with that secret, which is read at the start and at each reload", Default: "none",
			field: ofAsking(func(d *ask.Definition) any { return &d.SecretFile })},
		{Name: "on", Help: "one or more of connect, subscribe, publish: what Peal asks", Default: "none: must be set",
			field: ofAsking(func(d *ask.Definition) any { return &d.On })},
		{Name: "channels", Help: "patterns of the channels for which Peal asks as subscribe and publish, as in orders.*; of an app with its namespace", Default: "all",
			field: ofAsking(func(d *ask.Definition) any { return &d.Channels })},
		{Name: "headers", Help: "headers of the client's request that the backend gets, as in Cookie, at most 8 KiB together", Default: "none",
			field: ofAsking(func(d *ask.Definition) any { return &d.Headers })},
		{Name: "timeout", Help: "how long a client waits for an answer, with the time in the queue", Min: second / 10, Max: 60 * second, Default: "2s",
			field: ofAsking(func(d *ask.Definition) any { return &d.Timeout })},
		{Name: "cache-ttl", Help: "how long an answer about a connection or a subscription holds for equal questions, if it does not say (ttl); negative: not at all", Min: -second, Max: 3600 * second, Default: "10s",
			field: ofAsking(func(d *ask.Definition) any { return &d.TTL })},
		{Name: "cache-entries", Help: "how many answers are remembered; beyond it the oldest is forgotten", Min: 1, Max: 10_000_000, Default: "10000",
			field: ofAsking(func(d *ask.Definition) any { return &d.CacheEntries })},
		{Name: "concurrency", Help: "how many requests are under way at a time", Min: 1, Max: 1000, Default: "16",
			field: ofAsking(func(d *ask.Definition) any { return &d.Concurrency })},
		{Name: "queue", Help: "how many questions wait for one of these; one address may have a quarter of it. Beyond it clients are refused with ask_busy", Min: 1, Max: 1_000_000, Default: "1000",
			field: ofAsking(func(d *ask.Definition) any { return &d.Queue })},
		{Name: "on-error", Help: "deny or allow: what holds if the backend does not answer", Default: "deny",
			field: ofAsking(func(d *ask.Definition) any { return &d.OnError })},
		{Name: "allow-private", Help: "whether the backend may have an address that is not public (loopback, private, link-local), and an http:// URL", Default: "false",
			field: ofAsking(func(d *ask.Definition) any { return &d.AllowPrivate })},
	},

	example: "url: https://app.example/peal/ask",
	items:   func(c *server.Config) any { return &c.Ask },
	live:    func(a, b server.Config) bool { return true },
	index:   faultAt(func(f *ask.Fault) int { return f.Index }),
}

// ofAsking is a field of the last definition.
func ofAsking(field func(d *ask.Definition) any) func(c *server.Config) any {
	return ofItem(func(c *server.Config) *[]ask.Definition { return &c.Ask }, field)
}
