package token

import (
	"context"
	"sync"
	"time"

	"peal/server/grant"
)

// When the keys of a URL are read, and for how long that may take.
const (
	refreshEvery = 15 * time.Minute
	retryEvery   = 30 * time.Second // after a failure
	unknownEvery = 10 * time.Second // for a kid that is not there

	fetchTimeout   = 10 * time.Second
	unknownTimeout = time.Second // while a worker waits
)

// due reports whether the keys of a URL are to be read again.
func (s *set) due(now int64) bool {
	every := refreshEvery
	if s.succeeded.Load() != s.attempted.Load() {
		every = retryEvery
	}
	attempted := s.attempted.Load()
	return s.url && (attempted == 0 || now-attempted >= int64(every/time.Second))
}

// refreshFor reads the JWKS of an issuer again, each at most once in unknownEvery.
// busy reports that the keys of one cannot be had at the moment.
func (v *Verifier) refreshFor(r *ring, issuer string, now int64) (refreshed, busy bool) {
	for _, s := range r.sets {
		if s.issuer != issuer || !s.url {
			continue
		}
		attempted := s.attempted.Load()
		if attempted != 0 && now-attempted < int64(unknownEvery/time.Second) {
			busy = busy || s.succeeded.Load() != attempted
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), unknownTimeout)
		err := v.refresh(ctx, r, s, now)
		cancel()
		refreshed = refreshed || err == nil
		busy = busy || err != nil
	}
	return refreshed, busy
}

// refresh reads the keys of a URL. When they changed, tokens that were signed with
// others must not stay known.
func (v *Verifier) refresh(ctx context.Context, r *ring, s *set, now int64) error {
	changed, err := s.fetch(ctx, r.config.Transport, now)
	switch {
	case err == errFetching:
		return err
	case err != nil:
		v.failed.Add(1)
		r.config.Log.Warn(r.config.Prefix+"-jwks cannot be read; keys that were read before stay", "url", s.name(), "keys", len(*s.keys.Load()), "error", err)
	case changed:
		r.config.Log.Info(r.config.Prefix+"-jwks read", "url", s.name(), "keys", len(*s.keys.Load()))
		v.Drop(func(*grant.Grant) bool { return true })
		fallthrough
	default:
		v.fetched.Add(1)
	}
	return err
}

// refreshDue reads the keys of all URLs for which it is time.
func (v *Verifier) refreshDue(ctx context.Context) {
	r := v.ring.Load()
	var all sync.WaitGroup
	for _, s := range r.sets {
		if now := v.clock(r); s.due(now) {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
				defer cancel()
				_ = v.refresh(ctx, r, s, now) // logged there
			})
		}
	}
	all.Wait()
}

// lookEvery is how often Run looks at what is due.
const lookEvery = 5 * time.Second

// Run keeps the keys of URLs current until ctx ends.
func (v *Verifier) Run(ctx context.Context) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		v.refreshDue(ctx)
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}
