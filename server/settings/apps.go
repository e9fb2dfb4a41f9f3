package settings

import (
	"peal/server"
	"peal/server/app"
)

// pusherApps are the apps of the Pusher Channels protocol.
var pusherApps = List{
	Key:   "apps",
	Title: "Apps",
	Items: "apps of the Pusher protocol",
	Help:  "apps of the Pusher Channels protocol; at most 1000; without any, the variables REVERB_APP_ID, REVERB_APP_KEY and REVERB_APP_SECRET describe one, else PUSHER_APP_ID, PUSHER_APP_KEY and PUSHER_APP_SECRET",
	Files: "app-file",

	Settings: []Setting{
		{Name: "id", Help: "id of the app, which is in the paths of the HTTP API (REVERB_APP_ID, PUSHER_APP_ID)", Default: "none: must be set",
			field: ofApp(func(d *app.Definition) any { return &d.ID })},
		{Name: "key", Help: "key of the app, which is in the URL of every client; it is public", Default: "none: must be set",
			field: ofApp(func(d *app.Definition) any { return &d.Key })},
		{Name: "secret", Help: "secret of the app, with which its backend signs: 8 to 512 bytes", Default: "none: it or secret-file must be set", secret: true,
			field: ofApp(func(d *app.Definition) any { return &d.Secret })},
		{Name: "secret-file", Help: "file with the secret, instead", Default: "none",
			field: ofApp(func(d *app.Definition) any { return &d.SecretFile })},
		{Name: "namespace", Help: "beginning of the app's channels in Peal, empty or a name that ends with a colon: with shop: the channel orders of the app is the channel shop:orders; different for each app", Default: "none: the channels of the app have the same names in Peal",
			field: ofApp(func(d *app.Definition) any { return &d.Namespace })},
		{Name: "public", Help: "whether everybody who knows the key may subscribe to public channels of the app with auth token, too; a channel rule that asks for a token or a backend holds in any case", Default: "true; false for an app without a namespace if the server also has tokens or keys",
			field: ofApp(func(d *app.Definition) any { return &d.Public })},
		{Name: "client-events", Help: "whether clients may send client- events on private and presence channels", Default: "true",
			field: ofApp(func(d *app.Definition) any { return &d.ClientEvents })},
		{Name: "client-event-rate", Help: "client- events of one connection, as in 10/s or 10/s burst 20, or off; beyond it the client gets pusher:error 4301 and the event is dropped", Default: "10/s",
			field: ofApp(func(d *app.Definition) any { return &d.ClientEventRate })},
		{Name: "subscription-count", Help: "whether a client receives the number of subscribers when it has subscribed to a channel, and when the number has changed (at most once a second, every 5 s beyond 100 subscribers); except of presence channels; costs about 100 bytes for each subscription", Default: "false",
			field: ofApp(func(d *app.Definition) any { return &d.SubscriptionCount })},
		{Name: "max-connections", Help: "WebSockets of the app on this server; beyond it a client gets close 4100 and comes back", Min: 1, Max: many, Default: "no limit",
			field: ofApp(func(d *app.Definition) any { return &d.MaxConnections })},
		{Name: "max-members", Help: "members of one presence channel, beyond it pusher:subscription_error; raising it makes the first event of each subscriber longer, about 100 bytes for each member", Min: 1, Max: 1000, Default: "100",
			field: ofApp(func(d *app.Definition) any { return &d.MaxMembers })},
	},

	example: "id: 1",
	items:   func(c *server.Config) any { return &c.Apps },
	live:    func(a, b server.Config) bool { return true },
	index:   faultAt(func(f *app.Fault) int { return f.App }),
}

// ofApp is a field of the last app.
func ofApp(field func(d *app.Definition) any) func(c *server.Config) any {
	return ofItem(func(c *server.Config) *[]app.Definition { return &c.Apps }, field)
}

// readApp takes the app that the environment describes, if nothing else describes one.
func (l *loader) readApp(environment []string) {
	if len(l.Config.Apps) > 0 || l.Config.App != "" {
		return
	}
	d, from, ok, err := app.FromEnvironment(environment)
	switch {
	case err != nil:
		l.fault(from, "%v", err)
	case ok:
		l.Config.Apps = []app.Definition{d}
		l.Sources[pusherApps.Key] = from
		l.itemAt[pusherApps.Key] = []string{from}
	}
}
