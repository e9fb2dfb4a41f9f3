package server_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server"
	"peal/server/apikey"
)

// TestUpgradeOfANode: to the other nodes of a log, a node whose process is replaced is the same node all the time.
func TestUpgradeOfANode(t *testing.T) {
	redis := "redis://" + redisd.For(t, redisd.Options{}).Addr()
	backend, heard := hears(t)
	configure := func(name string) server.Config {
		c := server.Config{Listen: []string{"127.0.0.1:0"}, Engine: redis, NodeName: name, NodeLease: time.Minute, Version: "1." + name, Log: slog.New(slog.DiscardHandler)}
		c.Presence.Grace = time.Millisecond
		c.HTTP.DisconnectWindow = time.Hour
		c.Token.Secrets = []string{nodeSecret}
		c.Keys = []apikey.Definition{{Name: "all", Digest: apikey.Digest(backendKey), Allow: []string{"revoke"}}}
		return c
	}
	start := func(c server.Config) *life {
		t.Helper()
		s, err := server.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return live(t, s)
	}
	ac := configure("a")
	ac.Webhooks = backend
	a, b := start(ac), start(configure("b"))
	at, bt := a.Addrs()[0].String(), b.Addrs()[0].String()
	ac.Listen = []string{at}
	key := []string{"Authorization", "Bearer " + backendKey}
	eventually(t, "the webhook is delivered", func() bool { return a.WebhookStats().Delivers })
	eventually(t, "both nodes are complete", func() bool {
		_, one, _ := call(t, "GET", "http://"+at+"/channels/tea/presence")
		_, two, _ := call(t, "GET", "http://"+bt+"/channels/tea/presence")
		return !strings.Contains(one+two, "incomplete")
	})
	watch := follow(t, bt, "channel=tea&presence=1")
	ann := follow(t, at, "channel=tea&client=ann")
	watch.hears(t, `"count":1`)
	user := &oneNode{t: t, url: "http://" + at}
	room := user.stream("channel=room", "Authorization", bearer(t, "42", "ticket"))
	room.wants("cursor")
	counted := func(addr string) bool {
		_, text, _ := call(t, "GET", "http://"+addr+"/channels/tea")
		return strings.Contains(text, `"subscribers":2,`)
	}
	eventually(t, "both nodes know of both subscribers", func() bool { return counted(at) && counted(bt) })
	nodes := func(l *life) (ids []string) {
		for _, n := range l.ClusterStatus().Nodes {
			ids = append(ids, fmt.Sprint(n.ID, " ", n.Name, " ", n.State))
		}
		slices.Sort(ids)
		return ids
	}
	before := nodes(b)
	var want []string
	for i := range 3 {
		text := fmt.Sprint("message ", i)
		publish(t, bt, "tea", text)
		publish(t, at, "orders.x", text)
		want = append(want, "publication orders.x "+text)
		watch.hears(t, text)
		ann.hears(t, text)
		a = a.handOver(t, ac)
		if !counted(at) || !counted(bt) {
			t.Error("subscribers were lost by the upgrade")
		}
		for _, l := range []*life{a, b} {
			if now := nodes(l); !slices.Equal(now, before) {
				t.Errorf("the nodes were %q, and are %q", before, now)
			}
		}
		for _, addr := range []string{at, bt} {
			if _, text, _ := call(t, "GET", "http://"+addr+"/channels/tea/presence"); !strings.Contains(text, `"count":1,"anonymous":1,"members":[{"client":"ann"}]`) || strings.Contains(text, "incomplete") {
				t.Errorf("members: %s", text)
			}
		}
		publish(t, at, "tea", "after "+text)
		watch.hears(t, "after "+text)
		ann.hears(t, "after "+text)
	}
	heard.wants(t, want...)
	heard.mu.Lock()
	if !slices.Equal(heard.all, want) {
		t.Errorf("heard %q, want %q", heard.all, want)
	}
	heard.mu.Unlock()

	// Orders of the other node are followed, and the end of the node is one.
	if status, text, _ := call(t, "POST", "http://"+bt+"/revoke?jti=ticket", key...); status != 200 {
		t.Fatalf("revoke: %d %s", status, text)
	}
	room.ends()
	ann.Close()
	watch.hears(t, `"count":0,"join":[],"leave":[{"client":"ann"}]`)
}
