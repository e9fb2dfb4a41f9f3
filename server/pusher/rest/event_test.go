package rest_test

import (
	"testing"

	"peal/server/app"
	"peal/server/ijson"
	"peal/server/pusher/rest"
)

// What is read as an event may be published: it has a name and 1 to 100 channels that
// clients of an app can name.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		`{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`,
		`{"name":"n","channel":"a","data":"","socket_id":"1.2","info":"user_count,subscription_count"}`,
		`{"batch":[{"name":"n","channel":"a","data":"1"}]}`, `{"batch":[{`, `[]`, `{"name":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		check := func(e *rest.Event) {
			if len(e.Draft.Event) == 0 || len(e.Channels) == 0 || len(e.Channels) > 100 {
				t.Errorf("%q: name %q, %d channels", body, e.Draft.Event, len(e.Channels))
			}
			for _, channel := range e.Channels {
				if !app.IsName(channel) {
					t.Errorf("%q: channel %q", body, channel)
				}
			}
			if err := e.Draft.Check(); err != nil {
				t.Errorf("%q: %v", body, err)
			}
		}
		if e, err := rest.ParseEvent(&ijson.Reader{}, body); err == nil {
			check(e)
		}
		batch, err := rest.ParseBatch(&ijson.Reader{}, body)
		if err == nil && (len(batch) == 0 || len(batch) > 10) {
			t.Errorf("%q: %d events", body, len(batch))
		}
		for _, e := range batch {
			check(e)
		}
	})
}

func TestWishes(t *testing.T) {
	for text, want := range map[string]rest.Wish{
		"": 0, "user_count": rest.UserCount, "subscription_count": rest.SubscriptionCount, "subscription_count, user_count": rest.UserCount | rest.SubscriptionCount,
	} {
		if got, err := rest.ParseWish([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{",", "user_count,", "cache", "USER_COUNT", "user_count;subscription_count"} {
		if got, err := rest.ParseWish([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}
