package server

import (
	"context"
	"fmt"
	"time"

	"peal/loop"
	"peal/server/app"
	"peal/server/httpapi"
	"peal/server/pusher/xhr"
)

// apps are the definitions of all apps. The error does not contain a secret.
func (c Config) apps() ([]app.Definition, error) {
	all := c.Apps[:len(c.Apps):len(c.Apps)]
	if c.App == "" {
		return all, nil
	}
	d, err := app.Parse(c.App)
	if err != nil {
		return nil, fmt.Errorf("config: app: %w", err)
	}
	return append(all, d), nil
}

func (c Config) checkApps() error {
	all, err := c.apps()
	if err != nil {
		return err
	}
	return app.Validate(all)
}

// AppSecretFiles are the files with secrets of apps.
func (c Config) AppSecretFiles() (files []string) {
	for _, d := range c.Apps {
		if d.SecretFile != "" {
			files = append(files, d.SecretFile)
		}
	}
	return files
}

// newApps returns the table of the apps of c, which is valid. before is the one that it
// replaces, nil for none.
func (c Config) newApps(before *app.Table) (*app.Table, error) {
	all, err := c.apps()
	if err != nil {
		return nil, err
	}
	return app.New(all, c.Token.Configured() || len(c.Keys) > 0, before)
}

// endUnserved ends the connections whose app a reload has removed or changed.
func (s *Server) endUnserved(ctx context.Context) error {
	ended, err := s.endPicked(ctx, func(front *httpapi.Front, session uint64) *loop.Ending { return front.Unserved(session) })
	if err != nil {
		return fmt.Errorf("the apps are in use, but connections of former apps were not ended: %w", err)
	}
	if ended > 0 {
		s.config.Log.Info("ended connections whose app was removed or changed", "connections", ended)
	}
	return nil
}

// connectionsOfApps is how many connections each app has on this node, by its id.
func (s *Server) connectionsOfApps() map[string]int {
	n := map[string]int{}
	for _, a := range s.apps.Load().All() {
		n[a.ID] = int(a.Connections.Load())
	}
	return n
}

// connectionsElsewhere is how many connections an app has on other nodes.
func (s *Server) connectionsElsewhere(a *app.App) int {
	if s.cluster == nil {
		return 0
	}
	return s.cluster.Elsewhere(a.ID)
}

// fallback is the limits of sessions over plain HTTP.
func (s *Server) fallback(c Config) xhr.Limits {
	return xhr.Limits{Sessions: c.FallbackSessions, PerAddress: c.ofShare(c.FallbackSessions), Descriptors: s.loops}
}

// recountEvery is how often loops look for numbers of subscribers to tell.
const recountEvery = 100 * time.Millisecond

// recount has the loops tell clients how many subscribers their channels have, while an app wants
// that, until ctx ends.
func (s *Server) recount(ctx context.Context) {
	ticker := time.NewTicker(recountEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if s.apps.Load().Counts() {
				_ = s.loops.Each(ctx, func(i int) { s.fronts[i].Recount() }) // ctx has ended
			}
		case <-ctx.Done():
			return
		}
	}
}
