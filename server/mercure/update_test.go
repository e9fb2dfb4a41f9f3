package mercure_test

import (
	"testing"

	"peal/server/mercure"
)

func TestTopicsOfTheHubAreReserved(t *testing.T) {
	for topic, want := range map[string]bool{
		"/.well-known/mercure": true, "/.well-known/mercure/subscriptions/a/b": true, "/.well-known/mercure?x": true, "/.well-known/mercure#x": true,
		"https://push.example/.well-known/mercure/subscriptions": true, "//push.example/.well-known/mercure": true, "http://h/.well-known/mercure?a/b": true,
		"/.well-known/mercurex": false, "/a/.well-known/mercure": false, "https://a/b": false, "https://a": false, "a": false, "": false, "//a": false,
		"https://a?/.well-known/mercure": false,
	} {
		if got := mercure.IsReserved(topic); got != want {
			t.Errorf("%q: %v", topic, got)
		}
	}
}
