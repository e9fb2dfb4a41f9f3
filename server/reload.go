package server

import (
	"context"
	"errors"
	"fmt"

	"peal/server/credential"
	"peal/server/rules"
)

// Reload takes from c what a running server can change: Drain, DrainDelay, Loop.DrainRate, Loop.MaxConnections, Admission,
// HTTP without HeadLimit, Origins, TrustedProxies, Token without the size of its cache, Mercure, Keys, OperatorKeys, Apps, Ask, Webhooks, the files of TLS
// and AdminTLS, and Channels if [SameHistories]. Everything else in c is ignored. On an error nothing is changed, unless ctx ended meanwhile.
//
// c must be valid. Requests that a loop handles afterwards see all of the new
// values or, until the loop has taken them, all of the old ones. One goroutine at
// a time may call it, while Run runs.
func (s *Server) Reload(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if !s.changing.TryLock() {
		return errors.New("an upgrade or the drain of the server is under way: reload again when the new process serves")
	}
	defer s.changing.Unlock()
	c = c.WithDefaults()
	if !SameHistories(s.channels, c.Channels) {
		return errors.New("channels: match and history of a rule cannot change while the server runs")
	}
	if err := checkDescriptors(c); err != nil {
		return err
	}
	trusted, err := c.trustProxies()
	if err != nil {
		return err
	}
	apps, err := c.newApps(s.apps.Load())
	if err != nil {
		return err
	}
	useWebhooks, err := s.prepareWebhooks(c.Webhooks, apps)
	if err != nil {
		return err
	}
	useCertificates, err := s.encryption.prepare(c)
	if err != nil {
		return err
	}
	useAsking, err := s.asking.Prepare(c.Ask)
	if err != nil {
		return err
	}
	if err := s.reloadTokens(c); err != nil { // the last that may fail
		return err
	}
	useCertificates()
	useAsking()
	s.revoked.Keep(c.Token.Longest())
	table := rules.New(c.Channels, s.standard)
	running := s.config
	running.Origins, running.Token, running.Mercure = c.Origins, c.Token, c.Mercure
	policy, id := running.policy(), s.identity(running)
	apply := func(i int) {
		s.fronts[i].Reload(c.HTTP, table, policy, id, apps)
	}
	if err := s.loops.Each(ctx, apply); err != nil {
		return fmt.Errorf("an event loop does not respond: %w", err)
	}
	s.loops.LimitAdmission(c.Loop)
	before := s.apps.Swap(apps)
	s.rememberApps(apps)
	useWebhooks()
	s.origins.Use(policy)
	s.useProxies(trusted)
	s.table.Store(table)
	s.channels = c.Channels
	if len(c.OperatorKeys) > 0 { // without the last one, the admin listener would be open
		s.operators.Store(credential.New(c.OperatorKeys))
	}
	s.drainNs.Store(int64(c.Drain))
	s.delayNs.Store(int64(c.DrainDelay))
	s.loops.SetDrainRate(c.Loop.DrainRate)
	if err := s.useKeys(ctx, c.Keys); err != nil {
		return err
	}
	return errors.Join(s.endUnserved(ctx), s.endUngranted(ctx, before, apps))
}

// SameHistories reports whether two lists of rules differ at most in what a
// running server can change: they match the same names in the same order, and
// retain the same of them.
func SameHistories(a, b []rules.Rule) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Match != b[i].Match || a[i].HistoryMessages != b[i].HistoryMessages || a[i].HistoryBytes != b[i].HistoryBytes || a[i].HistoryAge != b[i].HistoryAge {
			return false
		}
	}
	return true
}
