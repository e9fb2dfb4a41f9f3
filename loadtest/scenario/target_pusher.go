package scenario

import (
	"fmt"
	"net/url"
	"strings"

	"peal/loadtest"
)

// pusher reads what a target says of Pusher's application: key=, or the end of
// its path as in /app/KEY, and app=, its id. Without an id nothing can be
// published. The secret must not stand there: targets are in every report.
func (t *Target) pusher(query url.Values) error {
	if query.Has("secret") {
		return fmt.Errorf("target of %s: give the secret with --secret: targets stand in reports", t.Host)
	}
	key, app := query.Get("key"), query.Get("app")
	query.Del("key")
	query.Del("app")
	before, end, found := strings.Cut(t.Path, "/app/")
	if key == "" && found {
		key, _ = url.PathUnescape(end) // of an escaped path
	}
	if key == "" || app == "" {
		return fmt.Errorf("target %q: must name the application, like pusher+ws://HOST?channel=bench&key=KEY&app=ID", t.Text)
	}
	open, publish := loadtest.PusherPaths(key, app)
	t.Path, t.publish = strings.TrimSuffix(before, "/")+open, publish
	return nil
}
