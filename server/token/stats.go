package token

// Stats are the numbers of a Verifier since it was made.
type Stats struct {
	Cached, Bytes int // tokens in the cache, and the memory of it
	Scopes        int // different ones of these

	Hits, Verified, Refused uint64 // tokens by what was done; the refusals of Verify
	Evicted                 uint64 // from the full cache, before they expired
	Fetched, Failed         uint64 // readings of JWKS from URLs
}

// Stats returns the numbers at this moment.
func (v *Verifier) Stats() Stats {
	s := Stats{Verified: v.verified.Load(), Refused: v.refused.Load(), Fetched: v.fetched.Load(), Failed: v.failed.Load()}
	v.cache.scopes.mu.Lock()
	s.Scopes, s.Bytes = len(v.cache.scopes.all), v.cache.scopes.bytes
	v.cache.scopes.mu.Unlock()
	for i := range v.cache.shards {
		one := &v.cache.shards[i]
		one.mu.Lock()
		s.Cached += len(one.slots)
		s.Bytes += one.bytes
		s.Hits += one.hits
		s.Evicted += one.evicted
		one.mu.Unlock()
	}
	return s
}
