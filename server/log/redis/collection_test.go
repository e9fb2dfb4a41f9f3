package redis_test

import (
	"errors"
	"strings"
	"testing"

	"peal/loadtest/redisd"
	"peal/server/log"
	"peal/server/log/conform"
)

func TestCollections(t *testing.T) {
	server := redisd.For(t, redisd.Options{})
	a, b := open(t, server.URL(), config()), open(t, server.URL(), config())
	defer b.Close()
	conform.Collections(t, a, b)
	c := a.Collection("some")
	must(t, a.Close())
	if _, err := c.Heads(t.Context()); !errors.Is(err, log.ErrClosed) {
		t.Errorf("of an engine that is closed: %v", err)
	}
	for _, key := range do(t, server, "KEYS", "*").([]any) {
		if strings.Contains(key.(string), "some:") {
			t.Errorf("%s is left", key)
		}
	}
	do(t, server, "SET", "{peal}:taken", "x")
	if _, err := b.Collection("taken").Heads(t.Context()); err == nil || !strings.Contains(err.Error(), "{peal}:taken") {
		t.Errorf("a key of another type: %v", err)
	}
}
