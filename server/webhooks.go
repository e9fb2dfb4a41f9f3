package server

import (
	"context"
	"path/filepath"
	"strings"

	"peal/server/app"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/webhook"
)

// openWebhooks prepares the events for backends. Before the log is started, behind shareLog. Without
// endpoints it follows what other nodes do.
func (s *Server) openWebhooks() error {
	c := s.config
	hooks := webhook.Config{
		Endpoints: c.Webhooks, Log: s.log, Names: c.WebhookNames, Report: c.Log, Dead: s.deadLetters(),
		Apps:        s.appOfWebhook,
		Subscribers: s.subscribers, Each: s.eachChannel, Members: s.membersOf,
	}
	if l, ok := s.log.(log.Distributed); ok {
		hooks.Node, hooks.Nodes, hooks.Alive = l.Node(), s.cluster.Nodes, c.NodeLease/2
	}
	if s.cluster == nil {
		hooks.Changed = s.hub.Changed
		s.recordChanges(c.Webhooks)
	}
	s.presence.OnChange(s.touch)
	if s.counts != nil {
		s.counts.OnChange(s.touch)
	}
	var err error
	s.hooks, err = webhook.New(hooks)
	return err
}

// recordChanges has the hub of a server without other nodes record which channels change, if any webhook
// wants to know. It goes on until the end: webhook.Hooks takes what nobody wants any more.
func (s *Server) recordChanges(all []webhook.Definition) {
	if channels, _ := webhook.Observed(all); channels && s.cluster == nil {
		s.hub.RecordChanges()
	}
}

// prepareWebhooks is webhook.Hooks.Prepare for definitions, and apps as they will be.
func (s *Server) prepareWebhooks(all []webhook.Definition, apps *app.Table) (use func(), err error) {
	replace, err := s.hooks.Prepare(all, func(id string) (webhook.App, bool) { return appOfWebhook(apps, id) })
	return func() {
		s.recordChanges(all)
		replace()
	}, err
}

// appOfWebhook is the app with that id, as it is now.
func (s *Server) appOfWebhook(id string) (webhook.App, bool) { return appOfWebhook(s.apps.Load(), id) }

func appOfWebhook(apps *app.Table, id string) (webhook.App, bool) {
	a := apps.ByID(id)
	if a == nil {
		return webhook.App{}, false
	}
	sign := func(body []byte) string { return string(a.AppendSignature(nil, body)) }
	return webhook.App{Key: a.Key, Namespace: a.Namespace, Sign: sign}, true
}

// deadLetters is where batches go that nobody took: beside the file log, in the store of a log that nodes
// share, else in memory.
func (s *Server) deadLetters() webhook.Store {
	if l, ok := s.log.(log.Collecting); ok {
		return webhook.Shared{In: l.Collection(webhook.LettersName)}
	}
	if dir, ok := strings.CutPrefix(s.config.Engine, "file:"); ok {
		return webhook.Dir(filepath.Join(dir, "webhooks"))
	}
	return webhook.NewMemory()
}

func (s *Server) touch(channel string) { s.hooks.Touch(channel) }

// subscribers is how many a channel has, on all nodes.
func (s *Server) subscribers(channel string) int {
	n := s.hub.Subscribers(channel)
	if s.counts != nil {
		elsewhere, _ := s.counts.Elsewhere(channel)
		n += elsewhere
	}
	return n
}

// eachChannel calls f for the channels that have subscribers, on this node or another.
func (s *Server) eachChannel(f func(channel string)) {
	s.hub.EachSubscribed(f)
	if s.counts != nil {
		s.counts.Each(f)
	}
}

// membersOf are the clients on a channel, on all nodes.
func (s *Server) membersOf(channel string) (clients []string, complete bool) {
	after := ""
	for {
		page := s.presence.List(channel, after, 1000)
		for i := range page.Members {
			clients = append(clients, page.Members[i].Client)
		}
		if page.Incomplete {
			return nil, false
		}
		if !page.More || len(page.Members) == 0 {
			return clients, true
		}
		after = page.Members[len(page.Members)-1].Client
	}
}

// watchedHub is the hub for server/counts, which takes what has changed in it: webhooks hear of that, too.
type watchedHub struct {
	*hub.Hub
	server *Server
}

func (w watchedHub) Changed(most int) []string {
	names := w.Hub.Changed(most)
	for _, name := range names {
		w.server.hooks.Touch(name)
	}
	return names
}

// WebhookStats are the endpoints, for metrics.
func (s *Server) WebhookStats() webhook.Status { return s.hooks.Stats() }

// WebhookStatus are the endpoints and the dead letters.
func (s *Server) WebhookStatus(ctx context.Context) (webhook.Status, error) {
	return s.hooks.Status(ctx)
}

// RetryWebhook sends dead letters again; DropWebhook forgets them. See webhook.Hooks.
func (s *Server) RetryWebhook(ctx context.Context, name, id string) (int, error) {
	return s.hooks.Retry(ctx, name, id)
}

func (s *Server) DropWebhook(ctx context.Context, name, id string) (int, error) {
	return s.hooks.Drop(ctx, name, id)
}
