package settings

import (
	"peal/server"
	"peal/server/outbound"
	"peal/server/webhook"
)

// webhooks are the endpoints of backends.
var webhooks = List{
	Key:   "webhooks",
	Title: "Webhooks",
	Items: "webhooks",
	Help:  "endpoints of backends that Peal tells what happens (webhooks.md); at most 100",

	Settings: []Setting{
		{Name: "name", Help: "name of the webhook in metrics and in the log, 1 to 64 bytes, different for each; its position in the log is stored under it", Default: "none: must be set",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.Name })},
		{Name: "url", Help: "where events are sent with POST, as in https://app.example/hooks; http:// needs allow-private", Default: "none: must be set", redact: outbound.Redacted,
			field: ofWebhook(func(d *webhook.Definition) any { return &d.URL })},
		{Name: "events", Help: "one or more of channel_occupied, channel_vacated, member_added, member_removed, client_event, subscription_count, publication, cache_miss; gap comes always", Default: "none: must be set",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.Events })},
		{Name: "channels", Help: "patterns of the channels whose events are sent, as in orders.*; of an app without its namespace", Default: "all; for publication it must be set",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.Channels })},
		{Name: "secret", Help: "secret of the signature (Standard Webhooks): whsec_ and base64, or 24 to 512 bytes", Default: "none: set secret-file, secret or app", secret: true,
			field: ofWebhook(func(d *webhook.Definition) any { return &d.Secret })},
		{Name: "secret-file", Help: "file with that secret, which is read at the start and at each reload", Default: "none",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.SecretFile })},
		{Name: "app", Help: "id of an app: its channels only, and the form and the signature of the Pusher protocol", Default: "none",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.App })},
		{Name: "retry-for", Help: "how old an event becomes before it is given up and a dead letter", Min: second, Max: 30 * maxTime, Default: "24h",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.RetryFor })},
		{Name: "timeout", Help: "how long a request may take, with its response", Min: second / 10, Max: 60 * second, Default: "10s",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.Timeout })},
		{Name: "allow-private", Help: "whether the endpoint may have an address that is not public (loopback, private, link-local), and an http:// URL", Default: "false",
			field: ofWebhook(func(d *webhook.Definition) any { return &d.AllowPrivate })},
	},

	example: "name: shop",
	items:   func(c *server.Config) any { return &c.Webhooks },
	live:    func(a, b server.Config) bool { return true },
	index:   faultAt(func(f *webhook.Fault) int { return f.Endpoint }),
}

// ofWebhook is a field of the last webhook.
func ofWebhook(field func(d *webhook.Definition) any) func(c *server.Config) any {
	return ofItem(func(c *server.Config) *[]webhook.Definition { return &c.Webhooks }, field)
}
